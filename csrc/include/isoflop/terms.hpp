// Forward FLOPs by named term, and the rows of Kaplan et al. 2020, Table 1.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "isoflop/shape.hpp"

namespace isoflop {

/// Which query-key pairs of a sequence of s tokens are counted.
enum class Pairs {
  none,    // 0
  full,    // s^2: what a dense matmul computes
  causal,  // s (s + 1) / 2: what a causal mask keeps
  halved,  // s^2 / 2: the usual shorthand for causal
};

enum class Term : std::size_t { qkv, logits, values, proj, mlp, unembed };

inline constexpr std::array<std::string_view, 6> term_names{"qkv", "logits", "values", "proj", "mlp", "unembed"};

using Terms = std::array<double, term_names.size()>;

/// `batch` sequences of `seq` tokens each.
struct Tokens {
  std::int64_t batch = 1;
  std::int64_t seq = 0;

  [[nodiscard]] double count() const noexcept { return static_cast<double>(batch) * static_cast<double>(seq); }
};

double attention_pairs(std::int64_t seq, Pairs pairs) noexcept;

/// Forward FLOPs of every matrix product, 2 m k n each.
Terms forward_terms(const Shape& shape, Tokens tokens, Pairs pairs) noexcept;

struct Row {
  std::string_view operation;
  std::int64_t params = 0;
  double flops_per_token = 0;
};

using Table1 = std::array<Row, 7>;

/// Parameters and forward FLOPs per token of each operation at context length `seq`; the last row, the total, leaves
/// out embedding and de-embedding. Biases, norms and nonlinearities are not counted.
Table1 kaplan_table1(const Shape& shape, std::int64_t seq);

}  // namespace isoflop
