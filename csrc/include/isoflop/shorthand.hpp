// How much of each shorthand a sequence has, and what a convention charges for it all.
#pragma once

#include <array>

#include "isoflop/convention.hpp"

namespace isoflop {

/// Calls visit(shorthand, amount) for each: what one sequence of `seq` tokens has of it.
template <class N, class Visit>
void each_shorthand(const Dims<N>& s, const N& seq, const Visit& visit) {
  const bool vit = s.is(Architecture::vit);
  const N all = params::nonembedding(s, s.n_expert), active = params::nonembedding(s, s.top_k);
  const N input = params::input_table(s), output = params::output_table(s), positions = params::positions(s);
  visit(Shorthand::active_weights, seq * params::stack(s, s.top_k).weights);
  visit(Shorthand::params, seq * (input + positions + output + all));
  visit(Shorthand::active_params, seq * (input + positions + output + active));
  visit(Shorthand::without_tables, seq * (vit ? N(input + positions + output + all) : N(output + all)));
  visit(Shorthand::without_positions, seq * (input + output + all));
  visit(Shorthand::without_input, seq * (positions + active + output + params::one_if<N>(s.tied) * input));

  const N layers = s.n_layer * seq, square = layers * seq, weights = layers * s.d_model * s.d_model;
  visit(Shorthand::heads_square, square * s.n_head * s.d_head);
  visit(Shorthand::latent_square, square * (params::query_key_width(s) + params::value_width(s)));
  visit(Shorthand::model_square, square * s.d_model);
  visit(Shorthand::softmax_square, square * s.n_head);
  visit(Shorthand::one_hot, s.n_vocab * s.d_model * seq);
  visit(Shorthand::own_key_values, 4.0 * layers * s.d_model * s.n_head * s.d_head);
  const N mixtures = s.n_layer - s.n_dense_layer;
  const N wide = s.mixture ? N(s.n_dense_layer * s.d_ff + mixtures * (s.top_k + s.n_shared_expert) * s.d_expert)
                           : N(s.n_layer * s.d_ff);
  visit(Shorthand::two_matrices, 2.0 * s.d_model * wide * seq);
  visit(Shorthand::model_weights, weights);
  visit(Shorthand::group_weights, weights * s.n_kv_head / s.n_head);
  visit(Shorthand::four_wide, (8.0 + 4.0 * params::one_if<N>(s.gated)) * (s.mixture ? N(weights * s.top_k) : weights));
}

/// FLOPs of one of each quantity of a convention, zero where it is not charged.
struct Prices {
  std::array<double, n_parts> parts{};
  std::array<double, n_shorthands> shorthands{};
  bool any_part = false, any_shorthand = false;

  template <class N>
  Prices(const Convention& convention, const Dims<N>& s, bool training) {
    for (const Charge& charge : convention.charges) {
      if (charge.is_part()) {
        const Cost cost = cost_of(charge.part(), s);
        parts[charge.quantity] = training ? cost.training() : cost.forward;
        any_part = true;
      } else {
        shorthands[charge.quantity - n_parts] = training ? charge.training : charge.forward;
        any_shorthand = true;
      }
    }
  }

  /// FLOPs of one sequence; `pairs` as the convention's attention counts them.
  template <class N>
  [[nodiscard]] N parts_of(const Dims<N>& s, const N& seq, const N& pairs) const {
    // four sums: one would be waited for at every addition
    const N nothing = 0.0 * seq;
    std::array<N, 4> sums{nothing, nothing, nothing, nothing};
    each_part(s, seq, pairs, [&](Part part, const N& elements) {
      const auto i = static_cast<std::size_t>(part);
      sums[i % 4] = sums[i % 4] + parts[i] * elements;
    });
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
  }

  template <class N>
  [[nodiscard]] N shorthands_of(const Dims<N>& s, const N& seq) const {
    N sum = 0.0 * seq;
    each_shorthand(s, seq, [&](Shorthand what, const N& amount) {
      sum = sum + shorthands[static_cast<std::size_t>(what)] * amount;
    });
    return sum;
  }
};

}  // namespace isoflop
