// Attention by tiles: the scores of 32 queries stand in columns, so that maxima and sums over keys are of whole
// vectors, and pairs of rows of weights are a right-hand matrix as they are computed: y^T = v^T p^T, turned at the end.
#pragma once

#include "attention.hpp"
#include "awake.hpp"

#if defined(__AMX_BF16__)

namespace isoflop::ops::ISOFLOP_ISA {

struct AttentionByColumns {
  AttentionSizes sizes;
  Chance chance;
  std::int64_t across, deep;  // keys or queries, and elements of a row of C
  float *keys, *value_columns, *queries, *scores, *weights, *sums;

  AttentionByColumns(const AttentionSizes& of, const Chance& drop, Context& context)
      : sizes(of), chance(drop), across(padded(of.seq)), deep(TileForm::steps(of.width)) {
    for (float** each : {&keys, &queries}) *each = take_floats(context, across * deep);
    for (float** each : {&scores, &weights}) *each = take_floats(context, across * band);
    value_columns = take_floats(context, rounded_up(sizes.width, band) * across / 2);
    sums = take_floats(context, rounded_up(sizes.width, band) * band);
  }

  // each(head) of the heads of queries that this head of keys is for.
  template <class Each>
  void with_keys(Rows<const float> k, Rows<const float> v, Each&& each) const {
    stay_awake(TileForm::products);
    TileForm::read_rows(k, sizes.seq, sizes.width, keys);
    turn_into_pairs(v.first, v.apart, sizes.seq, sizes.width, across / 2, value_columns);
    each([&](std::int64_t index, Rows<const float> q, Rows<float> y, float* lse) { head(index, q, y, lse); });
  }

  // Head `index` of all.
  void head(std::int64_t index, Rows<const float> q, Rows<float> y, float* lse) const {
    stay_awake(TileForm::products);
    TileForm::pack(q.first, q.apart, true, sizes.width, sizes.seq, queries);
    const auto weigh = chance.drops() ? &AttentionByColumns::weigh<true> : &AttentionByColumns::weigh<false>;
    for (std::int64_t query = 0; query < sizes.seq; query += band) {
      const std::int64_t here = least(band, sizes.seq - query);
      const std::int64_t first = sizes.first_key(query) / band * band, end = sizes.end_key(query + here - 1);
      const std::int64_t count = rounded_up(end - first, band);
      TileForm::multiply(keys + first * deep, deep, least(count, sizes.seq - first), queries + query * deep, deep, here,
                         scores, band, false);
      BandVectors shares;
      (this->*weigh)(index, query, first, count, shares, lse + query);
      TileForm::multiply(value_columns + first / 2, across / 2, sizes.width, weights, count / 2, band, sums, band,
                         false);
      turn(shares, {y.at(query), y.apart}, here);
    }
  }

  // Lanes of those queries, from `query` on, that see key `key`: all bits.
  Ints seen(std::int64_t key, std::int64_t query) const {
    const std::int64_t from = key < sizes.seq ? sizes.first_query(key) - query : lanes;
    const std::int64_t to = key < sizes.seq ? sizes.end_query(key) - query : 0;
    return (lane_numbers() >= static_cast<std::int32_t>(from)) & (lane_numbers() < static_cast<std::int32_t>(to));
  }

  // Of 32 queries from `query` on: the weights of `count` keys from `first` on, as pairs below the largest score, and
  // one over their sums. Those that chance drops are in the sums.
  template <bool drops>
  void weigh(std::int64_t index, std::int64_t query, std::int64_t first, std::int64_t count, BandVectors& shares,
             float* lse) const {
    const float in_bits = sizes.scale * log2_e;
    // Keys that all of the queries see.
    const auto whole = [&](std::int64_t key) {
      return key < sizes.seq && sizes.first_query(key) <= query && sizes.end_query(key) >= query + band;
    };
    BandVectors highest, total = {};
    for (Vector& each : highest) each = broadcast(-__builtin_inff());
    for (std::int64_t row = 0; row < count; ++row) {
      const bool all = whole(first + row);
      for (std::int64_t i = 0; i < band_vectors; ++i) {
        const Vector next = larger(load(scores + row * band + i * lanes), highest[i]);
        highest[i] = all ? next : seen(first + row, query + i * lanes) ? next : highest[i];
      }
    }
    for (Vector& each : highest) each *= in_bits;
    for (std::int64_t row = 0; row < count; row += 2) {
      const bool all = whole(first + row) && whole(first + row + 1);
      for (std::int64_t i = 0; i < band_vectors; ++i) {
        Vector weight[2];
        for (std::int64_t r = 0; r < 2; ++r) {
          const std::int64_t key = first + row + r, from = query + i * lanes;
          weight[r] = TileForm::exp2(load(scores + (row + r) * band + i * lanes) * in_bits - highest[i]);
          if (!all) weight[r] = seen(key, from) ? weight[r] : Vector{};
        }
        total[i] += weight[0] + weight[1];
        if constexpr (drops) {
          for (std::int64_t r = 0; r < 2; ++r) {
            const std::uint32_t number = sizes.weight_number(index * sizes.seq + query + i * lanes) +
                                         static_cast<std::uint32_t>(first + row + r);
            weight[r] = chance.drop(weight[r], (Words)lane_numbers() * static_cast<std::uint32_t>(sizes.seq) + number);
          }
        }
        _mm512_storeu_si512(weights + i * lanes * count / 2 + row / 2 * lanes, pair_rows(weight[0], weight[1]));
      }
    }
    for (std::int64_t i = 0; i < band_vectors; ++i) {
      shares[i] = 1.0F / total[i];
      const std::int64_t there = least(lanes, sizes.seq - query - i * lanes);
      if (there > 0) store(lse + i * lanes, highest[i] + log(total[i]) * log2_e, there);
    }
  }

  // y from its columns.
  void turn(const BandVectors& shares, Rows<float> y, std::int64_t rows) const {
    for (std::int64_t i = 0; i < band_vectors; ++i) {
      for (std::int64_t column = 0; column < sizes.width; column += lanes) {
        __m512i given[lanes];
        for (std::int64_t c = 0; c < lanes; ++c)
          given[c] = (__m512i)(load(sums + (column + c) * band + i * lanes) * shares[i]);
        put_turned(given, {y.at(i * lanes) + column, y.apart, false}, rows - i * lanes, sizes.width - column);
      }
    }
  }
};

}  // namespace isoflop::ops::ISOFLOP_ISA

#endif
