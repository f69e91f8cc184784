// What both passes of the MLP take and keep: y = x + act(u W_in^T + b_in) W_out^T + b_out, u = norm(x).
#pragma once

#include "activation.hpp"
#include "awake.hpp"
#include "mlp_saved.hpp"
#include "products.hpp"
#include "row_norm.hpp"
#include "rows.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

inline constexpr std::int64_t hidden_columns = 64;  // made at a time

struct Mlp {
  const float *x, *gain, *bias, *w_in, *b_in, *w_out, *b_out;
  std::int64_t rows, width, deep;
  RowNorm norm;
  bool residual;
};

// tensors from `first` on: x (M, D), gain (D)?, bias (D)?, w_in (F, D) or (2 F, D), b_in?, w_out (D, F), b_out (D)?;
// sizes: M, D, F; settings: kind of activation, kind of norm, eps, whether x is added.
inline Mlp read_mlp(const Arguments& arguments, std::size_t first) {
  const auto tensor = [&](std::size_t index) { return arguments.tensor<const float>(first + index); };
  const std::int64_t* sizes = arguments.sizes;
  return {tensor(0),
          tensor(1),
          tensor(2),
          tensor(3),
          tensor(4),
          tensor(5),
          tensor(6),
          sizes[0],
          sizes[1],
          sizes[2],
          {static_cast<Norm>(arguments.settings[1]), tensor(1), tensor(2), sizes[1],
           static_cast<float>(arguments.settings[2])},
          arguments.settings[3] != 0};
}

// Packed matrices one behind the other.
struct KeptMatrices {
  std::byte* at;
  Products products;
  bool first;

  const std::byte* take(const float* b, std::int64_t ldb, bool transposed, std::int64_t k, std::int64_t n) {
    std::byte* const to = at;
    if (first) pack(b, ldb, transposed, k, n, products, to);
    at += packed_bytes(k, n, products);
    return to;
  }
};

// Hidden columns from `column` on of a packed w_in: its panels of columns follow each other.
inline const std::byte* columns_of(const std::byte* packed, std::int64_t column, std::int64_t k, Products products) {
  return packed + packed_bytes(k, column, products);
}

}  // namespace isoflop::ops::ISOFLOP_ISA
