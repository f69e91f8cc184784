// Norm, projection to queries, keys and values, rotary positions: n = norm(x), p = n W^T + b, pair (i, i + C/2) of
// queries and keys turned. A tile of normalised rows and of their projection stays in cache; neither is stored.
#include "products.hpp"
#include "row_norm.hpp"
#include "rows.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

namespace {

// Rows of the projection, (H + 2 G) C wide, and where their heads lie in (B, heads, T, C).
struct Heads {
  std::int64_t seq, queries, groups, width;
  const float *cosines, *sines;  // (T, C/2), or null

  std::int64_t outputs() const { return (queries + 2 * groups) * width; }

  // visit(head of the projection, its row in its tensor, which tensor, whether its pairs turn)
  template <class Visit>
  void each(std::int64_t row, Visit&& visit) const {
    const std::int64_t sequence = row / seq, at = row % seq;
    for (std::int64_t head = 0; head < queries + 2 * groups; ++head) {
      const int which = head < queries ? 0 : head < queries + groups ? 1 : 2;
      const std::int64_t heads = which == 0 ? queries : groups;
      const std::int64_t inner = which == 0 ? head : which == 1 ? head - queries : head - queries - groups;
      visit(head * width, ((sequence * heads + inner) * seq + at) * width, which,
            cosines != nullptr && which < 2 ? at * (width / 2) : -1);
    }
  }
};

// from, a head of a row, turned to `to`; `back` by the angle's negative.
template <bool back>
void turn(const Heads& heads, const float* from, float* to, std::int64_t angle) {
  const std::int64_t half = heads.width / 2;
  each_vector(half, [&](std::int64_t column, std::int64_t count) {
    const Vector cosine = load(heads.cosines + angle + column, count);
    Vector sine = load(heads.sines + angle + column, count);
    if constexpr (back) sine = -sine;
    const Vector a = load(from + column, count), b = load(from + half + column, count);
    store(to + column, a * cosine - b * sine, count);
    store(to + half + column, a * sine + b * cosine, count);
  });
}

void copy(const float* from, float* to, std::int64_t width) {
  each_vector(width,
              [&](std::int64_t column, std::int64_t count) { store(to + column, load(from + column, count), count); });
}

}  // namespace

// tensors: x (M, D), gain (D), shift (D)?, weight (O, D), bias (O)?, cosines (T, C/2)?, sines (T, C/2)?,
// q (B, H, T, C), k (B, G, T, C), v (B, G, T, C), mean (M)?, rstd (M), kept; sizes: B, T, D, H, G, C; settings: eps.
void norm_qkv(const Arguments& arguments, Context& context) {
  const float *x = arguments.tensor(0), *weight = arguments.tensor(3), *bias = arguments.tensor(4);
  float *means = arguments.tensor(10), *rstds = arguments.tensor(11);
  void* packed = arguments.tensor(12);
  const std::int64_t *sizes = arguments.sizes, rows = sizes[0] * sizes[1], width = sizes[2];
  const RowNorm norm{means != nullptr ? Norm::layer : Norm::rms, arguments.tensor(1), arguments.tensor(2), width,
                     static_cast<float>(arguments.settings[0])};
  const Heads heads{sizes[1], sizes[3], sizes[4], sizes[5], arguments.tensor(5), arguments.tensor(6)};
  float* const to[3] = {arguments.tensor(7), arguments.tensor(8), arguments.tensor(9)};
  const std::int64_t outputs = heads.outputs(), at_a_time = panel_rows(width, context.products);
  if (context.first) pack(weight, width, true, width, outputs, context.products, packed);
  const Panel panel(context, least(at_a_time, rows), width);
  auto* tile = context.scratch.take<float>(static_cast<std::size_t>(least(at_a_time, rows) * outputs));
  for (std::int64_t first = 0; first < rows; first += at_a_time) {
    const std::int64_t count = least(at_a_time, rows - first);
    for (std::int64_t row = 0; row < count; ++row) {
      const float* from = x + (first + row) * width;
      const Statistics of = norm.measure(from);
      if (means != nullptr) means[first + row] = of.mean;
      rstds[first + row] = of.rstd;
      each_vector(width, [&](std::int64_t column, std::int64_t columns) {
        panel.put(row, column, norm.normed(from, of, column, columns), columns);
      });
    }
    multiply(panel, count, packed, outputs, tile, outputs, false);
    add_rows(tile, count, outputs, bias, nullptr);
    for (std::int64_t row = 0; row < count; ++row) {
      heads.each(first + row, [&](std::int64_t column, std::int64_t at, int which, std::int64_t angle) {
        const float* from = tile + row * outputs + column;
        if (angle >= 0) turn<false>(heads, from, to[which] + at, angle);
        else copy(from, to[which] + at, heads.width);
      });
    }
  }
}

// tensors: dq (B, H, T, C), dk, dv (B, G, T, C), x (M, D), gain (D), shift (D)?, weight (O, D), mean (M)?, rstd (M),
// cosines (T, C/2)?, sines (T, C/2)?, dn (M, D), dweight (O, D), dbias (O)?, kept; sizes: B, T, D, H, G, C.
void norm_qkv_backward(const Arguments& arguments, Context& context) {
  const float* const from[3] = {arguments.tensor(0), arguments.tensor(1), arguments.tensor(2)};
  const float *x = arguments.tensor(3), *weight = arguments.tensor(6);
  const float *means = arguments.tensor(7), *rstds = arguments.tensor(8);
  float *dn = arguments.tensor(11), *dweight = arguments.tensor(12), *dbias = arguments.tensor(13);
  void* packed = arguments.tensor(14);
  const std::int64_t *sizes = arguments.sizes, rows = sizes[0] * sizes[1], width = sizes[2];
  const RowNorm norm{Norm::layer, arguments.tensor(4), arguments.tensor(5), width, 0.0F};
  const Heads heads{sizes[1], sizes[3], sizes[4], sizes[5], arguments.tensor(9), arguments.tensor(10)};
  const std::int64_t outputs = heads.outputs(), at_a_time = least(rows, sum_rows);
  if (context.first) pack(weight, width, false, outputs, width, context.products, packed);
  auto* dp = context.scratch.take<float>(static_cast<std::size_t>(at_a_time * outputs));
  auto* n = context.scratch.take<float>(static_cast<std::size_t>(at_a_time * width));
  bool add = context.accumulate;
  for (std::int64_t first = 0; first < rows; first += at_a_time, add = true) {
    const std::int64_t count = least(at_a_time, rows - first);
    for (std::int64_t row = 0; row < count; ++row) {
      heads.each(first + row, [&](std::int64_t column, std::int64_t at, int which, std::int64_t angle) {
        float* to = dp + row * outputs + column;
        if (angle >= 0) turn<true>(heads, from[which] + at, to, angle);
        else copy(from[which] + at, to, heads.width);
      });
      const Statistics of{means == nullptr ? 0.0F : means[first + row], rstds[first + row]};
      each_vector(width, [&](std::int64_t column, std::int64_t columns) {
        store(n + row * width + column, norm.normed(x + (first + row) * width, of, column, columns), columns);
      });
    }
    multiply(dp, outputs, count, packed, outputs, width, dn + first * width, width, false, context);
    multiply_transposed(dp, outputs, n, width, count, outputs, width, dweight, width, add, context);
    if (dbias != nullptr) add_up_rows(dp, count, outputs, dbias, add);
  }
}

}  // namespace isoflop::ops::ISOFLOP_ISA
