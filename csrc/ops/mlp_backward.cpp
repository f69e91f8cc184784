// Gradients of the MLP: hidden columns are made anew, some at a time for a tile of rows, or read where they were saved.
#include "mlp.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

namespace {

constexpr std::int64_t hidden_rows = 32;  // made at a time

struct Gradients {
  float *dx, *dw_in, *db_in, *dw_out, *db_out, *dgain, *dbias;
};

#if defined(__AMX_BF16__)

// Gradients of a block of hidden columns, those of activations times the slopes that were saved: rows of dz from `row`
// and `deep` on, and turned, where the columns are counted from `column` on. Returns their sums over the rows.
Vector pull_back(const float* da, std::int64_t apart, std::int64_t rows, std::int64_t count, const Saved::Block& block,
                 const Panel& dz, const Turned& turned, std::int64_t row, std::int64_t deep, std::int64_t column) {
  __m512i pairs[block_of_rows / 2];
  Vector totals[2] = {};
#pragma GCC unroll 4
  for (std::int64_t i = 0; i < block_of_rows; i += 2) {
    const Vector first = i < rows ? load(da + i * apart, count) * block.slope(i) : Vector{},
                 second = i + 1 < rows ? load(da + (i + 1) * apart, count) * block.slope(i + 1) : Vector{};
    const __m512i rounded = round_rows(first, second);
    dz.put_rounded(row + i, deep, rounded, count);
    pairs[i / 2] = pairs_of(rounded);
    totals[0] += first, totals[1] += second;
  }
  turned.put_pairs(row, column, pairs);
  return totals[0] + totals[1];
}

#endif

template <Activation kind>
void backward(const Mlp& of, const float* dys, const Saved& saved, const Gradients& to, KeptMatrices kept,
              Context& context) {
  const std::int64_t width = of.width, deep = of.deep, halves = gated(kind) ? 2 : 1;
  const Products products = context.products;
  const std::byte *into[2] = {}, *out = nullptr;
  for (std::int64_t half = 0; half < halves && !saved.any(); ++half)
    into[half] = kept.take(of.w_in + half * deep * width, width, true, width, deep);
  out = kept.take(of.w_out, deep, false, width, deep);
  const std::byte* back = kept.take(of.w_in, width, false, halves * deep, width);

  const std::int64_t at_a_time = least(of.rows, sum_rows);
  const std::int64_t made_anew = saved.any() ? 0 : at_a_time;
  Panel u(context, made_anew, width), dy(context, at_a_time, width);
  const Panel dz(context, at_a_time, halves * deep);
  Turned dy_turned(context, at_a_time, width);
  Turned dz_turned[2] = {{context, at_a_time, hidden_columns}, {context, gated(kind) ? at_a_time : 0, hidden_columns}};
  Stacked u_stacked(context, at_a_time, width), a_stacked(context, made_anew, hidden_columns);
  auto take = [&](std::int64_t floats) { return context.scratch.take<float>(static_cast<std::size_t>(floats)); };
  float* const normed = of.norm.kind == Norm::none ? nullptr : take(at_a_time * width);
  auto* statistics = context.scratch.take<Statistics>(static_cast<std::size_t>(at_a_time));
  float* const z[2] = {take(hidden_rows * hidden_columns), gated(kind) ? take(hidden_rows * hidden_columns) : nullptr};
  float* const da = take(hidden_rows * hidden_columns);
  float* const db_in = take(2 * hidden_columns);
  bool add = context.accumulate;
  if (!add && to.dgain != nullptr)
    for (float* gradient : {to.dgain, to.dbias})
      if (gradient != nullptr) __builtin_memset(gradient, 0, static_cast<std::size_t>(width) * sizeof(float));
  for (std::int64_t first = 0; first < of.rows; first += at_a_time, add = true) {
    const std::int64_t rows = least(at_a_time, of.rows - first);
    const float *x = of.x + first * width, *given = dys + first * width, *us = x;
    float* dx = to.dx + first * width;
    if (normed != nullptr) {
      of.norm.measure(x, rows, statistics);
      of.norm.each_normed(x, rows, statistics,
                          [&](std::int64_t row, std::int64_t column, std::int64_t count, Vector made) {
                            store(normed + row * width + column, made, count);
                          });
      us = normed;
    }
    if (!saved.any()) u.read(us, width, rows);
    dy.read(given, width, rows);
    u_stacked.read(us, width, rows, width);
    dy_turned.read(given, width, rows, width);
    for (std::int64_t begin = 0; begin < deep; begin += hidden_columns) {
      const std::int64_t columns = least(hidden_columns, deep - begin);
      if (!saved.any()) a_stacked.begin(rows, columns);
      for (std::int64_t half = 0; half < halves; ++half) dz_turned[half].begin(rows, columns);
      __builtin_memset(db_in, 0, 2 * hidden_columns * sizeof(float));
      for (std::int64_t top = 0; top < rows; top += hidden_rows) {
        const std::int64_t here = least(hidden_rows, rows - top);
        for (std::int64_t half = 0; half < halves && !saved.any(); ++half)
          multiply(u.from(top), here, columns_of(into[half], begin, width, products), columns, z[half], columns, false);
        multiply(dy.from(top), here, columns_of(out, begin, width, products), columns, da, columns, false);
        each_block(here, columns,
                   [&](std::int64_t row, std::int64_t count_rows, std::int64_t column, std::int64_t count) {
                     stay_awake(products);
#if defined(__AMX_BF16__)
                     if (saved.any()) {
                       float* const sum = db_in + column;
                       const Vector total = pull_back(da + row * columns + column, columns, count_rows, count,
                                                      saved.block(first + top + row, begin + column), dz, dz_turned[0],
                                                      top + row, begin + column, column);
                       store(sum, load(sum) + total);
                       return;
                     }
#endif
                     BlockOfRows gradients[2] = {};
                     Vector of_bias[2] = {};
                     if (of.b_in != nullptr)
                       for (std::int64_t half = 0; half < halves; ++half)
                         of_bias[half] = load(of.b_in + half * deep + begin + column, count);
                     BlockOfRows a = {};
                     for (std::int64_t i = 0; i < count_rows; ++i) {
                       const std::int64_t at = (row + i) * columns + column;
                       const Vector of_z = load(z[0] + at, count) + of_bias[0];
                       Vector of_v{};
                       if constexpr (gated(kind)) of_v = load(z[1] + at, count) + of_bias[1];
                       const ActivationGradient gradient = activation_gradient<kind>(of_z, of_v, load(da + at, count));
                       a[i] = activate<kind>(of_z, of_v);
                       gradients[0][i] = gradient.z;
                       if constexpr (gated(kind)) gradients[1][i] = gradient.value;
                     }
                     a_stacked.put(top + row, column, a);
                     for (std::int64_t half = 0; half < halves; ++half) {
                       dz_turned[half].put(top + row, column, gradients[half]);
                       dz.put(top + row, half * deep + begin + column, gradients[half], count_rows, count);
                       float* const sum = db_in + half * hidden_columns + column;
                       Vector totals[2] = {};
                       for (std::int64_t i = 0; i < block_of_rows; i += 2)
                         for (std::int64_t j = 0; j < 2; ++j) totals[j] += gradients[half][i + j];
                       store(sum, load(sum) + (totals[0] + totals[1]));
                     }
                   });
      }
      multiply(dy_turned, saved.any() ? saved.activations(first).from(begin, columns) : a_stacked, to.dw_out + begin,
               deep, add);
      for (std::int64_t half = 0; half < halves; ++half) {
        const std::int64_t row = half * deep + begin;
        multiply(dz_turned[half], u_stacked, to.dw_in + row * width, width, add);
        if (to.db_in != nullptr) add_up_rows(db_in + half * hidden_columns, 1, columns, to.db_in + row, add);
      }
    }
    multiply(dz, rows, back, width, dx, width, false);
    if (to.db_out != nullptr) add_up_rows(given, rows, width, to.db_out, add);
    const float* past = of.residual ? given : nullptr;
    if (normed == nullptr) {
      add_rows(dx, rows, width, nullptr, past);
      continue;
    }
    of.norm.gradient(dx, x, rows, statistics, past, dx, to.dgain, to.dbias);
  }
}

}  // namespace

// tensors: dy (M, D), those of `read_mlp`, dx (M, D), dw_in, db_in?, dw_out, db_out?, dgain?, dbias?, saved?, kept.
void mlp_backward(const Arguments& arguments, Context& context) {
  const Mlp of = read_mlp(arguments, 1);
  const Gradients to{arguments.tensor(8),  arguments.tensor(9),  arguments.tensor(10), arguments.tensor(11),
                     arguments.tensor(12), arguments.tensor(13), arguments.tensor(14)};
  const KeptMatrices kept{arguments.tensor<std::byte>(16), context.products, context.first};
  with_activation(arguments.settings[0], [&]<Activation kind>() {
    const Saved saved(arguments.tensor(15), of.rows, of.deep, context.products);
    backward<kind>(of, arguments.tensor(0), saved, to, kept, context);
  });
}

}  // namespace isoflop::ops::ISOFLOP_ISA
