// Products of matrices in row order: C (m x n) = A (m x k) B (k x n), and A^T B for gradients of weights.
//
// Any m, k, n from 1 on. B is packed once into panels of columns; A is read where it stands, or through a Panel of its
// rows where operands are rounded to bfloat16. Sums are float32.
#pragma once

#include "simd.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

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

  // The first `rows` rows become those of `a`, `lda` apart; float32 is read where it stands.
  void read(const float* a, std::int64_t lda, std::int64_t rows);

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

// Rows that a panel best holds: what the kernels take at a time, a few times over.
std::int64_t panel_rows(std::int64_t k, Products products);

// C = or += the first m rows of the panel times B.
void multiply(const Panel& a, std::int64_t m, const void* packed, std::int64_t n, float* c, std::int64_t ldc, bool add);

// C (m x n) = or += A B, A row after row `lda` apart.
void multiply(const float* a, std::int64_t lda, std::int64_t m, const void* packed, std::int64_t k, std::int64_t n,
              float* c, std::int64_t ldc, bool add, Context& context);

// Rows that a sum over rows best takes at a time: what is made of them stays in the second cache.
inline constexpr std::int64_t sum_rows = 256;

// The two sides of a sum over rows, A (rows x m) and B (rows x n) of A^T B, each made ready once for all the products
// that it has a part in; `rows`, `m` and `n` are the most there will be. Their memory is the context's scratch.
class Turned {
 public:
  Turned(Context& context, std::int64_t rows, std::int64_t m);
  void read(const float* a, std::int64_t lda, std::int64_t rows, std::int64_t m);

  const float* data() const { return data_; }
  std::int64_t m() const { return m_; }
  std::int64_t steps() const { return steps_; }
  std::int64_t rows_apart() const { return apart_; }
  std::int64_t steps_apart() const { return step_; }
  Products products() const { return products_; }

 private:
  float* own_ = nullptr;
  const float* data_ = nullptr;
  std::int64_t m_, steps_ = 0, apart_ = 1, step_ = 0;
  Products products_;
};

class Stacked {
 public:
  Stacked(Context& context, std::int64_t rows, std::int64_t n);
  void read(const float* b, std::int64_t ldb, std::int64_t rows, std::int64_t n);

  const float* data() const { return own_; }
  std::int64_t n() const { return n_; }

 private:
  float* own_;
  std::int64_t n_;
  Products products_;
};

// C (m x n) = or += A^T B.
void multiply(const Turned& a, const Stacked& b, float* c, std::int64_t ldc, bool add);

// C (m x n) = or += A^T B, of A (rows x m) and B (rows x n): gradients of weights.
void multiply_transposed(const float* a, std::int64_t lda, const float* b, std::int64_t ldb, std::int64_t rows,
                         std::int64_t m, std::int64_t n, float* c, std::int64_t ldc, bool add, Context& context);

}  // namespace isoflop::ops::ISOFLOP_ISA
