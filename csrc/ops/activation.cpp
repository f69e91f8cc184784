// Activations of hidden columns that lie in memory, a = act(z), and dz = da act'(z).
#include "activation.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

// tensors: z (M, F), gated (M, 2 F), gates first, a (M, F); sizes: M, F; settings: the number of the kind.
void activation(const Arguments& arguments, Context&) {
  const float* z = arguments.tensor(0);
  float* a = arguments.tensor(1);
  const std::int64_t rows = arguments.sizes[0], deep = arguments.sizes[1];
  with_activation(arguments.settings[0], [&]<Activation kind>() {
    for (std::int64_t row = 0; row < rows; ++row, z += gated(kind) ? 2 * deep : deep, a += deep) {
      each_vector(deep, [&](std::int64_t column, std::int64_t count) {
        const Vector value = gated(kind) ? load(z + deep + column, count) : Vector{};
        store(a + column, activate<kind>(load(z + column, count), value), count);
      });
    }
  });
}

// tensors: da (M, F), z, dz as z; sizes: M, F; settings: the number of the kind.
void activation_backward(const Arguments& arguments, Context&) {
  const float *da = arguments.tensor(0), *z = arguments.tensor(1);
  float* dz = arguments.tensor(2);
  const std::int64_t rows = arguments.sizes[0], deep = arguments.sizes[1];
  with_activation(arguments.settings[0], [&]<Activation kind>() {
    constexpr std::int64_t halves = gated(kind) ? 2 : 1;
    for (std::int64_t row = 0; row < rows; ++row, z += halves * deep, dz += halves * deep, da += deep) {
      each_vector(deep, [&](std::int64_t column, std::int64_t count) {
        const Vector value = gated(kind) ? load(z + deep + column, count) : Vector{};
        const auto made = activation_gradient<kind>(load(z + column, count), value, load(da + column, count));
        store(dz + column, made.z, count);
        if constexpr (gated(kind)) store(dz + deep + column, made.value, count);
      });
    }
  });
}

}  // namespace isoflop::ops::ISOFLOP_ISA
