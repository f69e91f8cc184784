#include "isoflop/terms.hpp"

#include "isoflop/checked.hpp"

namespace isoflop {

namespace {

double real(std::int64_t count) noexcept { return static_cast<double>(count); }

}  // namespace

double attention_pairs(std::int64_t seq, Pairs pairs) noexcept {
  const double s = real(seq);
  switch (pairs) {
    case Pairs::none: return 0.0;
    case Pairs::full: return s * s;
    case Pairs::causal: return 0.5 * s * (s + 1.0);
    case Pairs::halved: return 0.5 * s * s;
  }
  return 0.0;
}

Terms forward_terms(const Shape& shape, Tokens tokens, Pairs pairs) noexcept {
  const double layers = real(shape.n_layer), d = real(shape.d_model);
  const double attn = real(shape.n_head) * real(shape.d_head), kv = real(shape.n_kv_head) * real(shape.d_head);
  const double n = tokens.count();
  const double attention = 2.0 * layers * real(tokens.batch) * attention_pairs(tokens.seq, pairs) * attn;

  Terms terms{};
  const auto term = [&terms](Term name) -> double& { return terms[static_cast<std::size_t>(name)]; };
  term(Term::qkv) = 2.0 * layers * n * d * (attn + 2.0 * kv);
  term(Term::logits) = attention;
  term(Term::values) = attention;
  term(Term::proj) = 2.0 * layers * n * attn * d;
  term(Term::mlp) = 2.0 * layers * n * d * real(shape.d_ff) * (shape.gated ? 3.0 : 2.0);
  term(Term::unembed) = 2.0 * n * d * real(shape.n_vocab);
  return terms;
}

Table1 kaplan_table1(const Shape& shape, std::int64_t seq) {
  const std::int64_t layers = shape.n_layer, d = shape.d_model, attn = d_attn(shape);
  const std::int64_t kv = checked_product({shape.n_kv_head, shape.d_head});
  const std::int64_t positions = shape.learned_position ? shape.n_ctx : 0;
  const std::int64_t embed = checked_product({checked_sum({shape.n_vocab, positions}), d});
  const std::int64_t qkv = checked_product({layers, d, checked_sum({attn, kv, kv})});
  const std::int64_t project = checked_product({layers, attn, d});
  const std::int64_t feedforward = checked_product({layers, shape.gated ? 3 : 2, d, shape.d_ff});
  const std::int64_t total = n_kaplan(shape);
  const double mask = 2.0 * real(layers) * real(seq) * real(attn);
  return {{
      {"embed", embed, 4.0 * real(d)},
      {"qkv", qkv, 2.0 * real(qkv)},
      {"mask", 0, mask},
      {"project", project, 2.0 * real(project)},
      {"feedforward", feedforward, 2.0 * real(feedforward)},
      {"de-embed", 0, 2.0 * real(d) * real(shape.n_vocab)},
      {"total (non-embedding)", total, 2.0 * real(total) + mask},
  }};
}

}  // namespace isoflop
