// Muon (Jordan et al. 2024) on one matrix: momentum whose update is made orthogonal by five steps of a quintic.
//
//   m = mu m + g,   u = g + mu m,   x = u / (|u|_F + 1e-7)
//   x = a x + (b A + c A A) x,   A = x x^T       five times; rows of x are the shorter side of the matrix
//   p = (1 - lr wd) p - lr s x
#include "products.hpp"
#include "slots.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

namespace {

constexpr float a = 3.4445F, b = -4.7750F, c = 2.0315F;
constexpr double smallest_norm = 1e-7;
constexpr int iterations = 5;

void transpose(const float* from, std::int64_t rows, std::int64_t columns, float* to) {
  for (std::int64_t top = 0; top < rows; top += 16)
    for (std::int64_t column = 0; column < columns; ++column)
      for (std::int64_t row = top; row < least(top + 16, rows); ++row)
        to[column * rows + row] = from[row * columns + column];
}

// x (R, C) with its singular values brought near 1, in `x` or in `other`, whichever it returns.
float* orthogonal(float* x, float* other, std::int64_t short_side, std::int64_t long_side, Context& context) {
  const auto floats = [&](std::int64_t count) { return context.scratch.take<float>(static_cast<std::size_t>(count)); };
  const std::int64_t square = short_side * short_side;
  float *gram = floats(square), *polynomial = floats(square);
  const std::size_t by_rows = packed_bytes(short_side, long_side, context.products),
                    by_columns = packed_bytes(long_side, short_side, context.products);
  auto* packed = context.scratch.take<std::byte>(by_rows > by_columns ? by_rows : by_columns);
  for (int step = 0; step < iterations; ++step) {
    const Scratch::Loan loan(context.scratch);
    pack(x, long_side, true, long_side, short_side, context.products, packed);
    multiply(x, long_side, short_side, packed, long_side, short_side, gram, short_side, false, context);
    pack(gram, short_side, false, short_side, short_side, context.products, packed);
    multiply(gram, short_side, short_side, packed, short_side, short_side, polynomial, short_side, false, context);
    each_vector(square, [&](std::int64_t at, std::int64_t count) {
      store(polynomial + at, c * load(polynomial + at, count) + b * load(gram + at, count), count);
    });
    pack(x, long_side, false, short_side, long_side, context.products, packed);
    multiply(polynomial, short_side, short_side, packed, short_side, long_side, other, long_side, false, context);
    each_vector(short_side * long_side, [&](std::int64_t at, std::int64_t count) {
      store(other + at, load(other + at, count) + a * load(x + at, count), count);
    });
    float* const made = other;
    other = x, x = made;
  }
  return x;
}

}  // namespace

// tensors: params (O, I), gradients (slots, O, I), momentum (O, I), squares (chunks, 1 + slots) float64 of all chunks
// of the model, hyper (6) float64 as of adamw, factors (2) float64 of the learning rate and of the decay; sizes: O, I,
// slots, floats from slot to slot, chunks; settings: mu, s.
void muon(const Arguments& arguments, Context& context) {
  float *params = arguments.tensor(0), *momentum = arguments.tensor(2);
  const auto *hyper = arguments.tensor<const double>(4), *factors = arguments.tensor<const double>(5);
  const std::int64_t height = arguments.sizes[0], width = arguments.sizes[1], size = height * width;
  const Slots slots{arguments.tensor(1), arguments.sizes[2], arguments.sizes[3]};
  const float clip = clipping(slots.norm(arguments.tensor<const double>(3), arguments.sizes[4]), hyper[5]);
  const auto mu = static_cast<float>(arguments.settings[0]);
  const bool tall = height > width;
  auto* x = context.scratch.take<float>(static_cast<std::size_t>(size));
  auto* other = context.scratch.take<float>(static_cast<std::size_t>(size));
  float* const u = tall ? other : x;
  const double square = sum_of_squares(size, [&](std::int64_t at, std::int64_t count) {
    const Vector g = slots.sum(at, count) * clip, m = mu * load(momentum + at, count) + g, ahead = g + mu * m;
    store(momentum + at, m, count);
    store(u + at, ahead, count);
    return ahead;
  });
  const auto share = static_cast<float>(1 / (__builtin_sqrt(square) + smallest_norm));
  each_vector(size, [&](std::int64_t at, std::int64_t count) { store(u + at, load(u + at, count) * share, count); });
  if (tall) transpose(other, height, width, x);
  float* turned = orthogonal(x, other, tall ? width : height, tall ? height : width, context);
  if (tall) {
    float* const room = turned == x ? other : x;
    transpose(turned, width, height, room);
    turned = room;
  }
  const double lr = hyper[0] * factors[0];
  const auto rate = static_cast<float>(lr * arguments.settings[1]),
             shrink = static_cast<float>(lr * hyper[4] * factors[1]);
  each_vector(size, [&](std::int64_t at, std::int64_t count) {
    const Vector p = load(params + at, count);
    store(params + at, p - (shrink * p + rate * load(turned + at, count)), count);
  });
}

}  // namespace isoflop::ops::ISOFLOP_ISA
