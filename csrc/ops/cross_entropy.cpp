// Cross-entropy of the logits x W^T, of which a few rows at a time are in memory, with its gradients by x and W.
//
//   loss_i = weight_i (lse_i - z_it + zeta lse_i^2),   mean = share sum(loss)
//   q_ij = share weight_i (exp(z_ij - lse_i) (1 + 2 zeta lse_i) - [j = t_i]),   dx = q W,   dW = q^T x
#include "elementary.hpp"
#include "products.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

namespace {

constexpr std::int64_t tile_logits = 1 << 16;  // half of a second cache of 512 KB

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
  // Not a number where no label is that.
  float weight(std::int64_t row) const {
    if (!counted(row)) return 0;
    if (!known(row)) return __builtin_nanf("");
    return weights == nullptr ? 1.0F : weights[row];
  }
};

float largest_of(const float* z, std::int64_t size) {
  const std::int64_t whole = size / lanes * lanes;
  Vector highest = broadcast(z[0]);
  for (std::int64_t at = 0; at < whole; at += lanes) highest = larger(load(z + at), highest);
  float top = largest(highest);
  for (std::int64_t at = whole; at < size; ++at) top = z[at] > top ? z[at] : top;
  return top;
}

// e^(z - top) in place, and their sum.
float exponentials(float* z, std::int64_t size, float top) {
  Vector totals{};
  each_vector(size, [&](std::int64_t at, std::int64_t count) {
    const Vector e = exp(load(z + at, count) - top);
    store(z + at, e, count);
    totals += first_lanes(e, count);
  });
  return sum(totals);
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
// hits (M) bool?, dx (M, D)?, dweight (V, D)?, room for packed weights; sizes: M, V, D; settings: zeta, the label that
// is ignored. dweight is added to what stands there where the context says so.
void linear_cross_entropy(const Arguments& arguments, Context& context) {
  const float *x = arguments.tensor(0), *weight = arguments.tensor(1);
  const std::int64_t rows = arguments.sizes[0], vocabulary = arguments.sizes[1], width = arguments.sizes[2];
  const auto zeta = static_cast<float>(arguments.settings[0]);
  const Labels labels{arguments.tensor<const std::int64_t>(2), arguments.tensor<const float>(3), vocabulary,
                      static_cast<std::int64_t>(arguments.settings[1])};
  float *losses = arguments.tensor(7), *lse = arguments.tensor(8), *dx = arguments.tensor(10),
        *dweight = arguments.tensor(11);
  auto* hits = arguments.tensor<bool>(9);
  auto* into_logits = arguments.tensor<std::byte>(12);
  std::byte* const into_rows = into_logits + packed_bytes(width, vocabulary, context.products);
  if (context.first) {
    pack(weight, width, true, width, vocabulary, context.products, into_logits);
    if (dx != nullptr) pack(weight, width, false, vocabulary, width, context.products, into_rows);
  }
  double total = 0, loss = 0;
  for (std::int64_t row = 0; row < rows; ++row)
    if (labels.known(row)) total += static_cast<double>(labels.weight(row));
  const auto* given = arguments.tensor<const float>(4);
  const float share = given == nullptr ? static_cast<float>(1 / total) : *given;
  const std::int64_t at_once = least(rows, rows_of_tile(vocabulary));
  auto* logits = context.scratch.take<float>(static_cast<std::size_t>(at_once * vocabulary));
  bool add = context.accumulate;
  const std::size_t mark = context.scratch.mark();
  for (std::int64_t start = 0; start < rows; start += at_once, add = true) {
    context.scratch.rewind(mark);
    const std::int64_t here = least(at_once, rows - start);
    multiply(x + start * width, width, here, into_logits, width, vocabulary, logits, vocabulary, false, context);
    for (std::int64_t row = start; row < start + here; ++row) {
      float* const z = logits + (row - start) * vocabulary;
      const std::int64_t label = labels.counted(row) && labels.known(row) ? labels.targets[row] : -1;
      const float top = largest_of(z, vocabulary), own = label < 0 ? 0.0F : z[label], of_row = labels.weight(row);
      if (hits != nullptr) hits[row] = label >= 0 && hit(z, label, top);
      const float sum_of_row = exponentials(z, vocabulary, top);
      lse[row] = top + log(broadcast(sum_of_row))[0];
      losses[row] = of_row == 0 ? 0.0F : of_row * (lse[row] - own + zeta * lse[row] * lse[row]);
      loss += static_cast<double>(losses[row]);
      if (dx == nullptr) continue;
      const float whole = of_row * share, each = whole * (1 + 2 * zeta * lse[row]) / sum_of_row;
      each_vector(vocabulary, [&](std::int64_t at, std::int64_t count) {
        store(z + at, of_row == 0 ? Vector{} : load(z + at, count) * each, count);
      });
      if (label >= 0) z[label] -= whole;
    }
    if (dx == nullptr) continue;
    multiply(logits, vocabulary, here, into_rows, vocabulary, width, dx + start * width, width, false, context);
    multiply_transposed(logits, vocabulary, x + start * width, width, here, vocabulary, width, dweight, width, add,
                        context);
  }
  *arguments.tensor(5) = static_cast<float>(loss * static_cast<double>(share));
  *arguments.tensor(6) = static_cast<float>(total);
}

}  // namespace isoflop::ops::ISOFLOP_ISA
