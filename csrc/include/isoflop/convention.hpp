// Ways of counting training FLOPs, as one table of data: none has code of its own.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "isoflop/shape.hpp"
#include "isoflop/terms.hpp"

namespace isoflop {

/// Which parameters are charged 2 FLOPs a token.
enum class Params { none, kaplan, total };

/// Forward FLOPs are 2 FLOPs a token for each parameter of `params`, plus the terms in `terms` (a bit for each Term)
/// with attention over `pairs`; training is `training_factor` times forward.
struct Convention {
  std::string_view name;
  Params params;
  std::uint32_t terms;
  Pairs pairs;
  double training_factor;  // 3: the backward pass costs two forward passes
  std::string_view source;
};

constexpr std::uint32_t bit(Term term) noexcept { return std::uint32_t{1} << static_cast<unsigned>(term); }

inline constexpr std::uint32_t no_terms = 0;
inline constexpr std::uint32_t attention_terms = bit(Term::logits) | bit(Term::values);
inline constexpr std::uint32_t all_terms = (std::uint32_t{1} << term_names.size()) - 1;

inline constexpr std::array<Convention, 5> conventions{{
    {"kaplan-6n", Params::kaplan, no_terms, Pairs::none, 3.0, "Kaplan et al. 2020, section 2.1: C = 6 N"},
    {"kaplan-table1", Params::kaplan, attention_terms, Pairs::halved, 3.0,
     "Kaplan et al. 2020, Table 1: 3 (2 N + 2 n_layer n_ctx d_attn)"},
    {"6n-total", Params::total, no_terms, Pairs::none, 3.0, "6 N with every parameter, embeddings included"},
    {"exact", Params::none, all_terms, Pairs::full, 3.0, "every matrix product, 2 m k n, dense attention"},
    {"exact-causal", Params::none, all_terms, Pairs::causal, 3.0,
     "every matrix product, 2 m k n, attention over s (s + 1) / 2 pairs"},
}};

/// The convention of that name; throws std::invalid_argument for an unknown one.
const Convention& find_convention(std::string_view name);

/// Forward FLOPs of `tokens`; throws std::overflow_error where a parameter count exceeds int64.
double forward_flops(const Shape& shape, const Convention& convention, Tokens tokens);

/// Forward and backward FLOPs of `tokens`.
double training_flops(const Shape& shape, const Convention& convention, Tokens tokens);

}  // namespace isoflop
