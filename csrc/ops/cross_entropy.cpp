// Cross-entropy of the logits x W^T, of which 32 rows at a time are in memory, with its gradients by x and W.
//
//   loss_i = weight_i (lse_i - z_it + zeta lse_i^2),   mean = share sum(loss),   entropy is the mean without zeta
//   q_ij = share weight_i (exp(z_ij - lse_i) (1 + 2 zeta lse_i) - [j = t_i]),   dx = q W,   dW = q^T x
#include "cross_entropy_columns.hpp"
#include "cross_entropy_rows.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

namespace {

constexpr std::int64_t tile_logits = 1 << 16;  // whose gradients are in memory: half of a second cache of 512 KB

constexpr std::int64_t rows_of_tile(std::int64_t vocabulary) {
  const std::int64_t rows = tile_logits / vocabulary / 32 * 32;
  return rows < 32 ? 32 : least(rows, 256);
}

struct Labels {
  const std::int64_t* targets;
  const float* weights;
  std::int64_t vocabulary, ignored;

  bool counted(std::int64_t row) const { return targets[row] != ignored; }
  bool known(std::int64_t row) const { return targets[row] >= 0 && targets[row] < vocabulary; }
  // -1 where a row has none.
  std::int64_t known_label(std::int64_t row) const { return counted(row) && known(row) ? targets[row] : -1; }
  // Not a number where no label is that.
  float weight(std::int64_t row) const {
    if (!counted(row)) return 0;
    if (!known(row)) return __builtin_nanf("");
    return weights == nullptr ? 1.0F : weights[row];
  }
};

// Whether the label has the largest logit, and no other before it has.
template <class Logits>
bool hit(const Logits& logits, std::int64_t row, std::int64_t label, float top) {
  if (logits.at(row, label) != top) return false;
  for (std::int64_t other = 0; other < label; ++other)
    if (logits.at(row, other) == top) return false;
  return true;
}

template <class Logits>
void cross_entropy(const Arguments& arguments, Context& context) {
  const float *x = arguments.tensor(0), *weight = arguments.tensor(1);
  const std::int64_t rows = arguments.sizes[0], vocabulary = arguments.sizes[1], width = arguments.sizes[2];
  const auto* given_zeta = arguments.tensor<const double>(13);
  const float zeta = given_zeta == nullptr ? 0.0F : static_cast<float>(*given_zeta);
  const Labels labels{arguments.tensor<const std::int64_t>(2), arguments.tensor<const float>(3), vocabulary,
                      static_cast<std::int64_t>(arguments.settings[0])};
  float *losses = arguments.tensor(7), *lse = arguments.tensor(8), *dx = arguments.tensor(10),
        *dweight = arguments.tensor(11);
  auto* hits = arguments.tensor<bool>(9);
  double total = 0, loss = 0, entropy = 0;
  for (std::int64_t row = 0; row < rows; ++row)
    if (labels.known(row)) total += static_cast<double>(labels.weight(row));
  const auto* given = arguments.tensor<const float>(4);
  const float share = given == nullptr ? static_cast<float>(1 / total) : *given;
  const std::int64_t at_once = least(rows, rows_of_tile(vocabulary));
  Logits logits(context, at_once, vocabulary, width, dx != nullptr);
  logits.keep(weight, arguments.tensor<std::byte>(14), !context.first);
  bool add = context.accumulate;
  for (std::int64_t start = 0; start < rows; start += at_once, add = true) {
    const std::int64_t here = least(at_once, rows - start);
    logits.begin(x + start * width, dx == nullptr ? nullptr : dx + start * width, here);
    for (std::int64_t top = 0; top < here; top += block_of_rows) {
      const std::int64_t of_block = least(block_of_rows, here - top);
      logits.multiply(top, of_block);
      float highest[block_of_rows], own[block_of_rows], sums[block_of_rows], logs[block_of_rows], each[block_of_rows],
          weights[block_of_rows];
      for (std::int64_t i = 0; i < block_of_rows; ++i)
        sums[i] = 1, weights[i] = i < of_block ? labels.weight(start + top + i) : 0.0F;
      logits.largest(highest);
      for (std::int64_t i = 0; i < of_block; ++i) {
        const std::int64_t row = start + top + i, label = labels.known_label(row);
        own[i] = label < 0 ? 0.0F : logits.at(i, label);
        if (hits != nullptr) hits[row] = label >= 0 && hit(logits, i, label, highest[i]);
      }
      logits.exponentials(highest, weights, sums);
      for (std::int64_t at = 0; at < block_of_rows; at += lanes) store(logs + at, log(load(sums + at)));
      for (std::int64_t i = 0; i < of_block; ++i) {
        const std::int64_t row = start + top + i, label = labels.known_label(row);
        const float of_row = weights[i], whole = of_row * share;
        lse[row] = highest[i] + logs[i];
        const float of_label = of_row == 0 ? 0.0F : of_row * (lse[row] - own[i]);
        losses[row] = of_row == 0 ? 0.0F : of_label + of_row * zeta * lse[row] * lse[row];
        loss += static_cast<double>(losses[row]), entropy += static_cast<double>(of_label);
        const float growth = (1 + 2 * zeta * lse[row]) / sums[i];
        each[i] = whole * growth;
        if (dx != nullptr && label >= 0) logits.lower(i, label, 1 / growth);
      }
      if (dx != nullptr) logits.put(each);
    }
    if (dx != nullptr) logits.finish(dweight, add);
  }
  *arguments.tensor(5) = static_cast<float>(loss * static_cast<double>(share));
  *arguments.tensor(6) = static_cast<float>(total);
  *arguments.tensor(12) = static_cast<float>(entropy * static_cast<double>(share));
}

}  // namespace

// tensors: x (M, D), weight (V, D), targets (M) int64, weights (M)?, share (1)?: what the sum of losses is multiplied
// by, one over the sum of the weights where it is not there; mean (1), total (1) of the weights, losses (M), lse (M),
// hits (M) bool?, dx (M, D)?, dweight (V, D)?, entropy (1), zeta (1) float64?, room for packed weights; sizes: M, V, D;
// settings: the label that is ignored. dweight is added to what stands there where the context says so.
void linear_cross_entropy(const Arguments& arguments, Context& context) {
#if defined(__AMX_BF16__)
  if (context.products == Products::bfloat16) {
    cross_entropy<LogitsByColumns>(arguments, context);
    return;
  }
#endif
  cross_entropy<LogitsByRows>(arguments, context);
}

}  // namespace isoflop::ops::ISOFLOP_ISA
