// Layer and RMS norm of rows: y = (x - mean) rstd gain + bias. One read of x, one write of y; statistics in float32.
#include "simd.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

// tensors: x (M, D), gain (D), bias (D)?, residual (M, D)?, total = x + residual (M, D)?, y (M, D), mean (M)? of a
// layer norm, rstd (M); sizes: M, D; settings: eps, whether it is a layer norm.
void norm(const Arguments& arguments, Context&) {
  const float *x = arguments.tensor(0), *gain = arguments.tensor(1), *bias = arguments.tensor(2);
  const float* residual = arguments.tensor(3);
  float *total = arguments.tensor(4), *y = arguments.tensor(5), *means = arguments.tensor(6),
        *rstds = arguments.tensor(7);
  const std::int64_t rows = arguments.sizes[0], width = arguments.sizes[1];
  const auto eps = static_cast<float>(arguments.settings[0]);
  const bool centred = arguments.settings[1] != 0;
  const float share = 1.0F / static_cast<float>(width);
  for (std::int64_t row = 0; row < rows; ++row, x += width, y += width) {
    const float* source = x;
    if (residual != nullptr) {
      each_vector(width, [&](std::int64_t column, std::int64_t count) {
        store(total + column, load(x + column, count) + load(residual + column, count), count);
      });
      source = total;
      residual += width, total += width;
    }
    float mean = 0;
    if (centred) {
      Vector sums{};
      each_vector(width, [&](std::int64_t column, std::int64_t count) { sums += load(source + column, count); });
      mean = sum(sums) * share;
      means[row] = mean;
    }
    Vector squares{};
    each_vector(width, [&](std::int64_t column, std::int64_t count) {
      // Lanes past the end hold 0 - mean: they are taken out again below.
      const Vector away = load(source + column, count) - mean;
      squares += away * away;
    });
    const std::int64_t past = (lanes - width % lanes) % lanes;
    const float square = sum(squares) - static_cast<float>(past) * mean * mean;
    const float rstd = 1.0F / __builtin_sqrtf(square * share + eps);
    rstds[row] = rstd;
    each_vector(width, [&](std::int64_t column, std::int64_t count) {
      Vector out = (load(source + column, count) - mean) * rstd * load(gain + column, count);
      if (bias != nullptr) out += load(bias + column, count);
      store(y + column, out, count);
    });
  }
}

}  // namespace isoflop::ops::ISOFLOP_ISA
