// Activations of hidden columns and their gradients, by kind, in the order of KINDS in kernels/activation.py.
#pragma once

#include "normal.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

enum class Activation : std::uint8_t { gelu, gelu_tanh, relu2, swiglu };

constexpr bool gated(Activation kind) { return kind == Activation::swiglu; }

struct Sigmoid {
  Vector share, slope;
};

// 1/(1 + e^-t) and its derivative, each to its own last digits however large t is.
inline Sigmoid sigmoid_and_slope(Vector t) {
  const Vector e = exp(-magnitude(t)), larger_share = 1.0F / (1.0F + e), smaller_share = e * larger_share;
  return {t < 0.0F ? smaller_share : larger_share, larger_share * smaller_share};
}

// GPT-2's approximation of the normal distribution's share below z is the sigmoid of this.
inline Vector logit_of_normal(Vector z) { return 1.5957691216057308F * (z + 0.044715F * z * z * z); }

// Of z, the gate of `value` where the kind is gated.
template <Activation kind>
Vector activate(Vector z, [[maybe_unused]] Vector value) {
  if constexpr (kind == Activation::gelu) return z * normal(z).share;
  if constexpr (kind == Activation::gelu_tanh) return z * sigmoid(logit_of_normal(z));
  if constexpr (kind == Activation::relu2) return larger(z, Vector{}) * larger(z, Vector{});
  if constexpr (kind == Activation::swiglu) return z * sigmoid(z) * value;
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
    const Sigmoid s = sigmoid_and_slope(logit_of_normal(z));
    return {da * (s.share + z * s.slope * 1.5957691216057308F * (1.0F + 0.134145F * z * z)), Vector{}};
  }
  if constexpr (kind == Activation::relu2) return {da * 2.0F * larger(z, Vector{}), Vector{}};
  if constexpr (kind == Activation::swiglu) {
    const Sigmoid s = sigmoid_and_slope(z);
    return {da * value * (s.share + z * s.slope), da * z * s.share};
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
