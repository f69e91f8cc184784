// AdamW over the flat parameters of a model, or a part of them, and the squares of its gradients.
//
// Gradients come in slots, one for each share of the batch, whose sum, in their order, is that of the batch.
#include "simd.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

namespace {

// Slots of gradients `apart` floats from each other, added up.
struct Slots {
  const float* first;
  std::int64_t count, apart;

  Vector sum(std::int64_t at, std::int64_t lanes_there) const {
    Vector total = load(first + at, lanes_there);
    for (std::int64_t slot = 1; slot < count; ++slot) total += load(first + slot * apart + at, lanes_there);
    return total;
  }
};

constexpr std::int64_t block = 4096;  // elements whose squares are added up in float32

template <class Read>
double sum_of_squares(std::int64_t size, Read&& read) {
  double total = 0;
  for (std::int64_t start = 0; start < size; start += block) {
    Vector sums[4] = {};
    const std::int64_t here = size - start < block ? size - start : block;
    each_vector(here, [&](std::int64_t at, std::int64_t count) {
      const Vector value = read(start + at, count);
      sums[at / lanes % 4] += value * value;
    });
    total += static_cast<double>(sum((sums[0] + sums[1]) + (sums[2] + sums[3])));
  }
  return total;
}

double power(double base, std::int64_t exponent) {
  double made = 1;
  for (; exponent > 0; exponent >>= 1, base *= base)
    if ((exponent & 1) != 0) made *= base;
  return made;
}

struct Update {
  float scale, beta1, rest1, beta2, rest2, rate, root, eps, shrink;
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
// before; decayed (ranges, 2) int64, where parameters that decay begin and end, in order, as counted from the first of
// these N, and cut where they reach beyond; norm (1): |g| before clipping; sizes: N, slots, floats from slot to slot,
// chunks, ranges.
void adamw(const Arguments& arguments, Context&) {
  float* params = arguments.tensor(0);
  float *first = arguments.tensor(2), *second = arguments.tensor(3);
  const auto *squares = arguments.tensor<const double>(4), *hyper = arguments.tensor<const double>(5);
  const std::int64_t step = *arguments.tensor<const std::int64_t>(6) + 1;
  const auto* decayed = arguments.tensor<const std::int64_t>(7);
  const std::int64_t* sizes = arguments.sizes;
  const Slots slots{arguments.tensor(1), sizes[1], sizes[2]};
  double square = 0;
  for (std::int64_t chunk = 0; chunk < sizes[3]; ++chunk) square += squares[chunk * (1 + slots.count)];
  const double norm = __builtin_sqrt(square), lr = hyper[0], beta1 = hyper[1], beta2 = hyper[2], clip = hyper[5];
  *arguments.tensor(8) = static_cast<float>(norm);
  const Update of{static_cast<float>(norm > clip ? clip / norm : 1.0),
                  static_cast<float>(beta1),
                  static_cast<float>(1 - beta1),
                  static_cast<float>(beta2),
                  static_cast<float>(1 - beta2),
                  static_cast<float>(lr / (1 - power(beta1, step))),
                  static_cast<float>(1 / __builtin_sqrt(1 - power(beta2, step))),
                  static_cast<float>(hyper[3]),
                  static_cast<float>(lr * hyper[4])};
  const auto move = [&](std::int64_t from, std::int64_t to, float shrink) {
    each_vector(to - from, [&](std::int64_t at, std::int64_t count) {
      at += from;
      const Vector g = slots.sum(at, count) * of.scale;
      const Vector m = of.beta1 * load(first + at, count) + of.rest1 * g;
      const Vector v = of.beta2 * load(second + at, count) + of.rest2 * (g * g);
      const Vector p = load(params + at, count);
      store(first + at, m, count);
      store(second + at, v, count);
      store(params + at, p - (shrink * p + of.rate * m / (square_root(v) * of.root + of.eps)), count);
    });
  };
  std::int64_t at = 0;
  for (std::int64_t range = 0; range < sizes[4]; ++range) {
    const auto inside = [&](std::int64_t place) { return place < at ? at : place > sizes[0] ? sizes[0] : place; };
    const std::int64_t begin = inside(decayed[2 * range]), end = inside(decayed[2 * range + 1]);
    move(at, begin, 0.0F);
    move(begin, end, of.shrink);
    at = end;
  }
  move(at, sizes[0], 0.0F);
}

// tensors: step (1) int64, one more for the update that all chunks have made.
void advance(const Arguments& arguments, Context&) { ++*arguments.tensor<std::int64_t>(0); }

}  // namespace isoflop::ops::ISOFLOP_ISA
