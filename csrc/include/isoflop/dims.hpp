// A shape's fields as some kind of number, so that each formula is written once: Count for exact parameter counts,
// double for FLOPs, Pack for columns of shapes.
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <utility>

#include "isoflop/shape.hpp"

namespace isoflop {

template <class Number>
struct Dims {
  Number n_layer, d_model, n_head, n_kv_head, d_head, d_ff, n_ctx, n_vocab;
  Number window, global_every;
  Number kv_lora_rank, q_lora_rank, d_rope, d_value;
  Number n_expert, top_k, n_shared_expert, d_expert, n_dense_layer;
  Number n_predict, n_recurrence;
  Number image, patch, channels;

  /// In the order of shape_fields.
  static constexpr std::array<Number Dims::*, shape_fields.size()> members{
      &Dims::n_layer,      &Dims::d_model,         &Dims::n_head,   &Dims::n_kv_head,     &Dims::d_head,
      &Dims::d_ff,         &Dims::n_ctx,           &Dims::n_vocab,  &Dims::window,        &Dims::global_every,
      &Dims::kv_lora_rank, &Dims::q_lora_rank,     &Dims::d_rope,   &Dims::d_value,       &Dims::n_expert,
      &Dims::top_k,        &Dims::n_shared_expert, &Dims::d_expert, &Dims::n_dense_layer, &Dims::n_predict,
      &Dims::n_recurrence, &Dims::image,           &Dims::patch,    &Dims::channels,
  };

  bool gated, rms, learned_position, bias, tied, relu2, rope, class_token;
  Architecture architecture;
  double capacity_factor;
  bool latent, latent_queries, mixture, windowed, some_global;  // which fields are not zero

  /// The shape's flags; `number(i)` makes the Number of shape_fields[i].
  template <class Make>
  Dims(const Shape& shape, const Make& number)
      : gated(shape.gated),
        rms(shape.rms),
        learned_position(shape.learned_position),
        bias(shape.bias),
        tied(shape.tied),
        relu2(shape.relu2),
        rope(shape.rope),
        class_token(shape.class_token),
        architecture(shape.architecture),
        capacity_factor(shape.capacity_factor),
        latent(shape.kv_lora_rank > 0),
        latent_queries(shape.q_lora_rank > 0),
        mixture(shape.n_expert > 0),
        windowed(shape.window > 0),
        some_global(shape.global_every > 0) {
    fill(number, std::make_index_sequence<members.size()>{});
  }

  [[nodiscard]] bool is(Architecture kind) const noexcept { return architecture == kind; }

 private:
  template <class Make, std::size_t... index>
  void fill(const Make& number, std::index_sequence<index...>) {
    ((this->*members[index] = number(index)), ...);
  }
};

template <class Number>
Dims<Number> dims(const Shape& shape) {
  return {shape, [&shape](std::size_t i) { return static_cast<Number>(shape.*shape_fields[i].member); }};
}

}  // namespace isoflop
