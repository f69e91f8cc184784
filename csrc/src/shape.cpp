#include "isoflop/shape.hpp"

#include "isoflop/checked.hpp"
#include "isoflop/params.hpp"

namespace isoflop {

namespace {

Count nonembedding(const Shape& shape, std::int64_t routed) {
  return params::nonembedding<Count>(dims<Count>(shape), routed);
}

Count embedding(const Shape& shape) { return params::embedding(dims<Count>(shape)); }

}  // namespace

std::int64_t d_attn(const Shape& shape) { return checked_product({shape.n_head, shape.d_head}); }

std::int64_t n_kaplan(const Shape& shape) {
  return params::stack<Count>(dims<Count>(shape), shape.n_expert).weights.value();
}

std::int64_t n_embedding(const Shape& shape) { return embedding(shape).value(); }

std::int64_t n_nonembedding(const Shape& shape) { return nonembedding(shape, shape.n_expert).value(); }

std::int64_t n_params(const Shape& shape) { return (embedding(shape) + nonembedding(shape, shape.n_expert)).value(); }

std::int64_t n_active_nonembedding(const Shape& shape) { return nonembedding(shape, shape.top_k).value(); }

std::int64_t n_active_params(const Shape& shape) {
  return (embedding(shape) + nonembedding(shape, shape.top_k)).value();
}

}  // namespace isoflop
