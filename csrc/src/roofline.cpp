#include "isoflop/roofline.hpp"

#include <algorithm>

namespace isoflop {

namespace {

double real(std::int64_t count) noexcept { return static_cast<double>(count); }

double seconds(const std::vector<Work>& work, const Ceilings& ceilings) {
  double total = 0;
  for (const Work& one : work) total += isoflop::seconds(one, ceilings);
  return total;
}

// Bytes one device sends among replicas a step: gradients reduced once; from ZeRO-1 on the new parameters gathered
// once; under ZeRO-3 parameters gathered for the forward and the backward pass of every microbatch.
double data_bytes(const StageParams& params, const Layout& layout, const State& state) {
  const double gradients = real(params.total()) * real(state.gradient);
  const double weights = real(params.total()) * real(state.parameter);
  const double gathers = layout.zero == 3 ? 2 * real(layout.microbatches) : layout.zero > 0 ? 1 : 0;
  if (layout.zero == 0) return all_reduce_bytes(gradients, layout.dp);
  return 0.5 * (all_reduce_bytes(gradients, layout.dp) + gathers * all_reduce_bytes(weights, layout.dp));
}

double over(double bytes, double link) { return bytes == 0 ? 0 : bytes / link; }

}  // namespace

double seconds(const Work& one, const Ceilings& ceilings) noexcept {
  const double peak = one.matmul ? ceilings.matrix : ceilings.vector;
  return std::max(one.flops / peak, one.bytes / ceilings.memory);
}

double all_reduce_bytes(double message, std::int64_t n) noexcept { return 2 * message * real(n - 1) / real(n); }

Step training_step(const Shape& shape, const Layout& layout, const State& state, Tokens tokens, const Activations& kept,
                   const Ceilings& ceilings, const Links& links) {
  const double microbatches = real(layout.microbatches), fill = real(layout.pp - 1);
  const double message = tokens.count() * real(shape.d_model) * real(kept.bytes);
  // Two all-reduces a block forward, two backward, and two when a block is run again.
  const double reductions = kept.keep == Keep::layer_inputs ? 6 : 4;

  Step step;
  double slot = 0;  // of the slowest stage, for one microbatch
  for (std::int64_t stage = 0; stage < layout.pp; ++stage) {
    const StageParams params = stage_params(shape, layout, stage);
    double compute = seconds(block_work(shape, layout, stage, tokens, kept), ceilings);
    if (stage == 0) compute += seconds(embedding_work(shape, layout, tokens, kept), ceilings);
    if (stage == layout.pp - 1) compute += seconds(head_work(shape, layout, tokens, kept), ceilings);
    const double sent =
        reductions * real(params.blocks.count() * shape.n_recurrence) * all_reduce_bytes(message, layout.tp);
    const double tensor = over(sent, links.tensor);
    if (compute + tensor > slot) {
      slot = compute + tensor;
      step.compute = microbatches * compute;
      step.tensor = microbatches * tensor;
      step.tensor_bytes = microbatches * sent;
    }
    const double data = data_bytes(params, layout, state);
    if (data >= step.data_bytes) step.data_bytes = data;
    step.update = std::max(step.update, isoflop::seconds(update_work(params, layout, state), ceilings));
  }
  step.bubble = fill * slot;
  if (layout.pp > 1) {
    const double hop = message / (layout.sequence_parallel ? real(layout.tp) : 1);
    step.pipeline_bytes = 2 * microbatches * hop;
    step.pipeline = over(2 * (microbatches + fill) * hop, links.pipeline);
  }
  step.data = over(step.data_bytes, links.data);
  return step;
}

}  // namespace isoflop
