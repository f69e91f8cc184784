// Gradients of attention: 32 keys at a time against the queries that see any of them, weights computed again.
//
//   p_ij = 2^(s_ij - lse_i),   dv_j = sum_i p_ij dy_i,   ds_ij = scale p_ij (dy_i v_j - dy_i y_i)
//   dk_j = sum_i ds_ij q_i,    dq_i = sum_j ds_ij k_j
//
// Where chance drops weights, those in dv and the products dy_i v_j are what it leaves of them.
//
// Scores stand with keys as rows, so that weights are left-hand rows of the sums over queries as they are computed; for
// the gradients of queries they are, in tiles, also written as right-hand pairs, and those gradients turned at the end.
#include "attention.hpp"
#include "awake.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

namespace {

constexpr std::int64_t rows_anywhere = 64;  // of a head that stay in the first cache however far they lie apart

template <class Form>
struct AttentionBackward {
  AttentionSizes sizes;
  Chance chance;
  std::int64_t across, deep;                                  // queries, and elements of a row of C
  float *keys, *values, *key_columns;                         // of a head of keys
  float *k_there, *q_there, *dy_there;                        // rows of a head behind each other: each is read often
  float *queries, *gradients, *query_rows, *gradient_rows;    // of a head of queries
  float *lse, *deltas, *sums;                                 // deltas: dy y; sums: gradients of queries as columns
  float *scores, *products, *weights, *slopes, *slope_pairs;  // of 32 keys

  AttentionBackward(const AttentionSizes& of, const Chance& drop, Context& context)
      : sizes(of), chance(drop), across(padded(of.seq)), deep(Form::steps(of.width)) {
    const std::int64_t rows = RightMatrix<Form>::floats(sizes.seq, sizes.width);
    for (float** each : {&keys, &values, &queries, &gradients}) *each = take_floats(context, across * deep);
    for (float** each : {&query_rows, &gradient_rows}) *each = take_floats(context, rows);
    for (float** each : {&k_there, &q_there, &dy_there}) *each = take_floats(context, sizes.seq * sizes.width);
    for (float** each : {&lse, &deltas}) *each = take_floats(context, across);
    for (float** each : {&scores, &products}) *each = take_floats(context, band * band);
    for (float** each : {&weights, &slopes}) *each = take_floats(context, band * Form::steps(across));
    key_columns = take_floats(context, rounded_up(sizes.width, band) * across);
    sums = take_floats(context, rounded_up(sizes.width, band) * across);
    slope_pairs = take_floats(context, 16 * across);
  }

  Rows<const float> gather(Rows<const float> x, float* to) const {
    stay_awake(Form::products);
    if (sizes.seq <= rows_anywhere) return x;
    with_width(sizes.width, [&]<std::int64_t known>() {
      const std::int64_t width = known == 0 ? sizes.width : known;
      for (std::int64_t row = 0; row < sizes.seq; ++row)
        each_vector(width, [&](std::int64_t column, std::int64_t count) {
          store(to + row * width + column, load(x.at(row) + column, count), count);
        });
    });
    return {to, sizes.width};
  }

  void read_keys(Rows<const float> k, Rows<const float> v) const {
    Form::read_rows(k, sizes.seq, sizes.width, keys);
    Form::read_rows(v, sizes.seq, sizes.width, values);
#if defined(__AMX_BF16__)
    if constexpr (Form::turned_sums) turn_into_pairs(k.first, k.apart, sizes.seq, sizes.width, across / 2, key_columns);
#endif
  }

  void read_queries(Rows<const float> q, Rows<const float> y, Rows<const float> dy, const float* of_lse) const {
    Form::pack(q.first, q.apart, true, sizes.width, sizes.seq, queries);
    Form::pack(dy.first, dy.apart, true, sizes.width, sizes.seq, gradients);
    stay_awake(Form::products);
    with_width(sizes.width, [&]<std::int64_t known>() {
      const std::int64_t width = known == 0 ? sizes.width : known;
      for (std::int64_t first = 0; first < across; first += lanes) {
        Vector products_of_rows[lanes];
        for (std::int64_t row = 0; row < lanes; ++row) {
          Vector total{};
          if (first + row < sizes.seq)
            each_vector(width, [&](std::int64_t column, std::int64_t count) {
              total += load(dy.at(first + row) + column, count) * load(y.at(first + row) + column, count);
            });
          products_of_rows[row] = total;
        }
        store(deltas + first, sum_each(products_of_rows));
        const std::int64_t there = sizes.seq - first;
        store(lse + first, there > 0 ? load(of_lse + first, least(lanes, there)) : Vector{});
      }
    });
  }

  // Weights and slopes of keys `column` + row and of the next, of the 32 queries from `query` on, of head `index`.
  void weigh(std::int64_t index, std::int64_t column, std::int64_t row, std::int64_t query) const {
    const std::int64_t keys_seen = sizes.seq - column - row, end = query + band;
    const std::int64_t from[2] = {keys_seen > 0 ? sizes.first_query(column + row) : end,
                                  keys_seen > 1 ? sizes.first_query(column + row + 1) : end};
    const std::int64_t to[2] = {keys_seen > 0 ? sizes.end_query(column + row) : end,
                                keys_seen > 1 ? sizes.end_query(column + row + 1) : end};
    const bool all = query >= from[0] && query >= from[1] && end <= to[0] && end <= to[1];
    const std::uint32_t number =
        sizes.weight_number(index * sizes.seq + query) + static_cast<std::uint32_t>(column + row);
    if (chance.drops()) weigh_rows<true, true>(row, query, from, to, number);
    else if (all) weigh_rows<false, false>(row, query, from, to, number);
    else weigh_rows<true, false>(row, query, from, to, number);
  }

  // Key r is seen by the queries in [from[r], to[r]): by all of these where not `masked`. The weight of the first key
  // and query has this number.
  template <bool masked, bool drops>
  void weigh_rows(std::int64_t row, std::int64_t query, const std::int64_t (&from)[2], const std::int64_t (&to)[2],
                  std::uint32_t number) const {
    const float in_bits = sizes.scale * log2_e;
    BandVectors weight[2], slope[2];
#pragma GCC unroll 2
    for (std::int64_t r = 0; r < 2; ++r) {
      const float *s = scores + (row + r) * band, *dp = products + (row + r) * band;
#pragma GCC unroll 8
      for (std::int64_t i = 0; i < band_vectors; ++i) {
        const std::int64_t shift = i * lanes;
        const Vector p = Form::exp2(load(s + shift) * in_bits - load(lse + query + shift));
        Vector growth = load(dp + shift), left = p;
        if constexpr (drops) {
          const auto key = static_cast<std::uint32_t>(r), later = static_cast<std::uint32_t>(shift);
          const Words numbers = ((Words)lane_numbers() + later) * static_cast<std::uint32_t>(sizes.seq) + number + key;
          growth = chance.drop(growth, numbers), left = chance.drop(p, numbers);
        }
        Vector ds = p * (growth - load(deltas + query + shift)) * sizes.scale;
        if constexpr (masked) {
          left = within(left, query + shift, from[r], to[r]);
          ds = within(ds, query + shift, from[r], to[r]);
        }
        weight[r][i] = left, slope[r][i] = ds;
      }
    }
#pragma GCC unroll 2
    for (std::int64_t r = 0; r < 2; ++r) {
      const std::int64_t place = (row + r) * Form::steps(across) + Form::steps(query);
      Form::put(weights + place, weight[r]);
      Form::put(slopes + place, slope[r]);
    }
#if defined(__AMX_BF16__)
    if constexpr (Form::turned_sums)
      Form::put_pairs(slope_pairs + query * 16 + row / 2 * 16, 16 * 16, slope[0], slope[1]);
#endif
  }

#if defined(__AMX_BF16__)
  void turn_sums(Rows<float> dq) const {
    for (std::int64_t row = 0; row < sizes.seq; row += 16) {
      for (std::int64_t column = 0; column < sizes.width; column += 16) {
        __m512i given[16];
        for (std::int64_t i = 0; i < 16; ++i) given[i] = _mm512_loadu_si512(sums + (column + i) * across + row);
        put_turned(given, {dq.at(row) + column, dq.apart, false}, sizes.seq - row, sizes.width - column);
      }
    }
  }
#endif

  // The part of 32 keys in all gradients; dk and dv are added to where `add`, dq always.
  void keys_of_head(std::int64_t index, std::int64_t column, Rows<const float> k, const RightMatrix<Form>& q_rows,
                    const RightMatrix<Form>& dy_rows, Rows<float> dq, Rows<float> dk, Rows<float> dv, bool add) const {
    const std::int64_t rows = least(band, sizes.seq - column);
    const std::int64_t first = sizes.first_query(column) / band * band,
                       end = padded(sizes.end_query(column + rows - 1));
    const std::int64_t count = end - first, there = least(count, sizes.seq - first);
    for (std::int64_t query = first; query < end; query += band) {
      const std::int64_t here = least(band, sizes.seq - query);
      Form::multiply(keys + column * deep, deep, rows, queries + query * deep, deep, here, scores, band, false);
      Form::multiply(values + column * deep, deep, rows, gradients + query * deep, deep, here, products, band, false);
      for (std::int64_t row = 0; row < (Form::turned_sums ? band : rows); row += 2) weigh(index, column, row, query);
    }
    const std::int64_t apart = Form::steps(across), from = Form::steps(first);
    dy_rows.multiply(weights + from, apart, rows, first, count, {dv.at(column), dv.apart}, add);
    q_rows.multiply(slopes + from, apart, rows, first, count, {dk.at(column), dk.apart}, add);
    if constexpr (Form::turned_sums) {
      Form::multiply(key_columns + column / 2, across / 2, sizes.width, slope_pairs + first * 16, 16, count,
                     sums + first, across, true);
    } else {
      Form::pack(k.at(column), k.apart, false, rows, sizes.width, key_columns);
      multiply_panels<Floats, true>({slopes + from, 1, apart}, there, key_columns, rows, sizes.width, dq.at(first),
                                    dq.apart, true);
    }
  }

  void head(std::int64_t index, Rows<const float> k, Rows<const float> q, Rows<const float> dy, Rows<float> dq,
            Rows<float> dk, Rows<float> dv, bool add) const {
    const RightMatrix<Form> q_rows(q, sizes.seq, sizes.width, query_rows);
    const RightMatrix<Form> dy_rows(dy, sizes.seq, sizes.width, gradient_rows);
    if constexpr (Form::turned_sums) fill_noughts(sums, sizes.width * across);
    else
      for (std::int64_t row = 0; row < sizes.seq; ++row) fill_noughts(dq.at(row), sizes.width);
    for (std::int64_t column = 0; column < sizes.seq; column += band)
      keys_of_head(index, column, k, q_rows, dy_rows, dq, dk, dv, add);
#if defined(__AMX_BF16__)
    if constexpr (Form::turned_sums) turn_sums(dq);
#endif
  }
};

}  // namespace

// tensors: dy, q (B, H, T, C), k, v (B, G, T, C), y (B, H, T, C), lse (B, H, T), dq, dk, dv, then the four of Chance
// and the scale of the model; sizes and settings as of attention, lse being no tensor of heads.
void attention_backward(const Arguments& arguments, Context& context) {
  const AttentionSizes sizes(arguments, 13);
  const auto given = [&](std::size_t index) { return heads_of<const float>(arguments, index, index); };
  const auto made = [&](std::size_t index) { return heads_of<float>(arguments, index, index - 1); };
  const auto dy = given(0), q = given(1), k = given(2), v = given(3), y = given(4);
  const auto dq = made(6), dk = made(7), dv = made(8);
  const float* lse = arguments.tensor(5);
  with_form(context.products, [&]<class Form>() {
    Form::begin(context);
    const AttentionBackward<Form> backward(sizes, Chance(arguments, 9, arguments.settings[3]), context);
    for (std::int64_t of = 0; of < sizes.batch; ++of) {
      for (std::int64_t key = 0; key < sizes.key_heads; ++key) {
        const Rows<const float> of_key = backward.gather(k.at(of, key), backward.k_there);
        backward.read_keys(of_key, v.at(of, key));
        for (std::int64_t member = 0; member < sizes.group(); ++member, lse += sizes.seq) {
          const std::int64_t head = key * sizes.group() + member;
          const Rows<const float> of_query = backward.gather(q.at(of, head), backward.q_there);
          const Rows<const float> of_y = backward.gather(dy.at(of, head), backward.dy_there);
          backward.read_queries(of_query, y.at(of, head), of_y, lse);
          backward.head(of * sizes.heads + head, of_key, of_query, of_y, dq.at(of, head), dk.at(of, key),
                        dv.at(of, key), member > 0);
        }
      }
    }
  });
}

}  // namespace isoflop::ops::ISOFLOP_ISA
