// The norm of rows, for ops that use its result at once: statistics, the normalised rows, and the gradient.
#pragma once

#include "simd.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

enum class Norm : std::uint8_t { none, layer, rms };

struct Statistics {
  float mean, rstd;
};

// n = (x - mean) rstd, y = n gain + bias. As many rows as a vector has lanes are taken at a time: sums along a row cost
// more than all else where a row is a vector or two.
struct RowNorm {
  Norm kind;
  const float *gain, *bias;
  std::int64_t width;
  float eps;

  // Of rows that follow each other.
  void measure(const float* x, std::int64_t rows, Statistics* to) const {
    with_width(width, [&]<std::int64_t known>() {
      for (std::int64_t row = 0; row < rows; row += lanes)
        measure_block<known>(x + row * width, least(lanes, rows - row), to + row);
    });
  }

  // put(row, column, count, y) for the vectors of rows that follow each other.
  template <class Put>
  void each_normed(const float* x, std::int64_t rows, const Statistics* of, Put&& put) const {
    with_width(width, [&]<std::int64_t known>() {
      const std::int64_t across = known == 0 ? width : known;
      for (std::int64_t row = 0; row < rows; ++row)
        each_vector(across, [&](std::int64_t column, std::int64_t count) {
          Vector y =
              (load(x + row * across + column, count) - of[row].mean) * of[row].rstd * load(gain + column, count);
          put(row, column, count, bias == nullptr ? y : y + load(bias + column, count));
        });
    });
  }

  // dx = rstd (w - mean(w) - n mean(w n)) + past, w = dy gain (an RMS norm: mean(w) is left out), of rows that follow
  // each other. dgain and dbias, the latter where it is there, grow by the sums of dy n and dy. `dx` may be `dy`;
  // `past` may be null.
  void gradient(const float* dy, const float* x, std::int64_t rows, const Statistics* of, const float* past, float* dx,
                float* dgain, float* dbias) const {
    with_width(width, [&]<std::int64_t known>() {
      for (std::int64_t row = 0; row < rows; row += lanes) {
        const std::int64_t at = row * width;
        gradient_block<known>(dy + at, x + at, least(lanes, rows - row), of + row,
                              past == nullptr ? nullptr : past + at, dx + at, dgain, dbias);
      }
    });
  }

 private:
  template <std::int64_t known>
  void measure_block(const float* x, std::int64_t rows, Statistics* to) const {
    const std::int64_t across = known == 0 ? width : known;
    const float share = 1.0F / static_cast<float>(across);
    float means[lanes] = {}, rstds[lanes];
    Vector sums[lanes];
    if (kind == Norm::layer) {
      for (std::int64_t row = 0; row < lanes; ++row) {
        sums[row] = Vector{};
        if (row < rows)
          each_vector(across, [&, row](std::int64_t column, std::int64_t count) {
            sums[row] += load(x + row * across + column, count);
          });
      }
      store(means, sum_each(sums) * share);
    }
    for (std::int64_t row = 0; row < lanes; ++row) {
      Vector squares{};
      if (row < rows)
        each_vector(across, [&](std::int64_t column, std::int64_t count) {
          const Vector away = first_lanes(load(x + row * across + column, count) - means[row], count);
          squares += away * away;
        });
      sums[row] = squares;
    }
    store(rstds, 1.0F / square_root(sum_each(sums) * share + eps));
    for (std::int64_t row = 0; row < rows; ++row) to[row].mean = means[row], to[row].rstd = rstds[row];
  }

  template <std::int64_t known>
  void gradient_block(const float* dy, const float* x, std::int64_t rows, const Statistics* of, const float* past,
                      float* dx, float* dgain, float* dbias) const {
    const std::int64_t across = known == 0 ? width : known;
    Vector weights[lanes], slants[lanes];  // sums of w, and of w n
    for (std::int64_t row = 0; row < lanes; ++row) weights[row] = slants[row] = Vector{};
    each_vector(across, [&](std::int64_t column, std::int64_t count) {
      const Vector weight = load(gain + column, count);
      Vector of_gain{}, of_bias{};
      for (std::int64_t row = 0; row < rows; ++row) {
        const std::int64_t at = row * across + column;
        const Vector given = load(dy + at, count), n = (load(x + at, count) - of[row].mean) * of[row].rstd;
        const Vector weighed = given * weight;
        of_gain += given * n;
        of_bias += given;
        weights[row] += weighed;
        slants[row] += weighed * n;  // nought past the end, where dy is
      }
      store(dgain + column, load(dgain + column, count) + of_gain, count);
      if (dbias != nullptr) store(dbias + column, load(dbias + column, count) + of_bias, count);
    });
    const float share = 1.0F / static_cast<float>(across);
    float centres[lanes] = {}, slopes[lanes];
    if (kind == Norm::layer) store(centres, sum_each(weights) * share);
    store(slopes, sum_each(slants) * share);
    for (std::int64_t row = 0; row < rows; ++row)
      each_vector(across, [&](std::int64_t column, std::int64_t count) {
        const std::int64_t at = row * across + column;
        const Vector n = (load(x + at, count) - of[row].mean) * of[row].rstd;
        Vector made =
            of[row].rstd * (load(dy + at, count) * load(gain + column, count) - centres[row] - n * slopes[row]);
        if (past != nullptr) made += load(past + at, count);
        store(dx + at, made, count);
      });
  }
};

}  // namespace isoflop::ops::ISOFLOP_ISA
