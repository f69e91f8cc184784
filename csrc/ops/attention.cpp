// Attention, softmax(scale q k^T) v: the scores of 32 queries at a time, of the keys that any of them sees.
#include "attention.hpp"

#include "attention_columns.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

namespace {

struct Softmax {
  float largest, total;  // of the scores in bits, and of the exponentials below it
};

// 2^(s - largest) of a row of scores, of which [first, end) are seen, to a left-hand row; nought elsewhere up to
// `padded_end`, a multiple of 32. Those that chance drops, of which that of column 0 has this number, are in the total.
template <class Form, bool drops>
Softmax write_weights(const float* scores, std::int64_t first, std::int64_t end, std::int64_t padded_end, float scale,
                      const Chance& chance, std::uint32_t number, float* to) {
  Vector highest = broadcast(-__builtin_inff());
  const std::int64_t begin = rounded_up(first, lanes), whole = end / lanes * lanes;
  const auto at_edge = [&](std::int64_t at) {
    const Ints place = lane_numbers() + static_cast<std::int32_t>(at);
    const Ints seen = (place >= static_cast<std::int32_t>(first)) & (place < static_cast<std::int32_t>(end));
    highest = seen ? larger(highest, load(scores + at)) : highest;
  };
  if (begin > first) at_edge(begin - lanes);
  for (std::int64_t at = begin; at < whole; at += lanes) highest = larger(highest, load(scores + at));
  if (end > whole) at_edge(whole);
  const float top = largest(highest), shift = -top * scale;
  Vector total{};
  for (std::int64_t at = 0; at < padded_end; at += band) {
    BandVectors weights;
    const bool seen = at >= first && at + band <= end;
#pragma GCC unroll 8
    for (std::int64_t i = 0; i < band_vectors; ++i) {
      const std::int64_t column = at + i * lanes;
      const Vector weight = Form::exp2(load(scores + column) * scale + shift);
      weights[i] = seen ? weight : within(weight, column, first, end);
      total += weights[i];
      if constexpr (drops)
        weights[i] = chance.drop(weights[i], (Words)lane_numbers() + number + static_cast<std::uint32_t>(column));
    }
    Form::put(to + Form::steps(at), weights);
  }
  return {top * scale, sum(total)};
}

template <class Form>
struct AttentionByRows {
  AttentionSizes sizes;
  Chance chance;
  std::int64_t across;  // of scores and weights
  float *queries, *keys, *values, *scores, *weights;

  AttentionByRows(const AttentionSizes& of, const Chance& drop, Context& context)
      : sizes(of), chance(drop), across(padded(of.seq)) {
    const std::int64_t deep = Form::steps(sizes.width);
    queries = take_floats(context, across * deep);
    keys = take_floats(context, across * deep);
    values = take_floats(context, RightMatrix<Form>::floats(sizes.seq, sizes.width));
    scores = take_floats(context, band * across);
    weights = take_floats(context, band * Form::steps(across));
  }

  // each(head) of the heads of queries that this head of keys is for.
  template <class Each>
  void with_keys(Rows<const float> k, Rows<const float> v, Each&& each) const {
    Form::pack(k.first, k.apart, true, sizes.width, sizes.seq, keys);
    const RightMatrix<Form> right(v, sizes.seq, sizes.width, values);
    each([&](std::int64_t index, Rows<const float> q, Rows<float> y, float* lse) { head(index, q, right, y, lse); });
  }

  // Head `index` of all.
  void head(std::int64_t index, Rows<const float> q, const RightMatrix<Form>& right, Rows<float> y, float* lse) const {
    const auto write = chance.drops() ? write_weights<Form, true> : write_weights<Form, false>;
    const std::int64_t deep = Form::steps(sizes.width);
    Form::read_rows(q, sizes.seq, sizes.width, queries);
    for (std::int64_t row = 0; row < sizes.seq; row += band) {
      const std::int64_t rows = least(band, sizes.seq - row);
      const std::int64_t first = sizes.first_key(row) / band * band, end = sizes.end_key(row + rows - 1);
      const std::int64_t count = rounded_up(end - first, band);
      Form::multiply(queries + row * deep, deep, rows, keys + first * deep, deep, least(count, sizes.seq - first),
                     scores, across, false);
      float totals[band], tops[band];
      for (std::int64_t i = 0; i < band; ++i) totals[i] = 1, tops[i] = 0;
      for (std::int64_t i = 0; i < rows; ++i) {
        const std::uint32_t number =
            sizes.weight_number(index * sizes.seq + row + i) + static_cast<std::uint32_t>(first);
        const Softmax made =
            write(scores + i * across, sizes.first_key(row + i) - first, sizes.end_key(row + i) - first, count,
                  sizes.scale * log2_e, chance, number, weights + i * Form::steps(across));
        tops[i] = made.largest, totals[i] = made.total;
      }
      right.multiply(weights, Form::steps(across), rows, first, count, {y.at(row), y.apart}, false);
      for (std::int64_t i = 0; i < rows; ++i) {
        const float share = 1.0F / totals[i];
        each_vector(sizes.width, [&](std::int64_t column, std::int64_t there) {
          float* const at = y.at(row + i) + column;
          store(at, load(at, there) * share, there);
        });
      }
      each_vector(rows, [&](std::int64_t at, std::int64_t there) {
        store(lse + row + at, load(tops + at, there) + log(load(totals + at, there)) * log2_e, there);
      });
    }
  }
};

template <class Form>
struct Forward {
  using Attention = AttentionByRows<Form>;
};

#if defined(__AMX_BF16__)
template <>
struct Forward<TileForm> {
  using Attention = AttentionByColumns;
};
#endif

}  // namespace

// tensors: q (B, H, T, C), k, v (B, G, T, C), y (B, H, T, C), lse (B, H, T), in bits, then the four of Chance, by which
// weights are dropped, and the scale of the model (1) float64?; sizes and settings as AttentionSizes has them, then the
// number of the op.
void attention(const Arguments& arguments, Context& context) {
  const AttentionSizes sizes(arguments, 9);
  const auto q = heads_of<const float>(arguments, 0, 0), k = heads_of<const float>(arguments, 1, 1),
             v = heads_of<const float>(arguments, 2, 2);
  const auto y = heads_of<float>(arguments, 3, 3);
  float* lse = arguments.tensor(4);
  with_form(context.products, [&]<class Form>() {
    Form::begin(context);
    const typename Forward<Form>::Attention forward(sizes, Chance(arguments, 5, arguments.settings[3]), context);
    for (std::int64_t sequence = 0; sequence < sizes.batch; ++sequence)
      for (std::int64_t key = 0; key < sizes.key_heads; ++key)
        forward.with_keys(k.at(sequence, key), v.at(sequence, key), [&](const auto& run) {
          for (std::int64_t head = key * sizes.group(); head < (key + 1) * sizes.group(); ++head, lse += sizes.seq)
            run(sequence * sizes.heads + head, q.at(sequence, head), y.at(sequence, head), lse);
        });
  });
}

}  // namespace isoflop::ops::ISOFLOP_ISA
