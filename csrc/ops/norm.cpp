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
  for (std::int64_t row = 0; row < rows; ++row, x += width, y += width) {
    const float* source = x;
    if (residual != nullptr) {
      each_vector(width, [&](std::int64_t column, std::int64_t count) {
        store(total + column, load(x + column, count) + load(residual + column, count), count);
      });
      source = total;
      residual += width, total += width;
    }
    const Statistics found = of.measure(source);
    if (kind == Norm::layer) means[row] = found.mean;
    rstds[row] = found.rstd;
    each_vector(width, [&](std::int64_t column, std::int64_t count) {
      store(y + column, of.normed(source, found, column, count), count);
    });
  }
}

namespace {

struct NormGradient {
  const float *dy, *total, *gain, *means, *rstds, *dtotal;
  float *dx, *dgain, *dbias;
  std::int64_t width;
};

// dx = rstd (w - mean(w) - n mean(w n)) + dtotal, w = dy gain, n = (total - mean) rstd (an RMS norm: mean(w) is left
// out); dgain += dy n, dbias += dy: of several rows at a time, so that these two are read and written less often.
template <int at_once>
void norm_gradient_rows(const NormGradient& of, std::int64_t row) {
  const std::int64_t width = of.width, first = row * width;
  float mean[at_once], rstd[at_once];
  Vector along[at_once] = {}, across[at_once] = {};
  for (int i = 0; i < at_once; ++i) {
    mean[i] = of.means == nullptr ? 0.0F : of.means[row + i];
    rstd[i] = of.rstds[row + i];
  }
  each_vector(width, [&](std::int64_t column, std::int64_t count) {
    const Vector gain = load(of.gain + column, count);
    Vector dgain = load(of.dgain + column, count), dbias{};
    for (int i = 0; i < at_once; ++i) {
      const std::int64_t at = first + i * width + column;
      const Vector dy = load(of.dy + at, count), n = (load(of.total + at, count) - mean[i]) * rstd[i];
      dgain += dy * n;
      dbias += dy;
      along[i] += dy * gain;
      across[i] += dy * gain * n;  // nought past the end, where dy is
    }
    store(of.dgain + column, dgain, count);
    if (of.dbias != nullptr) store(of.dbias + column, load(of.dbias + column, count) + dbias, count);
  });
  const float share = 1.0F / static_cast<float>(width);
  for (int i = 0; i < at_once; ++i) {
    const float centre = of.means == nullptr ? 0.0F : sum(along[i]) * share, slope = sum(across[i]) * share;
    each_vector(width, [&](std::int64_t column, std::int64_t count) {
      const std::int64_t at = first + i * width + column;
      const Vector n = (load(of.total + at, count) - mean[i]) * rstd[i];
      Vector dx = rstd[i] * (load(of.dy + at, count) * load(of.gain + column, count) - centre - n * slope);
      if (of.dtotal != nullptr) dx += load(of.dtotal + at, count);
      store(of.dx + at, dx, count);
    });
  }
}

}  // namespace

// tensors: dy (M, D), total (M, D), gain (D), mean (M)?, rstd (M), dtotal (M, D)?, dx (M, D), dgain (D), dbias (D)?;
// sizes: M, D. The gradients of gain and bias are added to what stands there where the context says so.
void norm_backward(const Arguments& arguments, Context& context) {
  const NormGradient of{arguments.tensor(0), arguments.tensor(1), arguments.tensor(2), arguments.tensor(3),
                        arguments.tensor(4), arguments.tensor(5), arguments.tensor(6), arguments.tensor(7),
                        arguments.tensor(8), arguments.sizes[1]};
  if (!context.accumulate) {
    for (float* gradient : {of.dgain, of.dbias})
      if (gradient != nullptr) __builtin_memset(gradient, 0, static_cast<std::size_t>(of.width) * sizeof(float));
  }
  const std::int64_t rows = arguments.sizes[0];
  std::int64_t row = 0;
  for (; row + 4 <= rows; row += 4) norm_gradient_rows<4>(of, row);
  for (; row < rows; ++row) norm_gradient_rows<1>(of, row);
}

}  // namespace isoflop::ops::ISOFLOP_ISA
