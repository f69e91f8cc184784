// Products by tiles (AMX): 32 x 32 sums in four tiles, bfloat16 pairs of A and of B in two each.
//
// A is rows of pairs, 32 of which may be read whatever m is; B is panels of 16 columns by `steps` pairs, a multiple of
// 16.
#pragma once

#include "instructions.hpp"
#include "products_lanes.hpp"

#if defined(__AMX_BF16__)

namespace isoflop::ops::ISOFLOP_ISA {

inline constexpr std::int64_t tile_rows = 16, tile_floats = 16 * 16;

// All eight tiles are 16 rows of 64 bytes. To be called by an op before its first product: other libraries in the
// process configure tiles too.
inline void configure_tiles(Context& context) {
  if (context.tiles) return;
  context.tiles = true;
  struct Configuration {
    std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  };
  alignas(64) static constexpr Configuration configuration;
  static_assert(sizeof configuration == 64);
  configure(configuration);
}

// Where a product goes.
struct Sums {
  float* c;
  std::int64_t ldc;
  bool add;

  Sums at(std::int64_t row, std::int64_t column) const { return {c + row * ldc + column, ldc, add}; }
};

// Tiles that reach past C go through memory of their own.
inline void put_part(const float* tile, Sums to, std::int64_t rows, std::int64_t columns) {
  for (std::int64_t i = 0; i < rows; ++i, to.c += to.ldc) {
    const Vector made = load(tile + 16 * i);
    store(to.c, to.add ? load(to.c, columns) + made : made, columns);
  }
}

template <int tile>
void start_tile(const Sums& to, std::int64_t rows, std::int64_t columns) {
  if (to.add && rows >= 16 && columns >= 16) load_tile<tile>(to.c, to.ldc);
  else clear_tile<tile>();
}

template <int tile>
void finish_tile(const Sums& to, std::int64_t rows, std::int64_t columns) {
  if (rows >= 16 && columns >= 16) {
    store_tile<tile>(to.c, to.ldc);
    return;
  }
  alignas(64) float made[tile_floats];
  store_tile<tile>(made, 16);
  put_part(made, to, least(16, rows), least(16, columns));
}

// Tiles 0 to 3 hold sums, 4 and 5 rows of A, 6 and 7 panels of B: those are there already where they `stay`.
template <bool two_rows, bool two_columns>
inline void multiply_block(const float* a, std::int64_t lda, const float* b, std::int64_t steps, bool stay,
                           const Sums& to, std::int64_t rows, std::int64_t columns) {
  const Sums to1 = to.at(0, 16), to2 = to.at(16, 0), to3 = to.at(16, 16);
  start_tile<0>(to, rows, columns);
  if constexpr (two_columns) start_tile<1>(to1, rows, columns - 16);
  if constexpr (two_rows) start_tile<2>(to2, rows - 16, columns);
  if constexpr (two_rows && two_columns) start_tile<3>(to3, rows - 16, columns - 16);
  const float* next = b + steps * 16;
  for (std::int64_t step = 0; step < steps; step += 16) {
    if (!stay) load_tile<6>(b + step * 16, 16);
    load_tile<4>(a + step, lda);
    multiply_tile<0, 4, 6>();
    if constexpr (two_columns) {
      if (!stay) load_tile<7>(next + step * 16, 16);
      multiply_tile<1, 4, 7>();
    }
    if constexpr (two_rows) {
      load_tile<5>(a + 16 * lda + step, lda);
      multiply_tile<2, 5, 6>();
    }
    if constexpr (two_rows && two_columns) multiply_tile<3, 5, 7>();
  }
  finish_tile<0>(to, rows, columns);
  if constexpr (two_columns) finish_tile<1>(to1, rows, columns - 16);
  if constexpr (two_rows) finish_tile<2>(to2, rows - 16, columns);
  if constexpr (two_rows && two_columns) finish_tile<3>(to3, rows - 16, columns - 16);
}

// All rows of C by at most 32 of its columns. What one step takes of B is read once.
template <bool two_columns>
void multiply_columns(const float* a, std::int64_t lda, std::int64_t m, const float* b, std::int64_t steps, Sums to,
                      std::int64_t columns) {
  const bool stay = steps == 16;
  if (stay) {
    load_tile<6>(b, 16);
    if constexpr (two_columns) load_tile<7>(b + 16 * 16, 16);
  }
  const auto next = [&] { m -= 32, a += 32 * lda, to = to.at(32, 0); };
  // Of whole blocks the compiler knows that they are.
  for (; m >= 32 && columns >= 32; next()) multiply_block<true, two_columns>(a, lda, b, steps, stay, to, 32, 32);
  for (; m > 16; next()) multiply_block<true, two_columns>(a, lda, b, steps, stay, to, m, columns);
  if (m > 0) multiply_block<false, two_columns>(a, lda, b, steps, stay, to, m, columns);
}

inline void multiply_tiles(const float* a, std::int64_t lda, std::int64_t m, const float* packed, std::int64_t steps,
                           std::int64_t n, const Sums& to) {
  for (std::int64_t column = 0; column < n; column += 32) {
    const auto run = n - column > 16 ? multiply_columns<true> : multiply_columns<false>;
    run(a, lda, m, packed + column * steps, steps, to.at(0, column), n - column);
  }
}

// A (k x m) turned into rows of pairs: row i holds column i of A.
inline void turn_into_pairs(const float* a, std::int64_t lda, std::int64_t k, std::int64_t m, std::int64_t steps,
                            float* to) {
  for (std::int64_t column = 0; column < m; column += 16) {
    const std::int64_t count = least(16, m - column);
    for (std::int64_t step = 0; step < steps; step += 16) {
      __m512i rows[16];
      for (std::int64_t row = 0; row < 16; ++row) {
        const std::int64_t at = 2 * (step + row);
        const float* from = a + at * lda + column;
        rows[row] = count == lanes && at + 1 < k ? pair_rows(load(from), load(from + lda))
                                                 : pair_rows(at < k ? load(from, count) : Vector{},
                                                             at + 1 < k ? load(from + lda, count) : Vector{});
      }
      transpose(rows, to + column * steps + step, steps);
    }
  }
}

// 16 x 16 sums turned, or as many of their rows and columns as there are.
inline void put_turned(const __m512i (&given)[16], Sums to, std::int64_t rows, std::int64_t columns) {
  if (rows >= 16 && columns >= 16) {
    transpose(given, to.c, to.ldc);
    return;
  }
  alignas(64) float turned[tile_floats];
  transpose(given, turned, 16);
  put_part(turned, to, least(16, rows), least(16, columns));
}

}  // namespace isoflop::ops::ISOFLOP_ISA

#endif
