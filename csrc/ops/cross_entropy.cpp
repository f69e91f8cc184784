// Cross-entropy of the logits x W^T, of which 32 rows at a time are in memory, with its gradients by x and W.
//
//   loss_i = weight_i (lse_i - z_it + zeta lse_i^2),   mean = share sum(loss),   entropy is the mean without zeta
//   q_ij = share weight_i (exp(z_ij - lse_i) (1 + 2 zeta lse_i) - [j = t_i]),   dx = q W,   dW = q^T x
#include "elementary.hpp"
#include "products.hpp"

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

// Four maxima, and four sums below: one alone would wait for each step.
float largest_of(const float* z, std::int64_t size) {
  const std::int64_t whole = size / lanes * lanes;
  Vector highest[4] = {broadcast(z[0]), broadcast(z[0]), broadcast(z[0]), broadcast(z[0])};
  std::int64_t at = 0;
  for (; at + 4 * lanes <= whole; at += 4 * lanes)
    for (std::int64_t i = 0; i < 4; ++i) highest[i] = larger(load(z + at + i * lanes), highest[i]);
  for (; at < whole; at += lanes) highest[0] = larger(load(z + at), highest[0]);
  float top = largest(larger(larger(highest[0], highest[1]), larger(highest[2], highest[3])));
  for (; at < size; ++at) top = z[at] > top ? z[at] : top;
  return top;
}

// e^(z - top) in place, and their sum.
float exponentials(float* z, std::int64_t size, float top) {
  Vector totals[4] = {};
  std::int64_t at = 0;
  for (; at + 4 * lanes <= size; at += 4 * lanes) {
    for (std::int64_t i = 0; i < 4; ++i) {
      const Vector e = exp(load(z + at + i * lanes) - top);
      store(z + at + i * lanes, e);
      totals[i] += e;
    }
  }
  for (; at < size; at += lanes) {
    const std::int64_t count = least(lanes, size - at);
    const Vector e = exp(load(z + at, count) - top);
    store(z + at, e, count);
    totals[0] += first_lanes(e, count);
  }
  return sum((totals[0] + totals[1]) + (totals[2] + totals[3]));
}

// Whether the label has the largest logit, and no other before it has.
bool hit(const float* z, std::int64_t label, float top) {
  if (z[label] != top) return false;
  for (std::int64_t at = 0; at < label; ++at)
    if (z[at] == top) return false;
  return true;
}

}  // namespace

// tensors: x (M, D), weight (V, D), targets (M) int64, weights (M)?, share (1)?: what the sum of losses is multiplied
// by, one over the sum of the weights where it is not there; mean (1), total (1) of the weights, losses (M), lse (M),
// hits (M) bool?, dx (M, D)?, dweight (V, D)?, entropy (1), zeta (1) float64?, room for packed weights; sizes: M, V, D;
// settings: the label that is ignored. dweight is added to what stands there where the context says so.
void linear_cross_entropy(const Arguments& arguments, Context& context) {
  const float *x = arguments.tensor(0), *weight = arguments.tensor(1);
  const std::int64_t rows = arguments.sizes[0], vocabulary = arguments.sizes[1], width = arguments.sizes[2];
  const auto* given_zeta = arguments.tensor<const double>(13);
  const float zeta = given_zeta == nullptr ? 0.0F : static_cast<float>(*given_zeta);
  const Labels labels{arguments.tensor<const std::int64_t>(2), arguments.tensor<const float>(3), vocabulary,
                      static_cast<std::int64_t>(arguments.settings[0])};
  float *losses = arguments.tensor(7), *lse = arguments.tensor(8), *dx = arguments.tensor(10),
        *dweight = arguments.tensor(11);
  auto* hits = arguments.tensor<bool>(9);
  auto* into_logits = arguments.tensor<std::byte>(14);
  std::byte* const into_rows = into_logits + packed_bytes(width, vocabulary, context.products);
  if (context.first) {
    pack(weight, width, true, width, vocabulary, context.products, into_logits);
    if (dx != nullptr) pack(weight, width, false, vocabulary, width, context.products, into_rows);
  }
  double total = 0, loss = 0, entropy = 0;
  for (std::int64_t row = 0; row < rows; ++row)
    if (labels.known(row)) total += static_cast<double>(labels.weight(row));
  const auto* given = arguments.tensor<const float>(4);
  const float share = given == nullptr ? static_cast<float>(1 / total) : *given;
  const std::int64_t at_once = least(rows, rows_of_tile(vocabulary));
  auto* logits = context.scratch.take<float>(static_cast<std::size_t>(block_of_rows * vocabulary));
  Panel inputs(context, at_once, width);
  const Panel q(context, dx == nullptr ? 0 : at_once, vocabulary);
  Turned q_turned(context, dx == nullptr ? 0 : at_once, vocabulary);
  Stacked inputs_stacked(context, dx == nullptr ? 0 : at_once, width);
  bool add = context.accumulate;
  for (std::int64_t start = 0; start < rows; start += at_once, add = true) {
    const std::int64_t here = least(at_once, rows - start);
    inputs.read(x + start * width, width, here);
    if (dx != nullptr) q_turned.begin(here, vocabulary);
    for (std::int64_t top = 0; top < here; top += block_of_rows) {
      const std::int64_t of_block = least(block_of_rows, here - top);
      multiply(inputs.from(top), of_block, into_logits, vocabulary, logits, vocabulary, false);
      float highest[block_of_rows], own[block_of_rows], sums[block_of_rows], logs[block_of_rows], each[block_of_rows];
      for (std::int64_t i = 0; i < block_of_rows; ++i) sums[i] = 1;
      for (std::int64_t i = 0; i < of_block; ++i) highest[i] = largest_of(logits + i * vocabulary, vocabulary);
      for (std::int64_t i = 0; i < of_block; ++i) {
        float* const z = logits + i * vocabulary;
        const std::int64_t row = start + top + i, label = labels.known_label(row);
        own[i] = label < 0 ? 0.0F : z[label];
        if (hits != nullptr) hits[row] = label >= 0 && hit(z, label, highest[i]);
        sums[i] = exponentials(z, vocabulary, highest[i]);
      }
      for (std::int64_t at = 0; at < block_of_rows; at += lanes) store(logs + at, log(load(sums + at)));
      for (std::int64_t i = 0; i < of_block; ++i) {
        const std::int64_t row = start + top + i, label = labels.known_label(row);
        const float of_row = labels.weight(row), whole = of_row * share;
        lse[row] = highest[i] + logs[i];
        const float of_label = of_row == 0 ? 0.0F : of_row * (lse[row] - own[i]);
        losses[row] = of_row == 0 ? 0.0F : of_label + of_row * zeta * lse[row] * lse[row];
        loss += static_cast<double>(losses[row]), entropy += static_cast<double>(of_label);
        const float growth = (1 + 2 * zeta * lse[row]) / sums[i];
        each[i] = whole * growth;
        if (label >= 0) logits[i * vocabulary + label] -= 1 / growth;
      }
      if (dx == nullptr) continue;
      each_block(of_block, vocabulary,
                 [&](std::int64_t, std::int64_t count_rows, std::int64_t column, std::int64_t count) {
                   BlockOfRows values = {};
                   for (std::int64_t i = 0; i < count_rows; ++i)
                     if (each[i] != 0) values[i] = load(logits + i * vocabulary + column, count) * each[i];
                   q.put(top, column, values, count_rows, count);
                   q_turned.put(top, column, values);
                 });
    }
    if (dx == nullptr) continue;
    multiply(q, here, into_rows, width, dx + start * width, width, false);
    inputs_stacked.read(x + start * width, width, here, width);
    multiply(q_turned, inputs_stacked, dweight, width, add);
  }
  *arguments.tensor(5) = static_cast<float>(loss * static_cast<double>(share));
  *arguments.tensor(6) = static_cast<float>(total);
  *arguments.tensor(12) = static_cast<float>(entropy * static_cast<double>(share));
}

}  // namespace isoflop::ops::ISOFLOP_ISA
