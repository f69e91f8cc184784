// Attention, softmax(scale q k^T) v: the scores of 32 queries at a time, of the keys that any of them sees.
#include "attention.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

namespace {

struct Softmax {
  float largest, total;  // of the scores in bits, and of the exponentials below it
};

// 2^(s - largest) of a row of scores, of which [first, end) are seen, to a left-hand row; nought elsewhere up to
// `padded_end`, a multiple of 32.
template <class Form>
Softmax write_weights(const float* scores, std::int64_t first, std::int64_t end, std::int64_t padded_end, float scale,
                      float* to) {
  Vector highest = broadcast(-__builtin_inff());
  const std::int64_t begin = rounded_up(first, lanes), whole = end / lanes * lanes;
  const auto at_edge = [&](std::int64_t at) {
    const Ints number = lane_numbers() + static_cast<std::int32_t>(at);
    const Ints seen = (number >= static_cast<std::int32_t>(first)) & (number < static_cast<std::int32_t>(end));
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
      const Vector weight = exp2(load(scores + column) * scale + shift);
      weights[i] = seen ? weight : within(weight, column, first, end);
      total += weights[i];
    }
    Form::put(to + Form::steps(at), weights);
  }
  return {top * scale, sum(total)};
}

template <class Form>
struct AttentionForward {
  AttentionSizes sizes;
  std::int64_t across;  // of scores and weights
  float *queries, *keys, *values, *scores, *weights;

  AttentionForward(const AttentionSizes& of, Context& context) : sizes(of), across(padded(of.seq)) {
    const std::int64_t deep = Form::steps(sizes.width);
    queries = take_floats(context, across * deep);
    keys = take_floats(context, across * deep);
    values = take_floats(context, RightMatrix<Form>::floats(sizes.seq, sizes.width));
    scores = take_floats(context, band * across);
    weights = take_floats(context, band * Form::steps(across));
  }

  void head(Rows<const float> q, const RightMatrix<Form>& right, Rows<float> y, float* lse) const {
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
        const Softmax made =
            write_weights<Form>(scores + i * across, sizes.first_key(row + i) - first, sizes.end_key(row + i) - first,
                                count, sizes.scale * log2_e, weights + i * Form::steps(across));
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

}  // namespace

// tensors: q (B, H, T, C), k, v (B, G, T, C), y (B, H, T, C), lse (B, H, T), in bits; sizes and settings as
// AttentionSizes has them.
void attention(const Arguments& arguments, Context& context) {
  const AttentionSizes sizes(arguments);
  const auto q = heads_of<const float>(arguments, 0, 0), k = heads_of<const float>(arguments, 1, 1),
             v = heads_of<const float>(arguments, 2, 2);
  const auto y = heads_of<float>(arguments, 3, 3);
  float* lse = arguments.tensor(4);
  with_form(context.products, [&]<class Form>() {
    Form::begin();
    const AttentionForward<Form> forward(sizes, context);
    for (std::int64_t sequence = 0; sequence < sizes.batch; ++sequence) {
      for (std::int64_t key = 0; key < sizes.key_heads; ++key) {
        Form::pack(k.at(sequence, key).first, k.of_position, true, sizes.width, sizes.seq, forward.keys);
        const RightMatrix<Form> values(v.at(sequence, key), sizes.seq, sizes.width, forward.values);
        for (std::int64_t head = key * sizes.group(); head < (key + 1) * sizes.group(); ++head, lse += sizes.seq)
          forward.head(q.at(sequence, head), values, y.at(sequence, head), lse);
      }
    }
  });
}

}  // namespace isoflop::ops::ISOFLOP_ISA
