// Elements times one number of the model.
#include "simd.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

// tensors: x (N), factor (1) float64, y (N); sizes: N.
void scale(const Arguments& arguments, Context&) {
  const float* x = arguments.tensor(0);
  float* y = arguments.tensor(2);
  const auto factor = static_cast<float>(*arguments.tensor<const double>(1));
  each_vector(arguments.sizes[0],
              [&](std::int64_t at, std::int64_t count) { store(y + at, load(x + at, count) * factor, count); });
}

}  // namespace isoflop::ops::ISOFLOP_ISA
