// A model's gradients as optimizers read them: in slots, one for each share of the batch, whose sum, in their order, is
// that of the batch.
#pragma once

#include "simd.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

// Slots of gradients `apart` floats from each other, added up.
struct Slots {
  const float* first;
  std::int64_t count, apart;

  Vector sum(std::int64_t at, std::int64_t lanes_there) const {
    Vector total = load(first + at, lanes_there);
    for (std::int64_t slot = 1; slot < count; ++slot) total += load(first + slot * apart + at, lanes_there);
    return total;
  }

  // |g| from the squares (chunks, 1 + slots) of all chunks of the model.
  double norm(const double* squares, std::int64_t chunks) const {
    double square = 0;
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) square += squares[chunk * (1 + count)];
    return __builtin_sqrt(square);
  }
};

// What a gradient of that norm is multiplied by to be clipped.
inline float clipping(double norm, double clip) { return static_cast<float>(norm > clip ? clip / norm : 1.0); }

inline constexpr std::int64_t block_of_squares = 4096;  // elements whose squares are added up in float32

// Of read(at, lanes) for the vectors of `size` elements.
template <class Read>
double sum_of_squares(std::int64_t size, Read&& read) {
  double total = 0;
  for (std::int64_t start = 0; start < size; start += block_of_squares) {
    Vector sums[4] = {};
    each_vector(least(size - start, block_of_squares), [&](std::int64_t at, std::int64_t count) {
      const Vector value = read(start + at, count);
      sums[at / lanes % 4] += value * value;
    });
    total += static_cast<double>(sum((sums[0] + sums[1]) + (sums[2] + sums[3])));
  }
  return total;
}

}  // namespace isoflop::ops::ISOFLOP_ISA
