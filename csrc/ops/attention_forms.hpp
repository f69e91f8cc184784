// What attention multiplies with: vectors of float32, or tiles of bfloat16. Both take the same steps over the same
// buffers of 32-bit elements: a float32, or two bfloat16 that follow each other along the inner dimension.
#pragma once

#include "elementary.hpp"
#include "products_tiles.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

inline constexpr std::int64_t band = 32;                  // rows, and a multiple of columns, that are taken at a time
inline constexpr std::int64_t band_vectors = 32 / lanes;  // of 32 columns

using BandVectors = Vector[band_vectors];

// Rows of a matrix, so many floats apart.
template <class T>
struct Rows {
  T* first;
  std::int64_t apart;

  T* at(std::int64_t row) const { return first + row * apart; }
};

inline void fill_noughts(float* from, std::int64_t count) {
  __builtin_memset(from, 0, static_cast<std::size_t>(count) * sizeof(float));
}

template <bool rounded>
struct VectorForm {
  static constexpr std::int64_t width = panel_width;  // of a panel of a right-hand matrix
  static constexpr Products products = rounded ? Products::bfloat16 : Products::float32;
  static constexpr bool turned_sums = false;  // whether gradients of queries are added up as columns

  static void begin(Context&) {}

  // 32-bit elements of k.
  static constexpr std::int64_t steps(std::int64_t k) { return k; }

  // Of scores that become weights.
  static Vector exp2(Vector x) { return ISOFLOP_ISA::exp2(x); }

  static Vector round(Vector values) { return rounded ? round_to_bfloat16(values) : values; }

  // 32 columns of a left-hand row.
  static void put(float* to, const BandVectors& values) {
    for (std::int64_t i = 0; i < band_vectors; ++i) store(to + i * lanes, round(values[i]));
  }

  // x (rows x k) as a left-hand matrix.
  static void read_rows(Rows<const float> x, std::int64_t rows, std::int64_t k, float* to) {
    for (std::int64_t row = 0; row < rows; ++row, to += k)
      each_vector(k, [&](std::int64_t column, std::int64_t count) {
        store(to + column, round(load(x.at(row) + column, count)), count);
      });
  }

  static void pack(const float* x, std::int64_t ldx, bool transposed, std::int64_t k, std::int64_t n, float* to) {
    pack_floats(x, ldx, transposed, k, n, rounded, to);
  }

  static void multiply(const float* left, std::int64_t apart, std::int64_t m, const float* right, std::int64_t depth,
                       std::int64_t n, float* c, std::int64_t ldc, bool add) {
    multiply_panels<Floats, false>({left, apart, 1}, m, right, depth, n, c, ldc, add);
  }
};

#if defined(__AMX_BF16__)

struct TileForm {
  static constexpr std::int64_t width = lanes;
  static constexpr Products products = Products::bfloat16;
  static constexpr bool turned_sums = true;

  static void begin(Context& context) { configure_tiles(context); }

  static constexpr std::int64_t steps(std::int64_t k) { return shares(k, 32) * 16; }

  static void put(float* to, const BandVectors& values) {
    const __m512bh both = _mm512_cvtne2ps_pbh(values[1], values[0]);
    __builtin_memcpy(to, &both, sizeof both);
  }

  static Vector exp2(Vector x) { return rough_exp2(x); }

  // Two rows of 32 columns, as two panels of pairs of a right-hand matrix that are `apart` from each other.
  static void put_pairs(float* to, std::int64_t apart, const BandVectors& first, const BandVectors& second) {
    for (std::int64_t i = 0; i < band_vectors; ++i) _mm512_storeu_si512(to + i * apart, pair_rows(first[i], second[i]));
  }

  static void read_rows(Rows<const float> x, std::int64_t rows, std::int64_t k, float* to) {
    with_width(k, [&]<std::int64_t known>() {
      const std::int64_t across = known == 0 ? k : known;
      for (std::int64_t row = 0; row < rows; ++row)
        for (std::int64_t column = 0; column < across; column += 32, to += 16)
          _mm512_storeu_si512(to, pair_columns(x.at(row) + column, least(32, across - column)));
    });
  }

  static void pack(const float* x, std::int64_t ldx, bool transposed, std::int64_t k, std::int64_t n, float* to) {
    pack_pairs(x, ldx, transposed, k, steps(k), n, width, to);
  }

  static void multiply(const float* left, std::int64_t apart, std::int64_t m, const float* right, std::int64_t depth,
                       std::int64_t n, float* c, std::int64_t ldc, bool add) {
    multiply_tiles(left, apart, m, right, depth, n, {c, ldc, add});
  }
};

#endif

// run.operator()<Form>() of the form for the products asked for.
template <class Run>
void with_form(Products products, Run&& run) {
  if (products == Products::float32) run.template operator()<VectorForm<false>>();
#if defined(__AMX_BF16__)
  else run.template operator()<TileForm>();
#else
  else run.template operator()<VectorForm<true>>();
#endif
}

inline std::int64_t padded(std::int64_t seq) { return rounded_up(seq, band); }

// x itself: T deep, to be multiplied from any multiple of 32 rows on, noughts past T.
template <class Form>
struct RightMatrix {
  float* data;
  std::int64_t depth, width;

  static std::int64_t floats(std::int64_t seq, std::int64_t width) {
    return Form::steps(padded(seq)) * rounded_up(width, lanes);
  }

  RightMatrix(Rows<const float> x, std::int64_t seq, std::int64_t columns, float* to)
      : data(to), depth(Form::steps(padded(seq))), width(columns) {
    for (std::int64_t column = 0; column < width; column += Form::width) {
      const std::int64_t here = least(Form::width, width - column), wide = rounded_up(here, lanes);
      float* panel = data + column * depth;
      Form::pack(x.first + column, x.apart, false, seq, here, panel);
      fill_noughts(panel + Form::steps(seq) * wide, (depth - Form::steps(seq)) * wide);
    }
  }

  // c (m x C) = or += left (m x count) times `count` of the rows from `first` on.
  void multiply(const float* left, std::int64_t apart, std::int64_t m, std::int64_t first, std::int64_t count,
                Rows<float> c, bool add) const {
    for (std::int64_t column = 0; column < width; column += Form::width) {
      const std::int64_t here = least(Form::width, width - column), wide = rounded_up(here, lanes);
      Form::multiply(left, apart, m, data + column * depth + Form::steps(first) * wide, Form::steps(count), here,
                     c.first + column, c.apart, add);
    }
  }
};

}  // namespace isoflop::ops::ISOFLOP_ISA
