// A linear layer: y = x W^T + b + residual; dx = dy W, dW = dy^T x, db = sum over rows of dy.
#include "products.hpp"
#include "rows.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

// tensors: x (M, I), weight (O, I), bias (O)?, residual (M, O)?, which y may be, y (M, O), kept; sizes: M, I, O.
void linear(const Arguments& arguments, Context& context) {
  const float *x = arguments.tensor(0), *weight = arguments.tensor(1), *bias = arguments.tensor(2);
  const float* residual = arguments.tensor(3);
  float* y = arguments.tensor(4);
  void* packed = arguments.tensor(5);
  const std::int64_t rows = arguments.sizes[0], inner = arguments.sizes[1], width = arguments.sizes[2];
  if (context.first) pack(weight, inner, true, inner, width, context.products, packed);
  const std::int64_t at_a_time = panel_rows(inner, context.products);
  Panel panel(context, least(rows, at_a_time), inner);
  for (std::int64_t row = 0; row < rows; row += at_a_time) {
    const std::int64_t count = least(at_a_time, rows - row);
    panel.read(x + row * inner, inner, count);
    multiply(panel, count, packed, width, y + row * width, width, residual == y);
    add_rows(y + row * width, count, width, bias,
             residual == nullptr || residual == y ? nullptr : residual + row * width);
  }
}

// tensors: dy (M, O), x (M, I), weight (O, I), dx (M, I), dweight (O, I), dbias (O)?, kept; sizes: M, I, O.
void linear_backward(const Arguments& arguments, Context& context) {
  const float *dy = arguments.tensor(0), *x = arguments.tensor(1), *weight = arguments.tensor(2);
  float *dx = arguments.tensor(3), *dweight = arguments.tensor(4), *dbias = arguments.tensor(5);
  void* packed = arguments.tensor(6);
  const std::int64_t rows = arguments.sizes[0], inner = arguments.sizes[1], width = arguments.sizes[2];
  if (context.first) pack(weight, inner, false, width, inner, context.products, packed);
  multiply(dy, width, rows, packed, width, inner, dx, inner, false, context);
  multiply_transposed(dy, width, x, inner, rows, width, inner, dweight, inner, context.accumulate, context);
  if (dbias != nullptr) add_up_rows(dy, rows, width, dbias, context.accumulate);
}

}  // namespace isoflop::ops::ISOFLOP_ISA
