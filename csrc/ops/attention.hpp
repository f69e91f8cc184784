// What a call of attention is told, and which queries see which keys.
#pragma once

#include "attention_forms.hpp"
#include "chance.hpp"
#include "elementary.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

// A tensor of heads (B, H, T, C) wherever they lie: floats from one sequence, head, position to the next.
template <class T>
struct Heads {
  T* first;
  std::int64_t of_sequence, of_head, of_position;

  Rows<T> at(std::int64_t sequence, std::int64_t head) const {
    return {first + sequence * of_sequence + head * of_head, of_position};
  }
};

struct AttentionSizes {
  std::int64_t batch, heads, key_heads, seq, width;
  float scale;
  bool causal;
  std::int64_t window;  // as long as the sequence where there is none

  // sizes: B, H, G, T, C, then, of each tensor of heads in their order, the steps in Heads; settings: scale, causal,
  // window (0: none); tensor `own_scale` (1) float64?: what the scale of the model is instead.
  AttentionSizes(const Arguments& arguments, std::size_t own_scale)
      : batch(arguments.sizes[0]),
        heads(arguments.sizes[1]),
        key_heads(arguments.sizes[2]),
        seq(arguments.sizes[3]),
        width(arguments.sizes[4]),
        scale(static_cast<float>(arguments.tensor(own_scale) == nullptr ? arguments.settings[0]
                                                                        : *arguments.tensor<const double>(own_scale))),
        causal(arguments.settings[1] != 0),
        window(arguments.settings[2] == 0 ? seq : static_cast<std::int64_t>(arguments.settings[2])) {}

  std::int64_t group() const { return heads / key_heads; }

  // Keys [first, end) that query `row` sees.
  std::int64_t first_key(std::int64_t row) const { return causal && row >= window ? row - window + 1 : 0; }
  std::int64_t end_key(std::int64_t row) const { return causal ? row + 1 : seq; }
  // The number of the weight of key 0 in row `row` of the weights of all heads, one after the other.
  std::uint32_t weight_number(std::int64_t row) const { return static_cast<std::uint32_t>(row * seq); }
  // Queries [first, end) that see key `column`.
  std::int64_t first_query(std::int64_t column) const { return causal ? column : 0; }
  std::int64_t end_query(std::int64_t column) const { return causal ? least(column + window, seq) : seq; }
};

// Lanes whose number, counted from `column`, is in [first, end); the others become nought.
inline Vector within(Vector values, std::int64_t column, std::int64_t first, std::int64_t end) {
  if (column >= first && column + lanes <= end) return values;
  const Ints at = lane_numbers() + static_cast<std::int32_t>(column);
  return (at >= static_cast<std::int32_t>(first)) & (at < static_cast<std::int32_t>(end)) ? values : Vector{};
}

// The tensor `index`, the `number`th of those that are heads.
template <class T>
Heads<T> heads_of(const Arguments& arguments, std::size_t index, std::size_t number) {
  const std::int64_t* steps = arguments.sizes + 5 + 3 * number;
  return {arguments.tensor<T>(index), steps[0], steps[1], steps[2]};
}

inline float* take_floats(Context& context, std::int64_t count) {
  return context.scratch.take<float>(static_cast<std::size_t>(count));
}

}  // namespace isoflop::ops::ISOFLOP_ISA
