// How much of each shorthand a sequence has.
#pragma once

#include "isoflop/convention.hpp"

namespace isoflop {

template <class N>
N amount(Shorthand what, const Dims<N>& s, const N& seq) {
  const N square = s.n_layer * seq * seq;
  const N weights = s.n_layer * s.d_model * s.d_model * seq;
  switch (what) {
    case Shorthand::active_weights: return seq * params::stack(s, s.top_k).weights;
    case Shorthand::params: return seq * (params::embedding(s) + params::nonembedding(s, s.n_expert));
    case Shorthand::active_params: return seq * (params::embedding(s) + params::nonembedding(s, s.top_k));
    case Shorthand::without_tables: {
      const N rest = params::output_table(s) + params::nonembedding(s, s.n_expert);
      return seq * (s.is(Architecture::vit) ? N(rest + params::input_table(s) + params::positions(s)) : rest);
    }
    case Shorthand::without_positions:
      return seq * (params::input_table(s) + params::output_table(s) + params::nonembedding(s, s.n_expert));
    case Shorthand::without_input: {
      const N rest = params::positions(s) + params::nonembedding(s, s.top_k);
      const N table = s.is(Architecture::vit) ? params::input_table(s) : N(0.0 * seq);
      return seq * (rest + table + (s.tied ? params::input_table(s) : params::output_table(s)));
    }
    case Shorthand::heads_square: return square * s.n_head * s.d_head;
    case Shorthand::latent_square: return square * (params::query_key_width(s) + params::value_width(s));
    case Shorthand::model_square: return square * s.d_model;
    case Shorthand::softmax_square: return square * s.n_head;
    case Shorthand::one_hot: return s.n_vocab * s.d_model * seq;
    case Shorthand::own_key_values: return 4.0 * s.n_layer * s.d_model * s.n_head * s.d_head * seq;
    case Shorthand::two_matrices: {
      const N wide =
          s.mixture
              ? N(s.n_dense_layer * s.d_ff + (s.n_layer - s.n_dense_layer) * (s.top_k + s.n_shared_expert) * s.d_expert)
              : N(s.n_layer * s.d_ff);
      return 2.0 * s.d_model * wide * seq;
    }
    case Shorthand::model_weights: return weights;
    case Shorthand::group_weights: return weights * s.n_kv_head / s.n_head;
    case Shorthand::four_wide: return (s.gated ? 12.0 : 8.0) * (s.mixture ? N(weights * s.top_k) : weights);
    case Shorthand::count: break;
  }
  return 0.0 * seq;
}

/// FLOPs of one sequence under a convention; `pairs` as its attention counts them.
template <class N>
N charged(const Convention& convention, const Dims<N>& s, const N& seq, const N& pairs, bool training) {
  N sum = 0.0 * seq;
  for (const Charge& charge : convention.charges) {
    if (charge.is_part()) {
      const Cost cost = cost_of(charge.part(), s);
      sum = sum + (training ? cost.training() : cost.forward) * amount(charge.part(), s, seq, pairs);
    } else {
      sum = sum + (training ? charge.training : charge.forward) * amount(charge.shorthand(), s, seq);
    }
  }
  return sum;
}

}  // namespace isoflop
