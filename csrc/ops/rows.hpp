// Sums over rows and sums of rows: biases, residuals and their gradients.
#pragma once

#include "simd.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

// Adds a bias (width) and other rows to rows, each where it is there.
inline void add_rows(float* y, std::int64_t rows, std::int64_t width, const float* bias, const float* others) {
  if (bias == nullptr && others == nullptr) return;
  with_width(width, [&]<std::int64_t known>() {
    const std::int64_t across = known == 0 ? width : known;
    for (std::int64_t row = 0; row < rows; ++row)
      each_vector(across, [&](std::int64_t column, std::int64_t count) {
        const std::int64_t at = row * across + column;
        Vector sum = load(y + at, count);
        if (bias != nullptr) sum += load(bias + column, count);
        if (others != nullptr) sum += load(others + at, count);
        store(y + at, sum, count);
      });
  });
}

inline constexpr std::int64_t rows_added = 256;  // before their sum is added: long sums lose digits

// totals (width) = or += the sum of the rows.
inline void add_up_rows(const float* values, std::int64_t rows, std::int64_t width, float* totals, bool add) {
  each_vector(width, [&](std::int64_t column, std::int64_t count) {
    Vector total = add ? load(totals + column, count) : Vector{};
    for (std::int64_t first = 0; first < rows; first += rows_added) {
      const std::int64_t end = least(rows, first + rows_added);
      // Four sums: one alone would wait for each addition.
      Vector sums[4] = {};
      std::int64_t row = first;
      for (; row + 4 <= end; row += 4)
        for (std::int64_t i = 0; i < 4; ++i) sums[i] += load(values + (row + i) * width + column, count);
      for (; row < end; ++row) sums[0] += load(values + row * width + column, count);
      total += (sums[0] + sums[1]) + (sums[2] + sums[3]);
    }
    store(totals + column, total, count);
  });
}

}  // namespace isoflop::ops::ISOFLOP_ISA
