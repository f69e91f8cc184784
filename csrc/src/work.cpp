#include <utility>

#include "isoflop/roofline.hpp"

namespace isoflop {

namespace {

double real(std::int64_t count) noexcept { return static_cast<double>(count); }

// FLOPs an element of what is not a matrix product: an add, a multiply, a division, an exponential are 1 each.
constexpr double layer_norm_flops = 8, rms_norm_flops = 4, softmax_flops = 5, gelu_flops = 8, swiglu_flops = 5,
                 rope_flops = 3, loss_flops = 5, adamw_flops = 14;

// Collects work of `repeat` equal launches of each operation.
class WorkList {
 public:
  WorkList(double repeat, double bytes) : repeat_(repeat), bytes_(bytes) {}

  // y[m, n] = x[m, k] w[k, n]; its gradients are two products of the same size.
  void linear(std::string_view name, double m, double k, double n) {
    const double flops = 2 * m * k * n, elements = m * k + k * n + m * n;
    add(name, Pass::forward, true, flops, elements);
    add(name, Pass::dgrad, true, flops, elements);
    add(name, Pass::wgrad, true, flops, elements);
  }

  void elementwise(std::string_view name, double elements, double flops, double moved, double moved_backward) {
    add(name, Pass::forward, false, elements * flops, elements * moved);
    add(name, Pass::dgrad, false, 2 * elements * flops, elements * moved_backward);
  }

  void add(std::string_view name, Pass pass, bool matmul, double flops, double elements) {
    done_.push_back({name, pass, matmul, repeat_ * flops, repeat_ * bytes_ * elements});
  }

  std::vector<Work> take() { return std::move(done_); }

 private:
  double repeat_, bytes_;
  std::vector<Work> done_;
};

void attention(WorkList& work, Tokens tokens, double heads, double kv_heads, double d_head, const Activations& kept) {
  const double n = tokens.count();
  const double pairs = real(tokens.batch) * heads * attention_pairs(tokens.seq, Pairs::causal);
  const double product = 2 * pairs * d_head;
  const double queries = n * heads * d_head, keys = n * kv_heads * d_head;
  if (kept.flash) {
    // One kernel: reads queries, keys, values, writes the output; the scores stay on chip.
    const double moved = 2 * queries + 2 * keys;
    work.add("logits", Pass::forward, true, product, moved / 2);
    work.add("softmax", Pass::forward, false, softmax_flops * pairs, 0);
    work.add("values", Pass::forward, true, product, moved / 2);
    work.add("logits", Pass::dgrad, true, 2 * product, moved);
    work.add("softmax", Pass::dgrad, false, 2 * softmax_flops * pairs, 0);
    work.add("values", Pass::dgrad, true, 2 * product, moved);
    work.add("logits", Pass::recompute, true, product, 0);
    work.add("softmax", Pass::recompute, false, softmax_flops * pairs, 0);
    return;
  }
  const double scores = real(tokens.batch) * heads * real(tokens.seq) * real(tokens.seq);
  work.add("logits", Pass::forward, true, product, queries + keys + scores);
  work.add("softmax", Pass::forward, false, softmax_flops * pairs, 2 * scores);
  work.add("values", Pass::forward, true, product, scores + keys + queries);
  work.add("logits", Pass::dgrad, true, 2 * product, 2 * (queries + keys + scores));
  work.add("softmax", Pass::dgrad, false, 2 * softmax_flops * pairs, 3 * scores);
  work.add("values", Pass::dgrad, true, 2 * product, 2 * (scores + keys + queries));
  if (kept.keep == Keep::outside_attention) {
    work.add("logits", Pass::recompute, true, product, queries + keys + scores);
    work.add("softmax", Pass::recompute, false, softmax_flops * pairs, 2 * scores);
  }
}

double norm_flops(const Shape& shape) { return shape.rms ? rms_norm_flops : layer_norm_flops; }

}  // namespace

std::vector<Work> block_work(const Shape& shape, const Layout& layout, std::int64_t layers, Tokens tokens,
                             const Activations& kept) {
  const double n = tokens.count(), d = real(shape.d_model), d_head = real(shape.d_head);
  const double heads = real(share(shape.n_head, layout.tp)), kv_heads = real(share(shape.n_kv_head, layout.tp));
  const double hidden = real(share(shape.d_ff, layout.tp)), up = shape.gated ? 2 : 1;
  const double rows = layout.sequence_parallel ? n / real(layout.tp) : n;

  WorkList work(real(layers), real(kept.bytes));
  work.elementwise("norms", 2 * rows * d, norm_flops(shape), 2, 3);
  work.linear("qkv", n, d, (heads + 2 * kv_heads) * d_head);
  if (!shape.learned_position) work.elementwise("rope", n * (heads + kv_heads) * d_head, rope_flops, 2, 2);
  attention(work, tokens, heads, kv_heads, d_head, kept);
  work.linear("proj", n, heads * d_head, d);
  work.linear("mlp", n, d, up * hidden);
  if (shape.gated) work.elementwise("act", n * hidden, swiglu_flops, 3, 5);
  else work.elementwise("act", n * hidden, gelu_flops, 2, 3);
  work.linear("mlp", n, hidden, d);
  work.elementwise("residual", 2 * rows * d, 1, 3, 3);

  std::vector<Work> all = work.take();
  if (kept.keep != Keep::layer_inputs) return all;
  const std::size_t once = all.size();
  for (std::size_t i = 0; i < once; ++i)
    if (all[i].pass == Pass::forward) {
      Work again = all[i];
      again.pass = Pass::recompute;
      all.push_back(again);
    }
  return all;
}

std::vector<Work> embedding_work(const Shape& shape, const Layout& layout, Tokens tokens, const Activations& kept) {
  const double rows = tokens.count() / (layout.sequence_parallel ? real(layout.tp) : 1);
  const double tables = shape.learned_position ? 2 : 1;
  WorkList work(1, real(kept.bytes));
  work.elementwise("embed", rows * real(shape.d_model), tables - 1, tables + 1, tables + 1);
  return work.take();
}

std::vector<Work> head_work(const Shape& shape, const Layout& layout, Tokens tokens, const Activations& kept) {
  const double n = tokens.count(), d = real(shape.d_model), vocab = real(share(shape.n_vocab, layout.tp));
  const double rows = layout.sequence_parallel ? n / real(layout.tp) : n;
  WorkList work(1, real(kept.bytes));
  work.elementwise("norms", rows * d, norm_flops(shape), 2, 3);
  work.linear("unembed", n, d, vocab);
  work.elementwise("loss", n * vocab, loss_flops, 1, 2);
  return work.take();
}

Work update_work(const StageParams& params, const Layout& layout, const State& state) {
  const double n = real(params.total()) / (layout.zero > 0 ? real(layout.dp) : 1);
  // Reads the gradient, reads and writes master copy and moments, writes the parameter (and reads it if it is its own
  // master copy).
  const double moved =
      real(state.gradient + 2 * (state.master + state.moments) + (state.master > 0 ? 1 : 2) * state.parameter);
  return {"adamw", Pass::update, false, adamw_flops * n, moved * n};
}

}  // namespace isoflop
