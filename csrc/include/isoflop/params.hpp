// Parameter counts, written once for every kind of number: Count (exact or an error) and double (columns of shapes).
#pragma once

#include "isoflop/shape.hpp"

namespace isoflop::params {

template <class Number>
Number as(std::int64_t value) {
  return static_cast<Number>(value);
}

/// A matrix, or several of one kind: its weights, and its outputs, each of which has a bias where the shape has biases.
template <class Number>
struct Matrices {
  Number weights{};
  Number outputs{};

  friend Matrices operator+(const Matrices& a, const Matrices& b) {
    return {a.weights + b.weights, a.outputs + b.outputs};
  }
  friend Matrices operator*(const Number& times, const Matrices& a) { return {times * a.weights, times * a.outputs}; }
};

template <class Number>
Matrices<Number> matrix(const Number& inputs, const Number& outputs) {
  return {inputs * outputs, outputs};
}

template <class Number>
Number query_key_width(const Shape& s) {
  return as<Number>(s.n_head) * (as<Number>(s.d_head) + as<Number>(s.d_rope));
}

template <class Number>
Number value_width(const Shape& s) {
  return as<Number>(s.n_head) * as<Number>(is_latent(s) ? s.d_value : s.d_head);
}

/// From the residual stream to queries, keys and values.
template <class Number>
Matrices<Number> qkv(const Shape& s) {
  const auto d = as<Number>(s.d_model), heads = as<Number>(s.n_head);
  if (!is_latent(s)) {
    const Number kv = as<Number>(s.n_kv_head) * as<Number>(s.d_head);
    return matrix(d, query_key_width<Number>(s)) + as<Number>(2) * matrix(d, kv);
  }
  const auto latent = as<Number>(s.kv_lora_rank), q_latent = as<Number>(s.q_lora_rank);
  const Matrices<Number> queries = s.q_lora_rank == 0
                                       ? matrix(d, query_key_width<Number>(s))
                                       : matrix(d, q_latent) + matrix(q_latent, query_key_width<Number>(s));
  const Number expanded = heads * (as<Number>(s.d_head) + as<Number>(s.d_value));
  return queries + matrix(d, latent + as<Number>(s.d_rope)) + matrix(latent, expanded);
}

template <class Number>
Matrices<Number> proj(const Shape& s) {
  return matrix(value_width<Number>(s), as<Number>(s.d_model));
}

/// A gated or plain MLP of hidden width `hidden`.
template <class Number>
Matrices<Number> mlp(const Shape& s, std::int64_t hidden) {
  const auto d = as<Number>(s.d_model), h = as<Number>(hidden);
  return as<Number>(s.gated ? 2 : 1) * matrix(d, h) + matrix(h, d);
}

/// An LSTM layer: four gates from the input and from the state, one bias each.
template <class Number>
Matrices<Number> lstm(const Shape& s) {
  const auto d = as<Number>(s.d_model);
  return {as<Number>(8) * d * d, as<Number>(4) * d};
}

template <class Number>
Number router(const Shape& s) {
  return as<Number>(s.d_model) * as<Number>(s.n_expert);
}

/// Gains, and biases of layer norm, of one block: two of d_model, and of the latents.
template <class Number>
Number block_norms(const Shape& s) {
  return as<Number>(s.bias && !s.rms ? 2 : 1) *
         (as<Number>(2) * as<Number>(s.d_model) + as<Number>(s.q_lora_rank) + as<Number>(s.kv_lora_rank));
}

/// Layers whose MLP is a mixture, prediction modules included.
template <class Number>
Number mixture_layers(const Shape& s) {
  return is_mixture(s) ? as<Number>(s.n_layer) - as<Number>(s.n_dense_layer) + as<Number>(s.n_predict) : Number(0);
}

/// Layers with a plain MLP.
template <class Number>
Number dense_layers(const Shape& s) {
  return is_mixture(s) ? as<Number>(s.n_dense_layer) : as<Number>(s.n_layer) + as<Number>(s.n_predict);
}

/// Every matrix of the stack; `experts` routed ones a mixture.
template <class Number>
Matrices<Number> stack(const Shape& s, std::int64_t experts) {
  if (s.architecture == Architecture::lstm) return as<Number>(s.n_layer) * lstm<Number>(s);
  const Number layers = as<Number>(s.n_layer) + as<Number>(s.n_predict);
  const Number mixtures = mixture_layers<Number>(s);
  Matrices<Number> all = layers * (qkv<Number>(s) + proj<Number>(s)) + dense_layers<Number>(s) * mlp<Number>(s, s.d_ff);
  if (is_mixture(s)) {
    const Number used = as<Number>(experts) + as<Number>(s.n_shared_expert);
    all = all + (mixtures * used) * mlp<Number>(s, s.d_expert);
    all.weights = all.weights + mixtures * router<Number>(s);
  }
  if (s.n_predict > 0)
    all.weights = all.weights + as<Number>(s.n_predict) * as<Number>(2) * as<Number>(s.d_model) * as<Number>(s.d_model);
  return all;
}

/// All norms: of the blocks, the final one, and three of each prediction module (its two inputs and its output).
template <class Number>
Number norms(const Shape& s) {
  if (s.architecture == Architecture::lstm) return Number(0);
  const Number one = as<Number>(s.bias && !s.rms ? 2 : 1) * as<Number>(s.d_model);
  const Number layers = as<Number>(s.n_layer) + as<Number>(s.n_predict);
  return layers * block_norms<Number>(s) + (as<Number>(1) + as<Number>(3) * as<Number>(s.n_predict)) * one;
}

template <class Number>
Number nonembedding(const Shape& s, std::int64_t experts) {
  const Matrices<Number> matrices = stack<Number>(s, experts);
  return matrices.weights + (s.bias ? matrices.outputs : Number(0)) + norms<Number>(s);
}

/// Numbers in a patch: channels patch^2.
template <class Number>
Number patch_width(const Shape& s) {
  return as<Number>(s.channels) * as<Number>(s.patch) * as<Number>(s.patch);
}

template <class Number>
Number embedding(const Shape& s) {
  const auto d = as<Number>(s.d_model), rows = as<Number>(s.n_vocab);
  const Number positions = s.learned_position ? as<Number>(s.n_ctx) * d : Number(0);
  if (s.architecture == Architecture::vit) {
    const Number biases = s.bias ? d + rows : Number(0);
    const Number class_token = s.class_token ? d : Number(0);
    return patch_width<Number>(s) * d + class_token + positions + rows * d + biases;
  }
  return rows * d + positions + (s.tied ? Number(0) : rows * d);
}

}  // namespace isoflop::params
