// The norm of single rows, for ops that use its result at once: statistics, the normalised row, and the gradient.
#pragma once

#include "simd.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

enum class Norm : std::uint8_t { none, layer, rms };

struct Statistics {
  float mean, rstd;
};

// n = (x - mean) rstd, y = n gain + bias
struct RowNorm {
  Norm kind;
  const float *gain, *bias;
  std::int64_t width;
  float eps;

  Statistics measure(const float* x) const {
    if (kind == Norm::none) return {0.0F, 1.0F};
    const float share = 1.0F / static_cast<float>(width);
    float mean = 0;
    if (kind == Norm::layer) {
      Vector sums{};
      each_vector(width, [&](std::int64_t column, std::int64_t count) { sums += load(x + column, count); });
      mean = sum(sums) * share;
    }
    Vector squares{};
    each_vector(width, [&](std::int64_t column, std::int64_t count) {
      const Vector away = first_lanes(load(x + column, count) - mean, count);
      squares += away * away;
    });
    return {mean, 1.0F / __builtin_sqrtf(sum(squares) * share + eps)};
  }

  Vector normed(const float* x, Statistics of, std::int64_t column, std::int64_t count) const {
    Vector y = load(x + column, count);
    if (kind == Norm::none) return y;
    y = (y - of.mean) * of.rstd * load(gain + column, count);
    return bias == nullptr ? y : y + load(bias + column, count);
  }

  // dx = rstd (w - mean(w) - n mean(w n)) + past, w = dy gain (an RMS norm: mean(w) is left out). dgain and dbias, each
  // where it is there, grow by dy n and dy. `dx` may be `dy`; `past` may be null.
  void gradient(const float* dy, const float* x, Statistics of, const float* past, float* dx, float* dgain,
                float* dbias) const {
    Vector along{}, across{};
    each_vector(width, [&](std::int64_t column, std::int64_t count) {
      const Vector given = load(dy + column, count), n = (load(x + column, count) - of.mean) * of.rstd;
      const Vector weighed = given * load(gain + column, count);
      along += weighed;
      across += weighed * n;
      store(dgain + column, load(dgain + column, count) + given * n, count);
      if (dbias != nullptr) store(dbias + column, load(dbias + column, count) + given, count);
    });
    const float share = 1.0F / static_cast<float>(width);
    const float centre = kind == Norm::layer ? sum(along) * share : 0.0F, slope = sum(across) * share;
    each_vector(width, [&](std::int64_t column, std::int64_t count) {
      const Vector n = (load(x + column, count) - of.mean) * of.rstd;
      Vector made = of.rstd * (load(dy + column, count) * load(gain + column, count) - centre - n * slope);
      if (past != nullptr) made += load(past + column, count);
      store(dx + column, made, count);
    });
  }
};

}  // namespace isoflop::ops::ISOFLOP_ISA
