// Which elements are dropped by chance: a hash of the seed and step of the model, the number of the op in it and that
// of the element in the whole batch. The same in every implementation, whatever the parts of the batch and the threads.
#pragma once

#include "simd.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

typedef std::uint32_t Words __attribute__((vector_size(lanes * sizeof(std::uint32_t))));

// Steele, Lea and Flood 2014 (SplitMix64), figure 16.
inline std::uint64_t mix(std::uint64_t z) {
  z += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

// The finaliser of MurmurHash3 (32 bits).
inline Words mix(Words h) {
  h = (h ^ h >> 16) * 0x85ebca6b;
  h = (h ^ h >> 13) * 0xc2b2ae35;
  return h ^ h >> 16;
}

struct Chance {
  std::uint32_t low = 0, high = 0, first = 0;
  float rate = 0, grown = 1;  // what is kept is so many times larger

  // tensors from `index` on: rate (1) float64, seed (1) int64, step (1) int64, number of the first element (1) int64?.
  // Without a rate nothing is dropped.
  Chance(const Arguments& arguments, std::size_t index, double op) {
    const auto* given = arguments.tensor<const double>(index);
    if (given == nullptr) return;
    const auto seed = static_cast<std::uint64_t>(*arguments.tensor<const std::int64_t>(index + 1)),
               step = static_cast<std::uint64_t>(*arguments.tensor<const std::int64_t>(index + 2));
    const auto* start = arguments.tensor<const std::int64_t>(index + 3);
    const std::uint64_t key = mix(mix(mix(seed) ^ step) ^ static_cast<std::uint64_t>(op));
    low = static_cast<std::uint32_t>(key), high = static_cast<std::uint32_t>(key >> 32);
    first = start == nullptr ? 0U : static_cast<std::uint32_t>(*start);
    rate = static_cast<float>(*given);
    grown = 1.0F / (1.0F - rate);
  }

  bool drops() const { return rate > 0; }

  // `values` of elements of these numbers, counted from the first.
  Vector drop(Vector values, Words numbers) const {
    const Words hash = mix(mix(numbers + first + low) ^ high);
    const Vector chance = __builtin_convertvector((Ints)(hash >> 8), Vector) * 0x1p-24F;
    return chance >= rate ? values * grown : Vector{};
  }
};

}  // namespace isoflop::ops::ISOFLOP_ISA
