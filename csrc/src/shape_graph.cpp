#include "isoflop/shape_graph.hpp"

#include <stdexcept>
#include <string>
#include <utility>

#include "isoflop/checked.hpp"

namespace isoflop {

namespace {

// FLOPs an element, forward and backward, one an operation or function call; isoflop.tracing.costs has the same.
struct PerElement {
  std::int64_t forward;
  std::int64_t backward;
};
constexpr PerElement layer_norm{7, 14}, rms_norm{4, 9}, gelu{5, 11}, relu2{2, 3}, swiglu{5, 11}, rotation{3, 3};
constexpr PerElement residual{1, 0}, log_softmax{5, 4};
constexpr std::int64_t adamw = 14;

class Step {
 public:
  Step(const Shape& shape, Tokens tokens, std::string_view dtype)
      : shape_(shape), tokens_(tokens), n_(checked_product({tokens.batch, tokens.seq})), dtype_(find_dtype(dtype)) {}

  Graph build() {
    if (shape_.architecture != Architecture::decoder || is_latent(shape_) || is_mixture(shape_) || shape_.n_predict > 0)
      throw std::invalid_argument(
          "the operations of a shape are listed for decoders of plain attention and MLPs alone");
    embed();
    for (std::int64_t layer = 0; layer < shape_.n_layer; ++layer) block(layer);
    norm("norm");
    unembed();
    enter("");
    add(Kind::elementwise, Phase::optimizer, mapped(n_params(shape_), adamw, 4, 3));
    return std::move(graph_);
  }

 private:
  void block(std::int64_t layer) {
    const std::string name = "blocks." + std::to_string(layer);
    norm(name + ".norm1");
    enter(name + ".attention");
    const std::int64_t kv = checked_product({shape_.n_kv_head, shape_.d_head});
    linear(shape_.d_model, checked_sum({d_attn(shape_), kv, kv}));
    if (shape_.rope) map(Kind::elementwise, rotation, checked_product({n_, checked_sum({d_attn(shape_), kv})}), 1);
    attention(is_local(layer) ? window_pairs() : causal_pairs());
    linear(d_attn(shape_), shape_.d_model);
    norm(name + ".norm2");
    enter(name + ".mlp");
    linear(shape_.d_model, checked_product({shape_.gated ? 2 : 1, shape_.d_ff}));
    const PerElement activation = shape_.gated ? swiglu : shape_.relu2 ? relu2 : gelu;
    map(Kind::elementwise, activation, checked_product({n_, shape_.d_ff}), shape_.gated ? 2 : 1);
    linear(shape_.d_ff, shape_.d_model);
    enter(name);
    for (int branch = 0; branch < 2; ++branch)
      map(Kind::elementwise, residual, checked_product({n_, shape_.d_model}), 2);
  }

  void embed() {
    enter("");
    const std::int64_t elements = checked_product({n_, shape_.d_model});
    add(Kind::embedding, Phase::forward, mapped(elements, 0, 1, 1));
    add(Kind::embedding, Phase::backward, mapped(elements, 1, 1, 1));
    if (shape_.learned_position) map(Kind::elementwise, residual, elements, 2);
  }

  void unembed() {
    enter("");
    product(shape_.d_model, shape_.n_vocab);
    map(Kind::softmax, log_softmax, checked_product({n_, shape_.n_vocab}), 1);
    add(Kind::loss, Phase::forward, mapped(n_, 1, 1, 0));
  }

  void norm(const std::string& name) {
    enter(name);
    map(Kind::norm, shape_.rms ? rms_norm : layer_norm, checked_product({n_, shape_.d_model}), 1);
  }

  void linear(std::int64_t inputs, std::int64_t outputs) {
    product(inputs, outputs);
    if (!shape_.bias) return;
    const std::int64_t elements = checked_product({n_, outputs});
    add(Kind::elementwise, Phase::forward, mapped(elements, 1, 0, 0));
    add(Kind::reduction, Phase::backward, mapped(elements, 1, 1, 0));
  }

  void product(std::int64_t inputs, std::int64_t outputs) {
    add(Kind::matmul, Phase::forward, {1, n_, inputs, outputs});
    add(Kind::matmul, Phase::backward, {1, n_, outputs, inputs});  // of the input
    add(Kind::matmul, Phase::backward, {1, outputs, n_, inputs});  // of the weight
  }

  [[nodiscard]] bool is_local(std::int64_t layer) const {
    const bool is_global = shape_.global_every != 0 && (layer + 1) % shape_.global_every == 0;
    return shape_.window != 0 && shape_.window < tokens_.seq && !is_global;
  }

  // n (n + 1) / 2, the even factor halved before the product
  static std::int64_t triangle(std::int64_t n) {
    return n % 2 == 0 ? checked_product({n / 2, n + 1}) : checked_product({n, n / 2 + 1});
  }

  [[nodiscard]] std::int64_t causal_pairs() const { return triangle(tokens_.seq); }

  [[nodiscard]] std::int64_t window_pairs() const {
    return checked_sum({triangle(shape_.window), checked_product({tokens_.seq - shape_.window, shape_.window})});
  }

  void attention(std::int64_t pairs) {
    const std::int64_t seq = tokens_.seq, d_head = shape_.d_head;
    const std::int64_t kept = checked_product({tokens_.batch, shape_.n_head, pairs});
    const OpDims dims{tokens_.batch, shape_.n_head, shape_.n_kv_head, seq, seq, kept, d_head, d_head};
    add(Kind::attention, Phase::forward, dims);
    add(Kind::attention_scores, Phase::recompute, dims);
    add(Kind::attention_backward, Phase::backward, dims);
  }

  void map(Kind kind, PerElement flops, std::int64_t elements, std::int64_t inputs) {
    add(kind, Phase::forward, mapped(elements, flops.forward, inputs, 1));
    if (flops.backward != 0) add(kind, Phase::backward, mapped(elements, flops.backward, inputs + 1, inputs));
  }

  OpDims mapped(std::int64_t elements, std::int64_t flops, std::int64_t reads, std::int64_t writes) const {
    const auto bytes = static_cast<std::int64_t>(dtypes[dtype_].bytes);
    return {elements, flops, checked_product({elements, reads, bytes}), checked_product({elements, writes, bytes})};
  }

  void enter(const std::string& module) { module_ = graph_.module(module); }

  void add(Kind kind, Phase phase, const OpDims& dims) { graph_.add({kind, phase, dtype_, dtype_, module_, dims}); }

  const Shape& shape_;
  Tokens tokens_;
  std::int64_t n_;
  std::uint8_t dtype_;
  std::uint32_t module_ = 0;
  Graph graph_;
};

}  // namespace

Graph graph_of(const Shape& shape, Tokens tokens, std::string_view dtype) { return Step(shape, tokens, dtype).build(); }

}  // namespace isoflop
