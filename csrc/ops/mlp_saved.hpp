// What the MLP's forward pass saves for its backward one, where products are made by tiles: activations, made ready for
// the gradient of W_out, and slopes, by which gradients of activations are multiplied.
#pragma once

#include "products.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

// Memory of 4 bytes for each of M rows, rounded up to 32, and F hidden columns, rounded up to 16: activations as one
// Stacked of `sum_rows` rows after the other; slopes in float16, whose digits are more than those of what they
// multiply, in blocks of 32 rows by 16 columns.
class Saved {
 public:
  Saved(float* memory, std::int64_t rows, std::int64_t deep, Products products)
      : memory_(memory), rows_(rows), deep_(deep), products_(products) {}

  bool any() const { return memory_ != nullptr; }

  // Those of the tile of `sum_rows` rows that `row` is in.
  Stacked activations(std::int64_t row) const {
    return {memory_ + row / sum_rows * sum_rows * across() / 2, rows_of_tile(row), deep_, products_};
  }

  // Of 32 rows, from a multiple of that on, and a vector of columns.
  struct Block {
    float *pairs, *slopes;

#if defined(__AMX_BF16__)
    // Of row `row` of the block, an even number, and of the next; activations rounded, one row behind the other.
    void put(std::int64_t row, __m512i activations, Vector first, Vector second) const {
      _mm512_storeu_si512(pairs + row / 2 * lanes, pairs_of(activations));
      put_slope(row, first), put_slope(row + 1, second);
    }

    void put_slope(std::int64_t row, Vector of) const {
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(slopes + row * lanes / 2),
                          _mm512_cvtps_ph(of, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }

    Vector slope(std::int64_t row) const {
      return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(slopes + row * lanes / 2)));
    }
#endif
  };

  Block block(std::int64_t row, std::int64_t column) const {
    const std::int64_t steps = shares(rows_of_tile(row), 32) * 16, first = row / sum_rows * sum_rows;
    return {memory_ + first * across() / 2 + column * steps + (row - first) / 2 * lanes,
            memory_ + (rounded_up(rows_, block_of_rows) + row) * across() / 2 + column * block_of_rows / 2};
  }

 private:
  std::int64_t across() const { return rounded_up(deep_, 16); }

  std::int64_t rows_of_tile(std::int64_t row) const { return least(sum_rows, rows_ - row / sum_rows * sum_rows); }

  float* memory_;
  std::int64_t rows_, deep_;
  Products products_;
};

}  // namespace isoflop::ops::ISOFLOP_ISA
