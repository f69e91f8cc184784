// Norm, projection to queries, keys and values, rotary positions: n = norm(x), p = n W^T + b, pair (i, i + C/2) of
// queries and keys turned. Heads stay beside each other in the rows of p; a tile of normalised rows stays in cache.
#include "products.hpp"
#include "row_norm.hpp"
#include "rows.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

namespace {

// Angles by position, (T, C/2) cosines and sines, of the first `heads` heads of a row; none where they are null.
struct Rotary {
  const float *cosines, *sines;
  std::int64_t seq, heads, width;

  bool any() const { return cosines != nullptr; }

  // The heads of row number `row` to `to`, which they may be; `back` by the negative angle.
  template <bool back>
  void turn(const float* from, std::int64_t row, float* to) const {
    const std::int64_t half = width / 2, angle = row % seq * half;
    for (std::int64_t head = 0; head < heads; ++head, from += width, to += width) {
      each_vector(half, [&](std::int64_t column, std::int64_t count) {
        const Vector cosine = load(cosines + angle + column, count);
        Vector sine = load(sines + angle + column, count);
        if constexpr (back) sine = -sine;
        const Vector a = load(from + column, count), b = load(from + half + column, count);
        store(to + column, a * cosine - b * sine, count);
        store(to + half + column, a * sine + b * cosine, count);
      });
    }
  }
};

}  // namespace

// tensors: x (M, D), gain (D), shift (D)?, weight (O, D), bias (O)?, cosines (T, C/2)?, sines (T, C/2)?, p (M, O),
// mean (M)?, rstd (M), kept; sizes: B, T, D, H, G, C; settings: eps.
void norm_qkv(const Arguments& arguments, Context& context) {
  const float *x = arguments.tensor(0), *weight = arguments.tensor(3), *bias = arguments.tensor(4);
  float *p = arguments.tensor(7), *means = arguments.tensor(8), *rstds = arguments.tensor(9);
  void* packed = arguments.tensor(10);
  const std::int64_t *sizes = arguments.sizes, rows = sizes[0] * sizes[1], width = sizes[2];
  const RowNorm norm{means != nullptr ? Norm::layer : Norm::rms, arguments.tensor(1), arguments.tensor(2), width,
                     static_cast<float>(arguments.settings[0])};
  const Rotary rotary{arguments.tensor(5), arguments.tensor(6), sizes[1], sizes[3] + sizes[4], sizes[5]};
  const std::int64_t outputs = (sizes[3] + 2 * sizes[4]) * sizes[5], at_a_time = panel_rows(width, context.products);
  if (context.first) pack(weight, width, true, width, outputs, context.products, packed);
  const Panel panel(context, least(at_a_time, rows), width);
  auto* statistics = context.scratch.take<Statistics>(static_cast<std::size_t>(at_a_time));
  for (std::int64_t first = 0; first < rows; first += at_a_time) {
    const std::int64_t count = least(at_a_time, rows - first);
    norm.measure(x + first * width, count, statistics);
    for (std::int64_t row = 0; row < count; ++row) {
      if (means != nullptr) means[first + row] = statistics[row].mean;
      rstds[first + row] = statistics[row].rstd;
    }
    norm.each_normed(x + first * width, count, statistics,
                     [&](std::int64_t row, std::int64_t column, std::int64_t columns, Vector made) {
                       panel.put(row, column, made, columns);
                     });
    float* const to = p + first * outputs;
    multiply(panel, count, packed, outputs, to, outputs, false);
    add_rows(to, count, outputs, bias, nullptr);
    if (!rotary.any()) continue;
    for (std::int64_t row = 0; row < count; ++row)
      rotary.turn<false>(to + row * outputs, first + row, to + row * outputs);
  }
}

// tensors: dp (M, O), x (M, D), gain (D), shift (D)?, weight (O, D), mean (M)?, rstd (M), cosines (T, C/2)?,
// sines (T, C/2)?, dn (M, D), dweight (O, D), dbias (O)?, kept; sizes: B, T, D, H, G, C.
void norm_qkv_backward(const Arguments& arguments, Context& context) {
  const float *given = arguments.tensor(0), *x = arguments.tensor(1), *weight = arguments.tensor(4);
  const float *means = arguments.tensor(5), *rstds = arguments.tensor(6);
  float *dn = arguments.tensor(9), *dweight = arguments.tensor(10), *dbias = arguments.tensor(11);
  void* packed = arguments.tensor(12);
  const std::int64_t *sizes = arguments.sizes, rows = sizes[0] * sizes[1], width = sizes[2];
  const RowNorm norm{Norm::layer, arguments.tensor(2), arguments.tensor(3), width, 0.0F};
  const Rotary rotary{arguments.tensor(7), arguments.tensor(8), sizes[1], sizes[3] + sizes[4], sizes[5]};
  const std::int64_t outputs = (sizes[3] + 2 * sizes[4]) * sizes[5], turned = rotary.heads * rotary.width,
                     at_a_time = least(rows, sum_rows);
  if (context.first) pack(weight, width, false, outputs, width, context.products, packed);
  auto* turned_back = context.scratch.take<float>(static_cast<std::size_t>(rotary.any() ? at_a_time * outputs : 0));
  auto* n = context.scratch.take<float>(static_cast<std::size_t>(at_a_time * width));
  auto* statistics = context.scratch.take<Statistics>(static_cast<std::size_t>(at_a_time));
  bool add = context.accumulate;
  for (std::int64_t first = 0; first < rows; first += at_a_time, add = true) {
    const std::int64_t count = least(at_a_time, rows - first);
    const float* dp = given + first * outputs;
    if (rotary.any()) {
      for (std::int64_t row = 0; row < count; ++row) {
        const float* from = dp + row * outputs;
        float* const to = turned_back + row * outputs;
        rotary.turn<true>(from, first + row, to);
        each_vector(outputs - turned, [&](std::int64_t column, std::int64_t columns) {
          store(to + turned + column, load(from + turned + column, columns), columns);
        });
      }
      dp = turned_back;
    }
    for (std::int64_t row = 0; row < count; ++row)
      statistics[row] = {means == nullptr ? 0.0F : means[first + row], rstds[first + row]};
    norm.each_normed(x + first * width, count, statistics,
                     [&](std::int64_t row, std::int64_t column, std::int64_t columns, Vector made) {
                       store(n + row * width + column, made, columns);
                     });
    multiply(dp, outputs, count, packed, outputs, width, dn + first * width, width, false, context);
    multiply_transposed(dp, outputs, n, width, count, outputs, width, dweight, width, add, context);
    if (dbias != nullptr) add_up_rows(dp, count, outputs, dbias, add);
  }
}

}  // namespace isoflop::ops::ISOFLOP_ISA
