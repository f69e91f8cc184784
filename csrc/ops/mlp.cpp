// The whole MLP: y = x + act(u W_in^T + b_in) W_out^T + b_out, u = norm(x). Hidden columns are made some at a time for
// a tile of rows, so that they stay in cache; the backward pass makes them anew.
#include "activation.hpp"
#include "awake.hpp"
#include "products.hpp"
#include "row_norm.hpp"
#include "rows.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

namespace {

constexpr std::int64_t hidden_columns = 64;  // made at a time
constexpr std::int64_t hidden_rows = 32;     // of them, likewise, in the backward pass
constexpr std::int64_t rows_summed = 32;     // one by one, before their sum is added: long sums lose digits

struct Mlp {
  const float *x, *gain, *bias, *w_in, *b_in, *w_out, *b_out;
  std::int64_t rows, width, deep;
  RowNorm norm;
  bool residual;

  std::size_t hidden_room(std::int64_t rows_) const { return static_cast<std::size_t>(rows_ * hidden_columns); }
};

// tensors from `first` on: x (M, D), gain (D)?, bias (D)?, w_in (F, D) or (2 F, D), b_in?, w_out (D, F), b_out (D)?;
// sizes: M, D, F; settings: kind of activation, kind of norm, eps, whether x is added.
Mlp read(const Arguments& arguments, std::size_t first) {
  const auto tensor = [&](std::size_t index) { return arguments.tensor<const float>(first + index); };
  const std::int64_t* sizes = arguments.sizes;
  return {tensor(0),
          tensor(1),
          tensor(2),
          tensor(3),
          tensor(4),
          tensor(5),
          tensor(6),
          sizes[0],
          sizes[1],
          sizes[2],
          {static_cast<Norm>(arguments.settings[1]), tensor(1), tensor(2), sizes[1],
           static_cast<float>(arguments.settings[2])},
          arguments.settings[3] != 0};
}

// Packed matrices one behind the other.
struct Kept {
  std::byte* at;
  Products products;
  bool first;

  const std::byte* take(const float* b, std::int64_t ldb, bool transposed, std::int64_t k, std::int64_t n) {
    std::byte* const to = at;
    if (first) pack(b, ldb, transposed, k, n, products, to);
    at += packed_bytes(k, n, products);
    return to;
  }
};

// Hidden columns from `column` on of a packed w_in: its panels of columns follow each other.
const std::byte* columns_of(const std::byte* packed, std::int64_t column, std::int64_t k, Products products) {
  return packed + packed_bytes(k, column, products);
}

template <class Put>
void each_hidden(std::int64_t rows, std::int64_t columns, Products products, Put&& put) {
  for (std::int64_t row = 0; row < rows; ++row) {
    if (row % 8 == 0) stay_awake(products);
    each_vector(columns, [&](std::int64_t column, std::int64_t count) { put(row, column, count); });
  }
}

template <Activation kind>
void forward(const Mlp& of, float* y, Kept kept, Context& context) {
  const std::int64_t width = of.width, deep = of.deep;
  const std::byte* gate = kept.take(of.w_in, width, true, width, deep);
  const std::byte* value = gated(kind) ? kept.take(of.w_in + deep * width, width, true, width, deep) : nullptr;
  const std::byte* out = kept.take(of.w_out, deep, true, deep, width);
  const std::int64_t at_a_time = least(of.rows, panel_rows(width, context.products));
  Panel u(context, at_a_time, width);
  const Panel a(context, at_a_time, deep);
  auto* z = context.scratch.take<float>(of.hidden_room(at_a_time));
  auto* v = gated(kind) ? context.scratch.take<float>(of.hidden_room(at_a_time)) : nullptr;
  for (std::int64_t first = 0; first < of.rows; first += at_a_time) {
    const std::int64_t rows = least(at_a_time, of.rows - first);
    const float* x = of.x + first * width;
    if (of.norm.kind == Norm::none) {
      u.read(x, width, rows);
    } else {
      for (std::int64_t row = 0; row < rows; ++row) {
        const Statistics statistics = of.norm.measure(x + row * width);
        each_vector(width, [&](std::int64_t column, std::int64_t count) {
          u.put(row, column, of.norm.normed(x + row * width, statistics, column, count), count);
        });
      }
    }
    for (std::int64_t begin = 0; begin < deep; begin += hidden_columns) {
      const std::int64_t columns = least(hidden_columns, deep - begin);
      multiply(u, rows, columns_of(gate, begin, width, context.products), columns, z, columns, false);
      if constexpr (gated(kind))
        multiply(u, rows, columns_of(value, begin, width, context.products), columns, v, columns, false);
      each_hidden(rows, columns, context.products, [&](std::int64_t row, std::int64_t column, std::int64_t count) {
        Vector of_z = load(z + row * columns + column, count), of_v{};
        if constexpr (gated(kind)) of_v = load(v + row * columns + column, count);
        if (of.b_in != nullptr) {
          of_z += load(of.b_in + begin + column, count);
          if constexpr (gated(kind)) of_v += load(of.b_in + deep + begin + column, count);
        }
        a.put(row, begin + column, activate<kind>(of_z, of_v), count);
      });
    }
    float* to = y + first * width;
    multiply(a, rows, out, width, to, width, false);
    add_rows(to, rows, width, of.b_out, of.residual ? x : nullptr);
  }
}

struct Gradients {
  float *dx, *dw_in, *db_in, *dw_out, *db_out, *dgain, *dbias;
};

template <Activation kind>
void backward(const Mlp& of, const float* dys, const Gradients& to, Kept kept, Context& context) {
  const std::int64_t width = of.width, deep = of.deep, halves = gated(kind) ? 2 : 1;
  const Products products = context.products;
  const std::byte *into[2] = {}, *out = nullptr;
  for (std::int64_t half = 0; half < halves; ++half)
    into[half] = kept.take(of.w_in + half * deep * width, width, true, width, deep);
  out = kept.take(of.w_out, deep, false, width, deep);
  const std::byte* back = kept.take(of.w_in, width, false, halves * deep, width);

  const std::int64_t at_a_time = least(of.rows, sum_rows);
  Panel u(context, at_a_time, width), dy(context, at_a_time, width);
  const Panel dz(context, at_a_time, halves * deep);
  Turned dy_turned(context, at_a_time, width);
  Turned dz_turned[2] = {{context, at_a_time, hidden_columns}, {context, gated(kind) ? at_a_time : 0, hidden_columns}};
  Stacked u_stacked(context, at_a_time, width), a_stacked(context, at_a_time, hidden_columns);
  auto take = [&](std::int64_t floats) { return context.scratch.take<float>(static_cast<std::size_t>(floats)); };
  float* const normed = of.norm.kind == Norm::none ? nullptr : take(at_a_time * width);
  auto* statistics = context.scratch.take<Statistics>(static_cast<std::size_t>(at_a_time));
  float* const z[2] = {take(hidden_rows * hidden_columns), gated(kind) ? take(hidden_rows * hidden_columns) : nullptr};
  float* const da = take(hidden_rows * hidden_columns);
  float* const db_in = take(2 * hidden_columns);
  float* const both = take(2 * width);
  float* const sums[2] = {both, both + width};  // of the gradients of gain and bias
  bool add = context.accumulate;
  if (!add && to.dgain != nullptr)
    for (float* gradient : {to.dgain, to.dbias})
      if (gradient != nullptr) __builtin_memset(gradient, 0, static_cast<std::size_t>(width) * sizeof(float));
  for (std::int64_t first = 0; first < of.rows; first += at_a_time, add = true) {
    const std::int64_t rows = least(at_a_time, of.rows - first);
    const float *x = of.x + first * width, *given = dys + first * width, *us = x;
    float* dx = to.dx + first * width;
    if (normed != nullptr) {
      for (std::int64_t row = 0; row < rows; ++row) {
        statistics[row] = of.norm.measure(x + row * width);
        each_vector(width, [&](std::int64_t column, std::int64_t count) {
          store(normed + row * width + column, of.norm.normed(x + row * width, statistics[row], column, count), count);
        });
      }
      us = normed;
    }
    u.read(us, width, rows);
    dy.read(given, width, rows);
    u_stacked.read(us, width, rows, width);
    dy_turned.read(given, width, rows, width);
    for (std::int64_t begin = 0; begin < deep; begin += hidden_columns) {
      const std::int64_t columns = least(hidden_columns, deep - begin);
      a_stacked.begin(rows, columns);
      for (std::int64_t half = 0; half < halves; ++half) dz_turned[half].begin(rows, columns);
      __builtin_memset(db_in, 0, 2 * hidden_columns * sizeof(float));
      for (std::int64_t top = 0; top < rows; top += hidden_rows) {
        const std::int64_t here = least(hidden_rows, rows - top);
        for (std::int64_t half = 0; half < halves; ++half)
          multiply(u.from(top), here, columns_of(into[half], begin, width, products), columns, z[half], columns, false);
        multiply(dy.from(top), here, columns_of(out, begin, width, products), columns, da, columns, false);
        each_block(here, columns,
                   [&](std::int64_t row, std::int64_t count_rows, std::int64_t column, std::int64_t count) {
                     Vector of_bias[2] = {};
                     if (of.b_in != nullptr)
                       for (std::int64_t half = 0; half < halves; ++half)
                         of_bias[half] = load(of.b_in + half * deep + begin + column, count);
                     BlockOfRows a, gradients[2];
                     stay_awake(products);
                     Vector totals[2] = {};
                     for (std::int64_t i = 0; i < count_rows; ++i) {
                       const std::int64_t at = (row + i) * columns + column;
                       const Vector of_z = load(z[0] + at, count) + of_bias[0];
                       Vector of_v{};
                       if constexpr (gated(kind)) of_v = load(z[1] + at, count) + of_bias[1];
                       const ActivationGradient gradient = activation_gradient<kind>(of_z, of_v, load(da + at, count));
                       a[i] = activate<kind>(of_z, of_v);
                       gradients[0][i] = gradient.z;
                       totals[0] += gradient.z;
                       if constexpr (gated(kind)) gradients[1][i] = gradient.value, totals[1] += gradient.value;
                     }
                     for (std::int64_t i = count_rows; i < block_of_rows; ++i)
                       a[i] = gradients[0][i] = gradients[1][i] = Vector{};
                     a_stacked.put(top + row, column, a);
                     for (std::int64_t half = 0; half < halves; ++half) {
                       dz_turned[half].put(top + row, column, gradients[half]);
                       dz.put(top + row, half * deep + begin + column, gradients[half], count_rows, count);
                       float* const sum = db_in + half * hidden_columns + column;
                       store(sum, load(sum) + totals[half]);
                     }
                   });
      }
      multiply(dy_turned, a_stacked, to.dw_out + begin, deep, add);
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
    for (std::int64_t begin = 0; begin < rows; begin += rows_summed) {
      __builtin_memset(sums[0], 0, 2 * static_cast<std::size_t>(width) * sizeof(float));
      for (std::int64_t row = begin; row < least(rows, begin + rows_summed); ++row) {
        const std::int64_t at = row * width;
        of.norm.gradient(dx + at, x + at, statistics[row], past == nullptr ? nullptr : past + at, dx + at, sums[0],
                         sums[1]);
      }
      add_rows(to.dgain, 1, width, sums[0], nullptr);
      if (to.dbias != nullptr) add_rows(to.dbias, 1, width, sums[1], nullptr);
    }
  }
}

}  // namespace

// tensors: those of `read`, y (M, D), kept.
void mlp(const Arguments& arguments, Context& context) {
  const Mlp of = read(arguments, 0);
  const Kept kept{arguments.tensor<std::byte>(8), context.products, context.first};
  with_activation(arguments.settings[0],
                  [&]<Activation kind>() { forward<kind>(of, arguments.tensor(7), kept, context); });
}

// tensors: dy (M, D), those of `read`, dx (M, D), dw_in, db_in?, dw_out, db_out?, dgain?, dbias?, kept.
void mlp_backward(const Arguments& arguments, Context& context) {
  const Mlp of = read(arguments, 1);
  const Gradients to{arguments.tensor(8),  arguments.tensor(9),  arguments.tensor(10), arguments.tensor(11),
                     arguments.tensor(12), arguments.tensor(13), arguments.tensor(14)};
  const Kept kept{arguments.tensor<std::byte>(15), context.products, context.first};
  with_activation(arguments.settings[0],
                  [&]<Activation kind>() { backward<kind>(of, arguments.tensor(0), to, kept, context); });
}

}  // namespace isoflop::ops::ISOFLOP_ISA
