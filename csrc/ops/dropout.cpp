// Elements that are dropped by chance, the others larger for it: y = x / (1 - rate) or 0, plus the residual stream.
#include "chance.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

// tensors: x (N), residual (N)?, y (N), rate (1) float64, seed (1) int64, step (1) int64, number of the first element
// (1) int64?; sizes: N; settings: the number of the op in the model.
void dropout(const Arguments& arguments, Context&) {
  const float *x = arguments.tensor(0), *residual = arguments.tensor(1);
  float* y = arguments.tensor(2);
  const Chance chance(arguments, 3, arguments.settings[0]);
  each_vector(arguments.sizes[0], [&](std::int64_t at, std::int64_t count) {
    const Vector kept = chance.drop(load(x + at, count), (Words)lane_numbers() + static_cast<std::uint32_t>(at));
    store(y + at, residual == nullptr ? kept : load(residual + at, count) + kept, count);
  });
}

}  // namespace isoflop::ops::ISOFLOP_ISA
