// Layer and RMS norm of rows, y = (x - mean) rstd gain + bias, and their gradients. Statistics in float32.
#include "row_norm.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

// tensors: x (M, D), gain (D), bias (D)?, residual (M, D)?, total = x + residual (M, D)?, y (M, D), mean (M)? of a
// layer norm, rstd (M); sizes: M, D; settings: eps, whether it is a layer norm. One read of x, one write of y.
void norm(const Arguments& arguments, Context&) {
  const float *x = arguments.tensor(0), *gain = arguments.tensor(1), *bias = arguments.tensor(2);
  const float* residual = arguments.tensor(3);
  float *total = arguments.tensor(4), *y = arguments.tensor(5), *means = arguments.tensor(6),
        *rstds = arguments.tensor(7);
  const std::int64_t rows = arguments.sizes[0], width = arguments.sizes[1];
  const Norm kind = arguments.settings[1] != 0 ? Norm::layer : Norm::rms;
  const RowNorm of{kind, gain, bias, width, static_cast<float>(arguments.settings[0])};
  for (std::int64_t first = 0; first < rows; first += lanes) {
    const std::int64_t count_rows = least(lanes, rows - first), at = first * width;
    const float* source = x + at;
    if (residual != nullptr) {
      each_vector(count_rows * width, [&](std::int64_t column, std::int64_t count) {
        store(total + at + column, load(source + column, count) + load(residual + at + column, count), count);
      });
      source = total + at;
    }
    Statistics found[lanes];
    of.measure(source, count_rows, found);
    for (std::int64_t row = 0; row < count_rows; ++row) {
      if (kind == Norm::layer) means[first + row] = found[row].mean;
      rstds[first + row] = found[row].rstd;
    }
    of.each_normed(source, count_rows, found,
                   [&](std::int64_t row, std::int64_t column, std::int64_t count, Vector made) {
                     store(y + at + row * width + column, made, count);
                   });
  }
}

// tensors: dy (M, D), total (M, D), gain (D), mean (M)?, rstd (M), dtotal (M, D)?, dx (M, D), dgain (D), dbias (D)?;
// sizes: M, D. The gradients of gain and bias are added to what stands there where the context says so.
void norm_backward(const Arguments& arguments, Context& context) {
  const float *dy = arguments.tensor(0), *total = arguments.tensor(1), *means = arguments.tensor(3),
              *rstds = arguments.tensor(4), *dtotal = arguments.tensor(5);
  float *dx = arguments.tensor(6), *dgain = arguments.tensor(7), *dbias = arguments.tensor(8);
  const std::int64_t rows = arguments.sizes[0], width = arguments.sizes[1];
  const RowNorm norm{means == nullptr ? Norm::rms : Norm::layer, arguments.tensor(2), nullptr, width, 0.0F};
  if (!context.accumulate) {
    for (float* gradient : {dgain, dbias})
      if (gradient != nullptr) __builtin_memset(gradient, 0, static_cast<std::size_t>(width) * sizeof(float));
  }
  for (std::int64_t first = 0; first < rows; first += lanes) {
    const std::int64_t count = least(lanes, rows - first), at = first * width;
    Statistics of[lanes];
    for (std::int64_t row = 0; row < count; ++row)
      of[row] = {means == nullptr ? 0.0F : means[first + row], rstds[first + row]};
    norm.gradient(dy + at, total + at, count, of, dtotal == nullptr ? nullptr : dtotal + at, dx + at, dgain, dbias);
  }
}

}  // namespace isoflop::ops::ISOFLOP_ISA
