// Activations of hidden columns and their gradients, by kind, in the order of KINDS in kernels/activation.py.
#pragma once

#include "normal.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

enum class Activation : std::uint8_t { gelu, gelu_tanh, relu2, swiglu };

constexpr bool gated(Activation kind) { return kind == Activation::swiglu; }

// What is no number stays so.
inline Vector positive(Vector z) { return z < 0.0F ? Vector{} : z; }

// GPT-2's approximation of Phi(z): 1/(1 + exp(-2 sqrt(2/pi) (z + 0.044715 z^3)))
inline Sigmoid approximate_normal(Vector z) { return sigmoid(1.5957691216057308F * (z + 0.044715F * z * z * z)); }

// Of z, the gate of `value` where the kind is gated.
template <Activation kind>
Vector activate(Vector z, [[maybe_unused]] Vector value) {
  if constexpr (kind == Activation::gelu) return z * normal(z).share;
  if constexpr (kind == Activation::gelu_tanh) return z * approximate_normal(z).value;
  if constexpr (kind == Activation::relu2) return positive(z) * positive(z);
  if constexpr (kind == Activation::swiglu) return z * sigmoid(z).value * value;
}

struct ActivationGradient {
  Vector z, value;
};

template <Activation kind>
ActivationGradient activation_gradient(Vector z, [[maybe_unused]] Vector value, Vector da) {
  if constexpr (kind == Activation::gelu) {
    const Normal of = normal(z);
    return {da * (of.share + z * of.density), Vector{}};
  }
  if constexpr (kind == Activation::gelu_tanh) {
    const auto [s, slope] = approximate_normal(z);
    return {da * (s + z * slope * 1.5957691216057308F * (1.0F + 0.134145F * z * z)), Vector{}};
  }
  if constexpr (kind == Activation::relu2) return {da * 2.0F * positive(z), Vector{}};
  if constexpr (kind == Activation::swiglu) {
    const auto [s, slope] = sigmoid(z);
    return {da * value * (s + z * slope), da * z * s};
  }
}

// Of z: act(z) and act'(z), to be rounded to bfloat16.
template <Activation kind, int count>
  requires(!gated(kind))
[[gnu::always_inline]] inline void activate_and_slope(const Vector (&z)[count], Vector (&activation)[count],
                                                      Vector (&slope)[count]) {
  if constexpr (kind == Activation::gelu) {
    Normal of[count];
    rough_normal(z, of);
#pragma GCC unroll 4
    for (int i = 0; i < count; ++i) {
      activation[i] = z[i] * of[i].share;
      slope[i] = of[i].share + z[i] * of[i].density;
    }
  } else {
    for (int i = 0; i < count; ++i) {
      activation[i] = activate<kind>(z[i], Vector{});
      slope[i] = activation_gradient<kind>(z[i], Vector{}, broadcast(1.0F)).z;
    }
  }
}

// run.operator()<kind>() of the kind numbered so.
template <class Run>
void with_activation(double number, Run&& run) {
  switch (static_cast<Activation>(number)) {
    case Activation::gelu: run.template operator()<Activation::gelu>(); break;
    case Activation::gelu_tanh: run.template operator()<Activation::gelu_tanh>(); break;
    case Activation::relu2: run.template operator()<Activation::relu2>(); break;
    case Activation::swiglu: run.template operator()<Activation::swiglu>(); break;
  }
}

}  // namespace isoflop::ops::ISOFLOP_ISA
