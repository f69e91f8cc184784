// Elements that are dropped by chance, the others larger for it: y = x / (1 - rate) or 0.
//
// Chance is a hash of the seed and step of the model, the number of the op and that of the element in the whole batch:
// the same in every implementation, whatever the parts of the batch and the threads.
#include "simd.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

namespace {

typedef std::uint32_t Words __attribute__((vector_size(lanes * sizeof(std::uint32_t))));

// Steele, Lea and Flood 2014 (SplitMix64), figure 16.
std::uint64_t mix(std::uint64_t z) {
  z += 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  return z ^ z >> 31;
}

// The finaliser of MurmurHash3 (32 bits).
Words mix(Words h) {
  h = (h ^ h >> 16) * 0x85ebca6b;
  h = (h ^ h >> 13) * 0xc2b2ae35;
  return h ^ h >> 16;
}

}  // namespace

// tensors: x (N), y (N), rate (1) float64, seed (1) int64, step (1) int64, number of the first element (1) int64?;
// sizes: N; settings: the number of the op in the model.
void dropout(const Arguments& arguments, Context&) {
  const float* x = arguments.tensor(0);
  float* y = arguments.tensor(1);
  const auto rate = static_cast<float>(*arguments.tensor<const double>(2));
  const auto seed = static_cast<std::uint64_t>(*arguments.tensor<const std::int64_t>(3)),
             step = static_cast<std::uint64_t>(*arguments.tensor<const std::int64_t>(4)),
             op = static_cast<std::uint64_t>(arguments.settings[0]);
  const auto* start = arguments.tensor<const std::int64_t>(5);
  const std::uint64_t key = mix(mix(mix(seed) ^ step) ^ op);
  const auto low = static_cast<std::uint32_t>(key), high = static_cast<std::uint32_t>(key >> 32);
  const auto first = start == nullptr ? 0U : static_cast<std::uint32_t>(*start);
  const float grown = 1.0F / (1.0F - rate);
  const Ints numbers = lane_numbers();
  each_vector(arguments.sizes[0], [&](std::int64_t at, std::int64_t count) {
    const Words element = (Words)numbers + (first + static_cast<std::uint32_t>(at));
    const Words hash = mix(mix(element + low) ^ high);
    const Vector chance = __builtin_convertvector((Ints)(hash >> 8), Vector) * 0x1p-24F;
    store(y + at, chance >= rate ? load(x + at, count) * grown : Vector{}, count);
  });
}

}  // namespace isoflop::ops::ISOFLOP_ISA
