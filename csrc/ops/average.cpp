// Averages of parameters over training: a += share (p - a), which is p itself where the share is 1.
#include "simd.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

// tensors: averages (N), parameters (N), share of these in those (1) float64; sizes: N.
void average(const Arguments& arguments, Context&) {
  float* averages = arguments.tensor(0);
  const float* params = arguments.tensor(1);
  const double given = *arguments.tensor<const double>(2);
  const auto share = static_cast<float>(given), rest = static_cast<float>(1 - given);
  each_vector(arguments.sizes[0], [&](std::int64_t at, std::int64_t count) {
    const Vector before = load(averages + at, count), now = load(params + at, count);
    store(averages + at, given < 0.5 ? before + share * (now - before) : now - rest * (now - before), count);
  });
}

}  // namespace isoflop::ops::ISOFLOP_ISA
