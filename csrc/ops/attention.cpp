// Attention, softmax(scale q k^T) v: the scores of 32 queries at a time, of the keys that any of them sees.
#include "attention.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

namespace {

struct Softmax {
  float largest, total;  // of the scores in bits, and of the exponentials below it
};

// 2^(s - largest) of a row of scores, of which [first, end) are seen, to a left-hand row; nought elsewhere up to
// `padded_end`, a multiple of 32. Those that chance drops, the first of which has this number, are in the total.
template <class Form>
Softmax write_weights(const float* scores, std::int64_t first, std::int64_t end, std::int64_t padded_end, float scale,
                      const Chance& chance, std::uint32_t number, float* to) {
  Vector highest = broadcast(-__builtin_inff());
  const std::int64_t begin = first / lanes * lanes;
  for (std::int64_t at = begin; at < end; at += lanes) {
    const Vector s = load(scores + at);
    if (at >= first && at + lanes <= end) {
      highest = larger(highest, s);
      continue;
    }
    const Ints place = lane_numbers() + static_cast<std::int32_t>(at);
    const Ints seen = (place >= static_cast<std::int32_t>(first)) & (place < static_cast<std::int32_t>(end));
    highest = seen ? larger(highest, s) : highest;
  }
  const float top = largest(highest);
  Vector total{};
  for (std::int64_t at = 0; at < padded_end; at += band) {
    BandVectors weights;
    for (std::int64_t i = 0; i < band_vectors; ++i) {
      const std::int64_t column = at + i * lanes;
      const bool any = column + lanes > first && column < end;
      weights[i] = any ? within(exp2((load(scores + column) - top) * scale), column, first, end) : Vector{};
      total += weights[i];
      if (any && chance.drops())
        weights[i] = chance.drop(weights[i], (Words)lane_numbers() + number + static_cast<std::uint32_t>(column));
    }
    Form::put(to + Form::steps(at), weights);
  }
  return {top * scale, sum(total)};
}

template <class Form>
struct AttentionForward {
  AttentionSizes sizes;
  Chance chance;
  std::int64_t across;  // of scores and weights
  float *queries, *keys, *values, *scores, *weights;

  AttentionForward(const AttentionSizes& of, const Chance& drop, Context& context)
      : sizes(of), chance(drop), across(padded(of.seq)) {
    const std::int64_t deep = Form::steps(sizes.width);
    queries = take_floats(context, across * deep);
    keys = take_floats(context, across * deep);
    values = take_floats(context, RightRows<Form>::floats(sizes.seq, sizes.width));
    scores = take_floats(context, band * across);
    weights = take_floats(context, band * Form::steps(across));
  }

  void head(std::int64_t index, const float* q, const RightRows<Form>& right, float* y, float* lse) const {
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
                                count, sizes.scale * log2_e, chance,
                                sizes.weight_number(index * sizes.seq + row + i) + static_cast<std::uint32_t>(first),
                                weights + i * Form::steps(across));
        tops[i] = made.largest, totals[i] = made.total;
      }
      float* const out = y + row * sizes.width;
      right.multiply(weights, Form::steps(across), rows, first, count, out, false);
      for (std::int64_t i = 0; i < rows; ++i) {
        const float share = 1.0F / totals[i];
        each_vector(sizes.width, [&](std::int64_t column, std::int64_t there) {
          float* const at = out + i * sizes.width + column;
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

// tensors: q (B, H, T, C), k, v (B, G, T, C), y (B, H, T, C), lse (B, H, T), in bits, then the four of Chance, by which
// weights are dropped; sizes: B, H, G, T, C; settings: scale, causal, window (0: none), the number of the op.
void attention(const Arguments& arguments, Context& context) {
  const AttentionSizes sizes(arguments);
  with_form(context.products, [&]<class Form>() {
    Form::begin();
    const AttentionForward<Form> forward(sizes, Chance(arguments, 5, arguments.settings[3]), context);
    const std::int64_t floats = sizes.head_floats();
    for (std::int64_t key = 0; key < sizes.batch * sizes.key_heads; ++key) {
      Form::pack(arguments.tensor(1) + key * floats, sizes.width, true, sizes.width, sizes.seq, forward.keys);
      const RightRows<Form> values(arguments.tensor(2) + key * floats, sizes.seq, sizes.width, forward.values);
      for (std::int64_t head = key * sizes.group(); head < (key + 1) * sizes.group(); ++head)
        forward.head(head, arguments.tensor(0) + head * floats, values, arguments.tensor(3) + head * floats,
                     arguments.tensor(4) + head * sizes.seq);
    }
  });
}

}  // namespace isoflop::ops::ISOFLOP_ISA
