// Which experts the rows of a mixture go to, and where: softmax gates, the J likeliest, places by counting.
//
//   p = softmax(scale x R^T),   chosen = the J largest p of a row, the first of equal ones
//   gate = p, or p over the sum of those chosen,   balance = E sum over experts of f mean(p), f the share of all
//   choices dp = dgate, or (dgate - sum of gate dgate) / (sum of the chosen p);   dp += dbalance E total / (M M J)
//   dlogits = scale p (dp - sum of p dp),   dx += dlogits R,   dR = dlogits^T x
//
// An expert takes the earliest rows that chose it; the choices beyond its capacity are dropped, and have no gradient.
#include "elementary.hpp"
#include "products.hpp"
#include "rows.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

namespace {

constexpr float taken = -1.0F;  // in the place of a probability

// Logits are multiplied in float32 whatever other matrices are: rounded, they would choose other experts.
class InFloats {
 public:
  explicit InFloats(Context& context) : context_(context), products_(context.products) {
    context.products = Products::float32;
  }
  InFloats(const InFloats&) = delete;
  InFloats& operator=(const InFloats&) = delete;
  ~InFloats() { context_.products = products_; }

 private:
  Context& context_;
  Products products_;
};

float scale_of(const double* scale) { return scale == nullptr ? 1.0F : static_cast<float>(*scale); }

void softmax(float* z, std::int64_t width, float scale) {
  Vector tops = broadcast(-__builtin_inff()), sums{};
  each_vector(width, [&](std::int64_t at, std::int64_t count) {
    const Vector scaled_z = scale * load(z + at, count);
    tops = larger(tops, lane_numbers() < static_cast<std::int32_t>(count) ? scaled_z : tops);
    store(z + at, scaled_z, count);
  });
  const float top = largest(tops);
  each_vector(width, [&](std::int64_t at, std::int64_t count) {
    const Vector e = exp(load(z + at, count) - top);
    sums += first_lanes(e, count);
    store(z + at, e, count);
  });
  const float share = 1.0F / sum(sums);
  each_vector(width, [&](std::int64_t at, std::int64_t count) { store(z + at, load(z + at, count) * share, count); });
}

// The largest that is not taken, the first of equal ones; some one even where none is a number.
std::int32_t likeliest(const float* left, std::int64_t experts) {
  std::int64_t best = -1;
  for (std::int64_t expert = 0; expert < experts; ++expert)
    if (left[expert] != taken && (best < 0 || left[expert] > left[best])) best = expert;
  return static_cast<std::int32_t>(best);
}

}  // namespace

// tensors: x (M, D), router (E, D), scale (1) float64?, p (M, E), chosen (M, J) int32, gates (M, J), slots (M, J)
// int32, below 0 where dropped, routes (M J) int32, of each slot in use J row + choice, totals (E) int32, of all
// choices, starts (E + 1) int32, the first slot of each expert, balance (1), dropped (1) int64; sizes: M, D, E, J, rows
// that an expert takes; settings: whether gates are renormalised.
void moe_route(const Arguments& arguments, Context& context) {
  const InFloats floats(context);
  const float *x = arguments.tensor(0), *router = arguments.tensor(1);
  const float scale = scale_of(arguments.tensor<const double>(2));
  float *const p = arguments.tensor(3), *gates = arguments.tensor(5);
  auto* const chosen = arguments.tensor<std::int32_t>(4);
  auto *const slots = arguments.tensor<std::int32_t>(6), *const routes = arguments.tensor<std::int32_t>(7);
  auto *const totals = arguments.tensor<std::int32_t>(8), *const starts = arguments.tensor<std::int32_t>(9);
  const std::int64_t rows = arguments.sizes[0], width = arguments.sizes[1], experts = arguments.sizes[2];
  const std::int64_t top = arguments.sizes[3], capacity = arguments.sizes[4];
  const bool renormalised = arguments.settings[0] != 0;

  auto* const packed = context.scratch.take<std::byte>(packed_bytes(width, experts, context.products));
  pack(router, width, true, width, experts, context.products, packed);
  multiply(x, width, rows, packed, width, experts, p, experts, false, context);

  auto* const left = context.scratch.take<float>(static_cast<std::size_t>(experts));
  __builtin_memset(totals, 0, static_cast<std::size_t>(experts) * sizeof *totals);
  for (std::int64_t row = 0; row < rows; ++row, gates += top) {
    float* const of_row = p + row * experts;
    softmax(of_row, experts, scale);
    __builtin_memcpy(left, of_row, static_cast<std::size_t>(experts) * sizeof *left);
    float mass = 0;
    for (std::int64_t j = 0; j < top; ++j) {
      const std::int32_t expert = likeliest(left, experts), place = totals[expert]++;
      left[expert] = taken;
      mass += gates[j] = of_row[expert];
      chosen[row * top + j] = expert;
      slots[row * top + j] = place < capacity ? place : -1;
    }
    if (renormalised)
      for (std::int64_t j = 0; j < top; ++j) gates[j] /= mass;
  }

  starts[0] = 0;
  for (std::int64_t expert = 0; expert < experts; ++expert)
    starts[expert + 1] = starts[expert] + static_cast<std::int32_t>(least(totals[expert], capacity));
  for (std::int64_t choice = 0; choice < rows * top; ++choice) {
    if (slots[choice] < 0) continue;
    slots[choice] += starts[chosen[choice]];
    routes[slots[choice]] = static_cast<std::int32_t>(choice);
  }
  *arguments.tensor<std::int64_t>(11) = rows * top - starts[experts];

  auto* const sums = context.scratch.take<float>(static_cast<std::size_t>(experts));
  add_up_rows(p, rows, experts, sums, false);
  double balance = 0;
  for (std::int64_t expert = 0; expert < experts; ++expert)
    balance += static_cast<double>(totals[expert]) * static_cast<double>(sums[expert]);
  const auto evenly = static_cast<double>(rows) * static_cast<double>(rows * top) / static_cast<double>(experts);
  *arguments.tensor(10) = static_cast<float>(balance / evenly);
}

// tensors: x (M, D), router (E, D), scale (1) float64?, p, chosen, gates, totals of moe_route, dgates (M, J), dbalance
// (1)?, dlogits (M, E), dx (M, D), to which what comes by the router is added, drouter (E, D); sizes: M, D, E, J;
// settings: whether gates are renormalised.
void moe_route_backward(const Arguments& arguments, Context& context) {
  const InFloats floats(context);
  const float *x = arguments.tensor(0), *router = arguments.tensor(1), *p = arguments.tensor(3);
  const float scale = scale_of(arguments.tensor<const double>(2));
  const auto *chosen = arguments.tensor<const std::int32_t>(4), *totals = arguments.tensor<const std::int32_t>(6);
  const float *gates = arguments.tensor(5), *dgates = arguments.tensor(7), *dbalance = arguments.tensor(8);
  float *const dlogits = arguments.tensor(9), *const dx = arguments.tensor(10);
  const std::int64_t rows = arguments.sizes[0], width = arguments.sizes[1], experts = arguments.sizes[2];
  const std::int64_t top = arguments.sizes[3];
  const bool renormalised = arguments.settings[0] != 0;

  auto* const of_balance = context.scratch.take<float>(static_cast<std::size_t>(experts));
  const auto evenly = static_cast<double>(rows) * static_cast<double>(rows * top) / static_cast<double>(experts);
  const double share = dbalance == nullptr ? 0.0 : static_cast<double>(*dbalance) / evenly;
  for (std::int64_t expert = 0; expert < experts; ++expert)
    of_balance[expert] = static_cast<float>(share * totals[expert]);
  for (std::int64_t row = 0; row < rows; ++row, p += experts, chosen += top, gates += top, dgates += top) {
    float* const dp = dlogits + row * experts;
    __builtin_memcpy(dp, of_balance, static_cast<std::size_t>(experts) * sizeof *dp);
    float along = 0, mass = 1;
    if (renormalised) {
      mass = 0;
      for (std::int64_t j = 0; j < top; ++j) along += gates[j] * dgates[j], mass += p[chosen[j]];
    }
    for (std::int64_t j = 0; j < top; ++j) dp[chosen[j]] += (dgates[j] - along) / mass;
    Vector means{};
    each_vector(experts,
                [&](std::int64_t at, std::int64_t count) { means += load(p + at, count) * load(dp + at, count); });
    const float mean = sum(means);
    each_vector(experts, [&](std::int64_t at, std::int64_t count) {
      store(dp + at, scale * load(p + at, count) * (load(dp + at, count) - mean), count);
    });
  }

  auto* const packed = context.scratch.take<std::byte>(packed_bytes(experts, width, context.products));
  pack(router, width, false, experts, width, context.products, packed);
  multiply(dlogits, experts, rows, packed, experts, width, dx, width, true, context);
  multiply_transposed(dlogits, experts, x, width, rows, experts, width, arguments.tensor(11), width, context.accumulate,
                      context);
}

}  // namespace isoflop::ops::ISOFLOP_ISA
