// Vectors of float32 as wide as the instruction set that this is compiled for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

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

inline constexpr std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
inline constexpr std::int64_t shares(std::int64_t whole, std::int64_t part) { return (whole + part - 1) / part; }
inline constexpr std::int64_t rounded_up(std::int64_t value, std::int64_t step) { return shares(value, step) * step; }

typedef float Vector __attribute__((vector_size(lanes * sizeof(float))));
typedef std::int32_t Ints __attribute__((vector_size(lanes * sizeof(float))));

inline Vector broadcast(float value) { return Vector{} + value; }

template <std::size_t... lane>
inline Ints count_lanes(std::index_sequence<lane...>) {
  return Ints{static_cast<std::int32_t>(lane)...};
}

// 0, 1, 2, ...
inline Ints lane_numbers() { return count_lanes(std::make_index_sequence<lanes>()); }

inline Vector load(const float* from) {
  Vector vector;
  __builtin_memcpy(&vector, from, sizeof vector);
  return vector;
}

inline void store(float* to, Vector vector) { __builtin_memcpy(to, &vector, sizeof vector); }

// The first `count` lanes, from 0 to all; the others are nought and no memory of theirs is read. AVX2 has masks for it,
// of which a store takes AMD's processors dozens of cycles: whole vectors go without.
inline Vector load(const float* from, std::int64_t count) {
#if defined(__AVX512F__)
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1U << count) - 1), from);
#elif defined(__AVX2__)
  if (count == lanes) return load(from);
  return _mm256_maskload_ps(from, (__m256i)(lane_numbers() < static_cast<std::int32_t>(count)));
#else
  Vector vector{};
  for (std::int64_t lane = 0; lane < count; ++lane) vector[lane] = from[lane];
  return vector;
#endif
}

inline void store(float* to, Vector vector, std::int64_t count) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1U << count) - 1), vector);
#elif defined(__AVX2__)
  if (count == lanes) store(to, vector);
  else _mm256_maskstore_ps(to, (__m256i)(lane_numbers() < static_cast<std::int32_t>(count)), vector);
#else
  for (std::int64_t lane = 0; lane < count; ++lane) to[lane] = vector[lane];
#endif
}

// The first `count` lanes, and noughts.
inline Vector first_lanes(Vector vector, std::int64_t count) {
  return count == lanes ? vector : lane_numbers() < static_cast<std::int32_t>(count) ? vector : Vector{};
}

// a > b ? a : b, so b where either is no number; `smaller` likewise. Compilers make no such instruction of that.
inline Vector larger(Vector a, Vector b) {
#if defined(__AVX512F__)
  return _mm512_max_ps(a, b);
#elif defined(__AVX2__)
  return _mm256_max_ps(a, b);
#else
  return a > b ? a : b;
#endif
}

inline Vector smaller(Vector a, Vector b) {
#if defined(__AVX512F__)
  return _mm512_min_ps(a, b);
#elif defined(__AVX2__)
  return _mm256_min_ps(a, b);
#else
  return a < b ? a : b;
#endif
}

inline Vector square_root(Vector x) {
#if defined(__AVX512F__)
  return _mm512_maskz_sqrt_ps(0xffff, x);
#elif defined(__AVX2__)
  return _mm256_sqrt_ps(x);
#else
  for (std::int64_t lane = 0; lane < lanes; ++lane) x[lane] = __builtin_sqrtf(x[lane]);
  return x;
#endif
}

// Halves onto each other until one lane is left: the same order for every vector of a width.
template <class Join>
inline float reduce(Vector vector, Join&& join) {
#if defined(__AVX512F__)
  vector = join(vector, __builtin_shuffle(vector, lane_numbers() ^ 8));
#endif
#if defined(__AVX2__)
  vector = join(vector, __builtin_shuffle(vector, lane_numbers() ^ 4));
#endif
  vector = join(vector, __builtin_shuffle(vector, lane_numbers() ^ 2));
  vector = join(vector, __builtin_shuffle(vector, lane_numbers() ^ 1));
  return vector[0];
}

inline float sum(Vector vector) {
  return reduce(vector, [](Vector a, Vector b) { return a + b; });
}

inline float largest(Vector vector) { return reduce(vector, larger); }

// Of two sets of vectors, lanes of which are `half` from each other: their sums, in turns of `half` lanes.
template <std::int64_t half>
Vector join_halves(Vector a, Vector b) {
  const Ints at = lane_numbers(), across = at ^ static_cast<std::int32_t>(half),
             of_b = at & static_cast<std::int32_t>(half);
  const Ints later = of_b != 0 ? Ints{} + static_cast<std::int32_t>(lanes) : Ints{};
  const Ints first = (of_b != 0 ? across : at) + later, second = (of_b != 0 ? at : across) + later;
  return __builtin_shuffle(a, b, first) + __builtin_shuffle(a, b, second);
}

// Lane i is the sum of vector i, each as `sum` has it, in a tenth of its instructions; what is given is lost.
template <std::int64_t half = lanes / 2>
Vector sum_each(Vector (&vectors)[lanes]) {
  for (std::int64_t i = 0; i < half; ++i) vectors[i] = join_halves<half>(vectors[i], vectors[i + half]);
  if constexpr (half > 1) return sum_each<half / 2>(vectors);
  else return vectors[0];
}

// do(column, count) for each vector of a row, the last one shorter where the width is no multiple of the lanes.
template <class Do>
inline void each_vector(std::int64_t width, Do&& visit) {
  std::int64_t column = 0;
  for (; column + lanes <= width; column += lanes) visit(column, lanes);
  if (column < width) visit(column, width - column);
}

// run.operator()<known>() of a width that the compiler knows where it is that of small models, whose loops over a row
// would take longer than what they do; 0 where it is another.
template <class Run>
inline void with_width(std::int64_t width, Run&& run) {
  switch (width) {
    case 16: return run.template operator()<16>();
    case 32: return run.template operator()<32>();
    case 64: return run.template operator()<64>();
    default: return run.template operator()<0>();
  }
}

}  // namespace isoflop::ops::ISOFLOP_ISA
