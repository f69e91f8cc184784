#include "isoflop/layout.hpp"

#include <algorithm>

#include "isoflop/checked.hpp"

namespace isoflop {

namespace {

std::int64_t norm(const Shape& shape) { return checked_product({shape.bias && !shape.rms ? 2 : 1, shape.d_model}); }

std::int64_t block(const Shape& shape, std::int64_t tp) {
  const std::int64_t d = shape.d_model, up = shape.gated ? 2 : 1;
  const std::int64_t queries = checked_product({share(shape.n_head, tp), shape.d_head});
  const std::int64_t keys = checked_product({share(shape.n_kv_head, tp), shape.d_head});
  const std::int64_t hidden = share(shape.d_ff, tp);
  const std::int64_t columns = checked_sum({queries, keys, keys, checked_product({up, hidden})});
  const std::int64_t weights = checked_product({d, checked_sum({columns, queries, hidden})});
  const std::int64_t biases = shape.bias ? checked_sum({columns, d, d}) : 0;
  return checked_sum({weights, biases, checked_product({2, norm(shape)})});
}

}  // namespace

std::int64_t StageParams::total() const {
  return checked_sum({checked_product({layers, block}), tables, unembedding, final_norm});
}

std::int64_t StageParams::largest_unit() const { return std::max({block, tables, unembedding}); }

StageParams stage_params(const Shape& shape, const Layout& layout, std::int64_t stage) {
  const std::int64_t tokens = checked_product({share(shape.n_vocab, layout.tp), shape.d_model});
  StageParams params;
  params.layers = shape.n_layer / layout.pp + (stage < shape.n_layer % layout.pp ? 1 : 0);
  params.block = block(shape, layout.tp);
  if (stage == 0) {
    const std::int64_t positions = shape.learned_position ? checked_product({shape.n_ctx, shape.d_model}) : 0;
    params.tables = checked_sum({tokens, positions});
  }
  if (stage == layout.pp - 1) {
    params.unembedding = shape.tied && layout.pp == 1 ? 0 : tokens;
    params.final_norm = norm(shape);
  }
  return params;
}

}  // namespace isoflop
