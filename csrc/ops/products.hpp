// Products of matrices in row order: C (m x n) = A (m x k) B (k x n), and A^T B for gradients of weights.
//
// Any m, k, n from 1 on. B is packed once into panels of columns; A is read where it stands, or through a Panel of its
// rows where operands are rounded to bfloat16. Sums are float32.
#pragma once

#include "products_rounding.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

// What an instruction set makes of the products asked for.
enum class Operands { floats, rounded, pairs, tiles };

constexpr Operands operands_of(Products products) {
  if (products == Products::float32) return Operands::floats;
#if defined(__AMX_BF16__)
  return Operands::tiles;
#elif defined(__AVX512BF16__)
  return Operands::pairs;
#else
  return Operands::rounded;
#endif
}

// Bytes of a packed right-hand matrix.
std::size_t packed_bytes(std::int64_t k, std::int64_t n, Products products);

// Packs B (k x n), row after row `ldb` apart, or, `transposed`, B stored as (n x k). `to` is aligned to 64 bytes.
void pack(const float* b, std::int64_t ldb, bool transposed, std::int64_t k, std::int64_t n, Products products,
          void* to);

// Rows of a left-hand matrix as products read them, so few that they stay in the first cache: float32, or bfloat16 side
// by side with noughts behind the last column. Lives as long as the op: its memory is the context's scratch.
class Panel {
 public:
  Panel(Context& context, std::int64_t rows, std::int64_t k);

  // Columns of a row, `count` of them from `column` on, a multiple of the lanes.
  void put(std::int64_t row, std::int64_t column, Vector values, std::int64_t count) const;

  // A block of `rows` rows from `row` on, likewise.
  void put(std::int64_t row, std::int64_t column, const Vector* values, std::int64_t rows, std::int64_t count) const;

#if defined(__AVX512BF16__)
  // Row `row` and the next as `round_rows` has them.
  void put_rounded(std::int64_t row, std::int64_t column, __m512i both, std::int64_t count) const {
    auto* const to = reinterpret_cast<std::uint16_t*>(own_ + row * steps_) + column;
    const auto there = static_cast<__mmask16>((1U << count) - 1);
    _mm256_mask_storeu_epi16(to, there, _mm512_castsi512_si256(both));
    _mm256_mask_storeu_epi16(to + 2 * steps_, there, _mm512_extracti64x4_epi64(both, 1));
  }
#endif

  // The first `rows` rows become those of `a`, `lda` apart; float32 is read where it stands.
  void read(const float* a, std::int64_t lda, std::int64_t rows);

  // The rows from `row` on, a multiple of what the kernels take at a time.
  Panel from(std::int64_t row) const {
    Panel rest = *this;
    rest.own_ += row * steps_, rest.data_ += row * stride_;
    return rest;
  }

  // Addresses of 32-bit elements: a float, or a pair of bfloat16.
  const float* data() const { return data_; }
  std::int64_t stride() const { return stride_; }
  std::int64_t steps() const { return steps_; }
  std::int64_t k() const { return k_; }
  Products products() const { return products_; }

 private:
  float* own_;
  const float* data_;
  std::int64_t steps_, stride_, k_;
  Products products_;
};

inline void Panel::put(std::int64_t row, std::int64_t column, Vector values, std::int64_t count) const {
  float* const to = own_ + row * steps_;
  switch (operands_of(products_)) {
    case Operands::floats: store(to + column, values, count); break;
    case Operands::rounded: store(to + column, round_to_bfloat16(values), count); break;
    default: {
#if defined(__AVX512BF16__)
      const __m256bh rounded = _mm512_cvtneps_pbh(values);
      _mm256_mask_storeu_epi16(reinterpret_cast<std::uint16_t*>(to) + column, static_cast<__mmask16>((1U << count) - 1),
                               reinterpret_cast<__m256i>(rounded));
#endif
    }
  }
}

// Rows that a panel best holds: what the kernels take at a time, a few times over.
std::int64_t panel_rows(std::int64_t k, Products products);

// C = or += the first m rows of the panel times B.
void multiply(const Panel& a, std::int64_t m, const void* packed, std::int64_t n, float* c, std::int64_t ldc, bool add);

// C (m x n) = or += A B, A row after row `lda` apart.
void multiply(const float* a, std::int64_t lda, std::int64_t m, const void* packed, std::int64_t k, std::int64_t n,
              float* c, std::int64_t ldc, bool add, Context& context);

// Rows that a sum over rows best takes at a time: what is made of them stays in the second cache.
inline constexpr std::int64_t sum_rows = 256;

// Rows of a block of a matrix that is made ready as it is computed: a vector of columns of each.
inline constexpr std::int64_t block_of_rows = 32;
using BlockOfRows = Vector[block_of_rows];

// visit(row, rows, column, columns) for blocks of 32 rows by a vector of columns.
template <class Visit>
void each_block(std::int64_t rows, std::int64_t columns, Visit&& visit) {
  for (std::int64_t row = 0; row < rows; row += block_of_rows)
    each_vector(columns, [&](std::int64_t column, std::int64_t count) {
      visit(row, least(block_of_rows, rows - row), column, count);
    });
}

// The two sides of a sum over rows, A (rows x m) and B (rows x n) of A^T B, each made ready once for all the products
// that it has a part in; `rows`, `m` and `n` are the most there will be. Their memory is the context's scratch.
//
// Either reads a matrix that stands in memory, or begins one and is given its blocks: columns from `column` on, a
// multiple of the lanes, of rows from `row` on, a multiple of 32; noughts past the last row and the last column.
class Turned {
 public:
  Turned(Context& context, std::int64_t rows, std::int64_t m);
  void read(const float* a, std::int64_t lda, std::int64_t rows, std::int64_t m);
  void begin(std::int64_t rows, std::int64_t m);
  void put(std::int64_t row, std::int64_t column, const BlockOfRows& values) const;
#if defined(__AMX_BF16__)
  // The same of a block that is rounded and whose rows are in pairs.
  void put_pairs(std::int64_t row, std::int64_t column, const __m512i (&pairs)[block_of_rows / 2]) const {
    transpose(pairs, own_ + column * steps_ + row / 2, steps_);
  }
#endif

  const float* data() const { return data_; }
  std::int64_t m() const { return m_; }
  std::int64_t steps() const { return steps_; }
  std::int64_t rows_apart() const { return apart_; }
  std::int64_t steps_apart() const { return step_; }
  Products products() const { return products_; }

 private:
  float* own_;
  const float* data_ = nullptr;
  std::int64_t m_, rows_ = 0, steps_ = 0, apart_ = 1, step_ = 0;
  Products products_;
};

class Stacked {
 public:
  Stacked(Context& context, std::int64_t rows, std::int64_t n);
  // In memory that outlives the op, of packed_bytes(rows, n).
  Stacked(float* memory, std::int64_t rows, std::int64_t n, Products products)
      : own_(memory), n_(n), rows_(rows), products_(products) {}
  void read(const float* b, std::int64_t ldb, std::int64_t rows, std::int64_t n);
  void begin(std::int64_t rows, std::int64_t n);
  void put(std::int64_t row, std::int64_t column, const BlockOfRows& values) const;

  // `columns` columns from `column` on, a multiple of the width of two panels.
  Stacked from(std::int64_t column, std::int64_t columns) const {
    const std::size_t before = packed_bytes(rows_, column, products_) / sizeof(float);
    return {own_ + before, rows_, columns, products_};
  }

  const float* data() const { return own_; }
  std::int64_t n() const { return n_; }

 private:
  float* own_;
  std::int64_t n_, rows_ = 0;
  Products products_;
};

// C (m x n) = or += A^T B.
void multiply(const Turned& a, const Stacked& b, float* c, std::int64_t ldc, bool add);

// C (m x n) = or += A^T B, of A (rows x m) and B (rows x n): gradients of weights.
void multiply_transposed(const float* a, std::int64_t lda, const float* b, std::int64_t ldb, std::int64_t rows,
                         std::int64_t m, std::int64_t n, float* c, std::int64_t ldc, bool add, Context& context);

}  // namespace isoflop::ops::ISOFLOP_ISA
