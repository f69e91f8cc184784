// Vectors of float32 as wide as the instruction set that this is compiled for.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "ops.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

#if defined(__AVX512F__)
inline constexpr std::int64_t lanes = 16;
#elif defined(__AVX2__)
inline constexpr std::int64_t lanes = 8;
#else
inline constexpr std::int64_t lanes = 4;
#endif

typedef float Vector __attribute__((vector_size(lanes * sizeof(float))));

inline Vector broadcast(float value) { return Vector{} + value; }

inline Vector load(const float* from) {
  Vector vector;
  __builtin_memcpy(&vector, from, sizeof vector);
  return vector;
}

inline void store(float* to, Vector vector) { __builtin_memcpy(to, &vector, sizeof vector); }

// The first `count` lanes, from 0 to all; the others are nought and no memory of theirs is read.
inline Vector load(const float* from, std::int64_t count) {
#if defined(__AVX512F__)
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1U << count) - 1), from);
#else
  Vector vector{};
  for (std::int64_t lane = 0; lane < count; ++lane) vector[lane] = from[lane];
  return vector;
#endif
}

inline void store(float* to, Vector vector, std::int64_t count) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1U << count) - 1), vector);
#else
  for (std::int64_t lane = 0; lane < count; ++lane) to[lane] = vector[lane];
#endif
}

inline float sum(Vector vector) {
  float total = 0;
  for (std::int64_t lane = 0; lane < lanes; ++lane) total += vector[lane];
  return total;
}

// do(column, count) for each vector of a row, the last one shorter where the width is no multiple of the lanes.
template <class Do>
inline void each_vector(std::int64_t width, Do&& visit) {
  std::int64_t column = 0;
  for (; column + lanes <= width; column += lanes) visit(column, lanes);
  if (column < width) visit(column, width - column);
}

}  // namespace isoflop::ops::ISOFLOP_ISA
