#include "isoflop/memory.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "isoflop/checked.hpp"

namespace isoflop {

namespace {

// What a replica keeps of `bytes` where ZeRO shares them out from `level` on.
std::int64_t zero_share(std::int64_t bytes, const Layout& layout, std::int64_t level) {
  return layout.zero >= level ? share(bytes, layout.dp) : bytes;
}

// Tensors as wide as d_model, which tensor parallelism leaves whole and sequence parallelism cuts.
std::int64_t residual_share(std::int64_t elements, const Layout& layout) {
  return layout.sequence_parallel ? share(elements, layout.tp) : elements;
}

Memory stage_memory(const Shape& shape, const Layout& layout, const State& state, Tokens tokens,
                    const Activations& kept, std::int64_t stage) {
  const StageParams params = stage_params(shape, layout, stage);
  const std::int64_t n_params = params.total();
  const std::int64_t width = checked_product({tokens.batch, tokens.seq, shape.d_model});
  const std::int64_t in_flight = std::min(layout.microbatches, layout.pp - stage);
  const std::int64_t embedding_mask = stage == 0 && kept.dropout ? residual_share(width, layout) : 0;

  Memory memory;
  memory.stage = stage;
  memory.parameters = zero_share(checked_product({n_params, state.parameter}), layout, 3);
  memory.gradients = zero_share(checked_product({n_params, state.gradient}), layout, 2);
  memory.optimizer = zero_share(checked_product({n_params, state.master + state.moments}), layout, 1);
  if (layout.zero == 3 && layout.dp > 1) memory.gathered = checked_product({2, params.largest_unit(), state.parameter});
  const std::int64_t a_block = block_activations(shape, layout, tokens, kept);
  memory.activations =
      checked_product({in_flight, checked_sum({checked_product({params.layers, a_block}), embedding_mask})});
  if (kept.keep == Keep::layer_inputs) {
    Activations all = kept;
    all.keep = Keep::everything;
    memory.recomputed = block_activations(shape, layout, tokens, all);
  }
  if (stage == layout.pp - 1) {
    const std::int64_t inputs = residual_share(checked_product({2, width, kept.bytes}), layout);
    const std::int64_t logits = checked_product({4, tokens.batch, tokens.seq, share(shape.n_vocab, layout.tp)});
    memory.head = checked_sum({inputs, logits});
  }
  return memory;
}

// Largest batch whose total fits; totals grow with the batch, and one beyond int64 fits nowhere.
template <typename Total>
std::int64_t largest_batch(const Total& total, std::int64_t capacity) {
  const auto fits = [&](std::int64_t batch) {
    try {
      return total(batch) <= capacity;
    } catch (const std::overflow_error&) {
      return false;
    }
  };
  std::int64_t low = 0, high = 1;
  while (fits(high)) {
    low = high;
    high *= 2;  // a sequence costs at least a byte, so that the capacity, an int64, ends this
  }
  while (high - low > 1) {
    const std::int64_t middle = low + (high - low) / 2;
    (fits(middle) ? low : high) = middle;
  }
  return low;
}

}  // namespace

const State& find_state(std::string_view name) {
  for (const State& state : states)
    if (state.name == name) return state;
  throw std::invalid_argument("unknown training state '" + std::string(name) + "'");
}

std::int64_t Memory::total() const {
  return checked_sum({parameters, gradients, optimizer, gathered, activations, recomputed, head, cache});
}

std::int64_t block_activations(const Shape& shape, const Layout& layout, Tokens tokens, const Activations& kept) {
  const std::int64_t n = checked_product({tokens.batch, tokens.seq});
  const std::int64_t width = checked_product({n, shape.d_model});
  if (kept.keep == Keep::layer_inputs) return checked_product({kept.bytes, width});

  // Inputs of the two norms and of the two maps from d_model; masks of the two dropouts before the residual sums.
  const std::int64_t residual =
      checked_product({checked_sum({checked_product({4, kept.bytes}), kept.dropout ? 2 : 0}), width});
  const std::int64_t heads = share(shape.n_head, layout.tp);
  const std::int64_t kv_heads = share(shape.n_kv_head, layout.tp);
  // Queries, keys, values, and what the heads give; the MLP's hidden tensors.
  const std::int64_t attention = checked_product({2, shape.d_head, checked_sum({heads, kv_heads})});
  const std::int64_t hidden = checked_product({shape.gated ? 3 : 2, share(shape.d_ff, layout.tp)});
  const std::int64_t cut = checked_product({kept.bytes, n, checked_sum({attention, hidden})});
  std::int64_t scores = 0;
  if (kept.keep == Keep::everything && !kept.flash) {
    // Softmax; with dropout its mask, and what the mask leaves.
    const std::int64_t each = kept.dropout ? 2 * kept.bytes + 1 : kept.bytes;
    scores = checked_product({each, heads, n, tokens.seq});
  }
  return checked_sum({residual_share(residual, layout), cut, scores});
}

Memory training_memory(const Shape& shape, const Layout& layout, const State& state, Tokens tokens,
                       const Activations& kept) {
  Memory largest = stage_memory(shape, layout, state, tokens, kept, 0);
  for (std::int64_t stage = 1; stage < layout.pp; ++stage) {
    const Memory memory = stage_memory(shape, layout, state, tokens, kept, stage);
    if (memory.total() > largest.total()) largest = memory;
  }
  return largest;
}

std::int64_t cache_bytes(const Shape& shape, std::int64_t layers, std::int64_t tp, Tokens tokens, std::int64_t bytes) {
  return checked_product({2, layers, tokens.batch, tokens.seq, share(shape.n_kv_head, tp), shape.d_head, bytes});
}

Memory serving_memory(const Shape& shape, const Layout& layout, std::int64_t parameter_bytes, Tokens tokens,
                      std::int64_t bytes) {
  Memory largest;
  for (std::int64_t stage = 0; stage < layout.pp; ++stage) {
    const StageParams params = stage_params(shape, layout, stage);
    Memory memory;
    memory.stage = stage;
    memory.parameters = checked_product({params.total(), parameter_bytes});
    memory.cache = cache_bytes(shape, params.layers, layout.tp, tokens, bytes);
    if (memory.total() > largest.total()) largest = memory;
  }
  return largest;
}

std::int64_t largest_training_batch(const Shape& shape, const Layout& layout, const State& state, std::int64_t seq,
                                    const Activations& kept, std::int64_t capacity) {
  return largest_batch(
      [&](std::int64_t batch) { return training_memory(shape, layout, state, {batch, seq}, kept).total(); }, capacity);
}

std::int64_t largest_serving_batch(const Shape& shape, const Layout& layout, std::int64_t parameter_bytes,
                                   std::int64_t seq, std::int64_t bytes, std::int64_t capacity) {
  return largest_batch(
      [&](std::int64_t batch) { return serving_memory(shape, layout, parameter_bytes, {batch, seq}, bytes).total(); },
      capacity);
}

}  // namespace isoflop
