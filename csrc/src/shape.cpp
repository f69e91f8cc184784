#include "isoflop/shape.hpp"

#include "isoflop/checked.hpp"

namespace isoflop {

namespace {

std::int64_t d_kv(const Shape& shape) { return checked_product({shape.n_kv_head, shape.d_head}); }

std::int64_t mlp_matrices(const Shape& shape) { return shape.gated ? 3 : 2; }

// One bias per output of each matrix of a block.
std::int64_t block_biases(const Shape& shape) {
  if (!shape.bias) return 0;
  const std::int64_t attention = checked_sum({d_attn(shape), checked_product({2, d_kv(shape)}), shape.d_model});
  const std::int64_t mlp = checked_sum({checked_product({mlp_matrices(shape) - 1, shape.d_ff}), shape.d_model});
  return checked_sum({attention, mlp});
}

std::int64_t norm_params(const Shape& shape) {
  const bool has_bias = shape.bias && !shape.rms;
  return checked_product({has_bias ? 2 : 1, shape.d_model});
}

}  // namespace

std::int64_t d_attn(const Shape& shape) { return checked_product({shape.n_head, shape.d_head}); }

std::int64_t n_kaplan(const Shape& shape) {
  const std::int64_t attention = checked_sum({
      checked_product({2, shape.d_model, d_attn(shape)}),  // queries and output
      checked_product({2, shape.d_model, d_kv(shape)}),    // keys and values
  });
  const std::int64_t mlp = checked_product({mlp_matrices(shape), shape.d_model, shape.d_ff});
  return checked_product({shape.n_layer, checked_sum({attention, mlp})});
}

std::int64_t n_embedding(const Shape& shape) {
  const std::int64_t table = checked_product({shape.n_vocab, shape.d_model});
  const std::int64_t positions = shape.learned_position ? checked_product({shape.n_ctx, shape.d_model}) : 0;
  return checked_sum({table, positions, shape.tied ? 0 : table});
}

std::int64_t n_nonembedding(const Shape& shape) {
  const std::int64_t norms =
      checked_product({checked_sum({checked_product({2, shape.n_layer}), 1}), norm_params(shape)});
  return checked_sum({n_kaplan(shape), checked_product({shape.n_layer, block_biases(shape)}), norms});
}

std::int64_t n_params(const Shape& shape) { return checked_sum({n_embedding(shape), n_nonembedding(shape)}); }

}  // namespace isoflop
