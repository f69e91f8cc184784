// The shape of a decoder-only Transformer and its exact parameter counts.
#pragma once

#include <cstdint>

namespace isoflop {

struct Shape {
  std::int64_t n_layer = 0;
  std::int64_t d_model = 0;
  std::int64_t n_head = 0;
  std::int64_t n_kv_head = 0;
  std::int64_t d_head = 0;
  std::int64_t d_ff = 0;
  std::int64_t n_ctx = 0;
  std::int64_t n_vocab = 0;
  bool gated = false;            // three MLP matrices (SwiGLU) rather than two
  bool rms = false;              // norms with a gain alone; layer norms have a bias too where `bias` is set
  bool learned_position = true;  // a table of n_ctx positions
  bool bias = true;              // biases of the linear maps and of layer norm
  bool tied = true;              // unembedding shares the token table
};

/// Width of all query heads together: n_head d_head.
std::int64_t d_attn(const Shape& shape);

/// Weights of the block matrices, without biases and norms: N of Kaplan et al. 2020, Table 1,
/// 2 d_model n_layer (2 d_attn + d_ff), carried over to grouped queries and gated MLPs.
std::int64_t n_kaplan(const Shape& shape);

/// Tables: tokens, learned positions, and the unembedding where it is not tied.
std::int64_t n_embedding(const Shape& shape);

/// Everything else: block matrices, biases, all norms.
std::int64_t n_nonembedding(const Shape& shape);

/// n_embedding + n_nonembedding.
std::int64_t n_params(const Shape& shape);

}  // namespace isoflop
