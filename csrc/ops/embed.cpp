// Rows of a table by token, plus rows by position, and the gradients of both, each summed in the order of the rows.
#include "simd.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

namespace {

void add_row(float* to, const float* from, std::int64_t width) {
  each_vector(width, [&](std::int64_t column, std::int64_t count) {
    store(to + column, load(to + column, count) + load(from + column, count), count);
  });
}

std::size_t bytes_of(std::int64_t count) { return static_cast<std::size_t>(count) * sizeof(float); }

}  // namespace

// tensors: tokens (B, T) int64, token table (V, D), position table (P, D)?, y (B, T, D); sizes: B, T, V, D. The row of
// a token out of range is NaN.
void embed(const Arguments& arguments, Context&) {
  const auto* tokens = arguments.tensor<const std::int64_t>(0);
  const float *table = arguments.tensor(1), *positions = arguments.tensor(2);
  float* y = arguments.tensor(3);
  const std::int64_t batch = arguments.sizes[0], seq = arguments.sizes[1], vocabulary = arguments.sizes[2],
                     width = arguments.sizes[3];
  for (std::int64_t row = 0; row < batch * seq; ++row, y += width) {
    const std::int64_t token = tokens[row];
    const bool known = token >= 0 && token < vocabulary;
    const float* from = table + (known ? token : 0) * width;
    const float* place = positions == nullptr ? nullptr : positions + row % seq * width;
    each_vector(width, [&](std::int64_t column, std::int64_t count) {
      Vector sum = load(from + column, count);
      if (place != nullptr) sum += load(place + column, count);
      store(y + column, known ? sum : broadcast(__builtin_nanf("")), count);
    });
  }
}

// tensors: dy (B, T, D), tokens (B, T) int64, onto (V, D)?, gradients of the token table (V, D) and of the position
// table (P, D)?; sizes: B, T, V, P, D. Where `onto` is the gradient of the token table itself, that is added to;
// else both gradients are where the context says so. Tokens out of range count nowhere.
void embed_backward(const Arguments& arguments, Context& context) {
  const float* dy = arguments.tensor(0);
  const auto* tokens = arguments.tensor<const std::int64_t>(1);
  const float* onto = arguments.tensor(2);
  float *dtable = arguments.tensor(3), *dpositions = arguments.tensor(4);
  const std::int64_t batch = arguments.sizes[0], seq = arguments.sizes[1], vocabulary = arguments.sizes[2],
                     positions = arguments.sizes[3], width = arguments.sizes[4];
  if (onto != dtable) {
    if (!context.accumulate) __builtin_memset(dtable, 0, bytes_of(vocabulary * width));
    if (onto != nullptr) add_row(dtable, onto, vocabulary * width);
  }
  if (dpositions != nullptr && !context.accumulate) __builtin_memset(dpositions, 0, bytes_of(positions * width));
  for (std::int64_t row = 0; row < batch * seq; ++row, dy += width) {
    const std::int64_t token = tokens[row];
    if (token >= 0 && token < vocabulary) add_row(dtable + token * width, dy, width);
    if (dpositions != nullptr) add_row(dpositions + row % seq * width, dy, width);
  }
}

}  // namespace isoflop::ops::ISOFLOP_ISA
