#include "isoflop/shape.hpp"

#include "isoflop/checked.hpp"
#include "isoflop/params.hpp"

namespace isoflop {

std::int64_t d_attn(const Shape& shape) { return checked_product({shape.n_head, shape.d_head}); }

std::int64_t n_kaplan(const Shape& shape) { return params::stack<Count>(shape, shape.n_expert).weights.value(); }

std::int64_t n_embedding(const Shape& shape) { return params::embedding<Count>(shape).value(); }

std::int64_t n_nonembedding(const Shape& shape) { return params::nonembedding<Count>(shape, shape.n_expert).value(); }

std::int64_t n_params(const Shape& shape) { return checked_sum({n_embedding(shape), n_nonembedding(shape)}); }

std::int64_t n_active_nonembedding(const Shape& shape) {
  return params::nonembedding<Count>(shape, shape.top_k).value();
}

std::int64_t n_active_params(const Shape& shape) {
  return checked_sum({n_embedding(shape), n_active_nonembedding(shape)});
}

}  // namespace isoflop
