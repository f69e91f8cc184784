// Products by vectors: a block of rows by two vectors of columns in registers, an element of A broadcast to each.
//
// An element of 32 bits is a float32, or two bfloat16 that follow each other along the inner dimension.
#pragma once

#include "products_rounding.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

inline constexpr std::int64_t panel_width = 2 * lanes;
inline constexpr int block_rows = lanes == 16 ? 14 : 6;

struct Floats {
  static Vector add_product(Vector sum, float a, Vector b) { return sum + a * b; }
};

#if defined(__AVX512BF16__)
struct Pairs {
  static Vector add_product(Vector sum, float a, Vector b) {
    const Vector all = broadcast(a);
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(all), reinterpret_cast<__m512bh>(b));
  }
};
#endif

// Left-hand elements: a + row * rows_apart + step * steps_apart, one of the two strides being 1.
struct Strided {
  const float* a;
  std::int64_t rows_apart, steps_apart;
};

// `count` blocks of rows, one below the other, of C (rows x columns) = or += A B over `depth` steps; a step of B is
// `vectors` whole vectors. The blocks are a loop here: a call each took as long as twenty steps.
template <class Kind, int rows, int vectors, bool down>
void blocks(std::int64_t count, Strided left, const float* panel, std::int64_t depth, float* c, std::int64_t ldc,
            std::int64_t columns, bool add) {
  const std::int64_t tail = columns - (vectors - 1) * lanes;
  for (; count > 0; --count, left.a += rows * left.rows_apart, c += rows * ldc) {
    Vector sums[rows][vectors];
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 2
      for (int j = 0; j < vectors; ++j) sums[i][j] = Vector{};
    }
    // Three rows to a pointer, at 0, 1 and 2 strides from it: fourteen pointers would not fit the registers.
    constexpr int groups = (rows + 2) / 3;
    const float *at[groups], *b = panel, *a = left.a;
    for (int group = 0; group < groups; ++group) at[group] = a + 3 * group * left.rows_apart;
    for (std::int64_t step = 0; step < depth; ++step) {
      Vector right[vectors];
#pragma GCC unroll 2
      for (int j = 0; j < vectors; ++j) right[j] = load(b + j * lanes);
      b += vectors * lanes;
#pragma GCC unroll 16
      for (int i = 0; i < rows; ++i) {
        const float element = down ? a[i] : at[i / 3][i % 3 * left.rows_apart];
#pragma GCC unroll 2
        for (int j = 0; j < vectors; ++j) sums[i][j] = Kind::add_product(sums[i][j], element, right[j]);
      }
      if constexpr (down) {
        a += left.steps_apart;
      } else {
#pragma GCC unroll 16
        for (int group = 0; group < groups; ++group) {
          ++at[group];
          asm("" : "+r"(at[group]));  // or the compiler makes a pointer of each row again
        }
      }
    }
#pragma GCC unroll 16
    for (int i = 0; i < rows; ++i) {
#pragma GCC unroll 2
      for (int j = 0; j < vectors; ++j) {
        float* const to = c + i * ldc + j * lanes;
        if (j + 1 < vectors) store(to, add ? load(to) + sums[i][j] : sums[i][j]);
        else store(to, add ? load(to, tail) + sums[i][j] : sums[i][j], tail);
      }
    }
  }
}

using RunBlocks = void (*)(std::int64_t, Strided, const float*, std::int64_t, float*, std::int64_t, std::int64_t, bool);

// Of one vector of columns and of two, by rows less one.
template <class Kind, bool down, class Rows>
struct AllBlocks;
template <class Kind, bool down, int... rows>
struct AllBlocks<Kind, down, std::integer_sequence<int, rows...>> {
  static constexpr RunBlocks of[2][sizeof...(rows)] = {{blocks<Kind, rows + 1, 1, down>...},
                                                       {blocks<Kind, rows + 1, 2, down>...}};
};

// Products that are added up before their sum is added to C: long sums lose digits.
inline constexpr std::int64_t steps_summed = 256;

// Into how many blocks m rows go: of one height where one of the highest third divides them, else as few as can be, of
// two. One of two rows takes as long as one of four, and a second call as long as another.
inline std::int64_t blocks_down(std::int64_t m) {
  for (std::int64_t rows = block_rows; rows >= shares(2 * block_rows, 3); --rows)
    if (m % rows == 0) return m / rows;
  return shares(m, block_rows);
}

// C (m x n) = or += A B of B packed in panels of `panel_width` columns by `depth` steps.
template <class Kind, bool down>
void multiply_panels(Strided left, std::int64_t m, const float* packed, std::int64_t depth, std::int64_t n, float* c,
                     std::int64_t ldc, bool add) {
  using All = AllBlocks<Kind, down, std::make_integer_sequence<int, block_rows>>;
  const std::int64_t count = blocks_down(m), each = m / count, taller = m % count;
  for (std::int64_t column = 0; column < n; column += panel_width) {
    const std::int64_t columns = least(panel_width, n - column), wide = rounded_up(columns, lanes);
    const auto run = [&](std::int64_t row, std::int64_t rows, std::int64_t of_them, std::int64_t step) {
      if (of_them == 0) return;
      const float* const a = left.a + row * left.rows_apart + step * (down ? left.steps_apart : 1);
      All::of[columns > lanes][rows - 1](of_them, {a, left.rows_apart, left.steps_apart},
                                         packed + column * depth + step * wide, least(steps_summed, depth - step),
                                         c + row * ldc + column, ldc, columns, add || step > 0);
    };
    for (std::int64_t step = 0; step < depth; step += steps_summed) {
      run(0, each + 1, taller, step);
      run(taller * (each + 1), each, count - taller, step);
    }
  }
}

inline std::int64_t panel_floats(std::int64_t steps, std::int64_t n) { return steps * rounded_up(n, lanes); }

// B (steps x n) into panels, rounded where `round`.
inline void pack_floats(const float* b, std::int64_t ldb, bool transposed, std::int64_t steps, std::int64_t n,
                        bool round, float* to) {
  for (std::int64_t column = 0; column < n; column += panel_width) {
    const std::int64_t columns = least(panel_width, n - column), wide = rounded_up(columns, lanes);
    for (std::int64_t step = 0; step < steps; ++step, to += wide) {
      for (std::int64_t at = 0; at < wide; at += lanes) {
        const std::int64_t count = least(lanes, columns - at);
        Vector values{};
        if (transposed) {
          for (std::int64_t lane = 0; lane < count; ++lane) values[lane] = b[(column + at + lane) * ldb + step];
        } else {
          values = load(b + step * ldb + column + at, count);
        }
        store(to + at, round ? round_to_bfloat16(values) : values);
      }
    }
  }
}

#if defined(__AVX512BF16__)

// B (k x n) into panels of `width` columns, pairs along k, `steps` pairs to a panel: noughts past k and n.
inline void pack_pairs(const float* b, std::int64_t ldb, bool transposed, std::int64_t k, std::int64_t steps,
                       std::int64_t n, std::int64_t width, float* to) {
  for (std::int64_t column = 0; column < n; column += width) {
    const std::int64_t columns = least(width, n - column), wide = rounded_up(columns, lanes);
    for (std::int64_t at = 0; at < columns; at += lanes) {
      const std::int64_t count = least(lanes, columns - at);
      std::int64_t begun = 0;
      if (!transposed && count == lanes)
        for (; begun < k / 2; ++begun) {
          const float* from = b + 2 * begun * ldb + column + at;
          _mm512_storeu_si512(to + begun * wide + at, pair_rows(load(from), load(from + ldb)));
        }
      for (std::int64_t step = begun; step < steps; transposed ? step += 16 : ++step) {
        if (!transposed) {
          const float* from = b + 2 * step * ldb + column + at;
          const Vector first = 2 * step < k ? load(from, count) : Vector{};
          const Vector second = 2 * step + 1 < k ? load(from + ldb, count) : Vector{};
          _mm512_storeu_si512(to + step * wide + at, pair_rows(first, second));
          continue;
        }
        __m512i rows[16];
        for (std::int64_t row = 0; row < 16; ++row) {
          const std::int64_t left = k - 2 * step;
          rows[row] = row < count && left > 0 ? pair_columns(b + (column + at + row) * ldb + 2 * step, least(32, left))
                                              : __m512i{};
        }
        float* const at_step = to + step * wide + at;
        if (steps - step >= 16) {
          transpose(rows, at_step, wide);
          continue;
        }
        alignas(64) float turned[16 * 16];
        transpose(rows, turned, 16);
        for (std::int64_t row = 0; row < steps - step; ++row) store(at_step + row * wide, load(turned + 16 * row));
      }
    }
    to += steps * wide;
  }
}

#endif

}  // namespace isoflop::ops::ISOFLOP_ISA
