// AdamW over the flat parameters of a model, or a part of them, and the squares of its gradients.
#include "slots.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

namespace {

double power(double base, std::int64_t exponent) {
  double made = 1;
  for (; exponent > 0; exponent >>= 1, base *= base)
    if ((exponent & 1) != 0) made *= base;
  return made;
}

struct Update {
  float scale, beta1, rest1, beta2, rest2, root, eps;
};

}  // namespace

// tensors: gradients (slots, N), squares (1 + slots) float64: of the sum, then of each slot; sizes: N, slots, floats
// from slot to slot.
void gradient_squares(const Arguments& arguments, Context&) {
  const std::int64_t size = arguments.sizes[0];
  const Slots slots{arguments.tensor(0), arguments.sizes[1], arguments.sizes[2]};
  auto* squares = arguments.tensor<double>(1);
  squares[0] = sum_of_squares(size, [&](std::int64_t at, std::int64_t count) { return slots.sum(at, count); });
  for (std::int64_t slot = 0; slot < slots.count; ++slot) {
    const float* own = slots.first + slot * slots.apart;
    squares[1 + slot] = slots.count == 1 ? squares[0] : sum_of_squares(size, [&](std::int64_t at, std::int64_t count) {
      return load(own + at, count);
    });
  }
}

// tensors: params (N), gradients (slots, N), first and second moments (N), squares (chunks, 1 + slots) float64 of all
// chunks of the model, hyper (6) float64: lr, beta1, beta2, eps, weight_decay, clip; step (1) int64, updates made
// before; pieces (P, 2) int64, where they begin and end as counted from the first of these N, cut where they reach
// beyond; factors (P, 2) float64 of the learning rate and of the decay of each, what is in no piece stays as it is;
// norm (1): |g| before clipping; sizes: N, slots, floats from slot to slot, chunks, P.
void adamw(const Arguments& arguments, Context&) {
  float* params = arguments.tensor(0);
  float *first = arguments.tensor(2), *second = arguments.tensor(3);
  const auto *squares = arguments.tensor<const double>(4), *hyper = arguments.tensor<const double>(5);
  const std::int64_t step = *arguments.tensor<const std::int64_t>(6) + 1;
  const auto* pieces = arguments.tensor<const std::int64_t>(7);
  const auto* factors = arguments.tensor<const double>(8);
  const std::int64_t* sizes = arguments.sizes;
  const Slots slots{arguments.tensor(1), sizes[1], sizes[2]};
  const double norm = slots.norm(squares, sizes[3]), lr = hyper[0], beta1 = hyper[1], beta2 = hyper[2];
  *arguments.tensor(9) = static_cast<float>(norm);
  const Update of{clipping(norm, hyper[5]),      static_cast<float>(beta1),
                  static_cast<float>(1 - beta1), static_cast<float>(beta2),
                  static_cast<float>(1 - beta2), static_cast<float>(1 / __builtin_sqrt(1 - power(beta2, step))),
                  static_cast<float>(hyper[3])};
  const double past = 1 - power(beta1, step);
  const auto move = [&](std::int64_t from, std::int64_t to, float rate, float shrink) {
    each_vector(to - from, [&](std::int64_t at, std::int64_t count) {
      at += from;
      const Vector g = slots.sum(at, count) * of.scale;
      const Vector m = of.beta1 * load(first + at, count) + of.rest1 * g;
      const Vector v = of.beta2 * load(second + at, count) + of.rest2 * (g * g);
      const Vector p = load(params + at, count);
      store(first + at, m, count);
      store(second + at, v, count);
      store(params + at, p - (shrink * p + rate * m / (square_root(v) * of.root + of.eps)), count);
    });
  };
  const auto inside = [&](std::int64_t place) { return place < 0 ? 0 : place > sizes[0] ? sizes[0] : place; };
  for (std::int64_t piece = 0; piece < sizes[4]; ++piece) {
    const double own = lr * factors[2 * piece], decay = own * hyper[4] * factors[2 * piece + 1];
    move(inside(pieces[2 * piece]), inside(pieces[2 * piece + 1]), static_cast<float>(own / past),
         static_cast<float>(decay));
  }
}

// tensors: step (1) int64, one more for the update that all chunks have made.
void advance(const Arguments& arguments, Context&) { ++*arguments.tensor<std::int64_t>(0); }

}  // namespace isoflop::ops::ISOFLOP_ISA
