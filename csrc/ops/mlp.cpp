// The MLP forward. Hidden columns are made some at a time for a tile of rows, so that they stay in cache.
#include "mlp.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

namespace {

// What an activation takes: z, and the value that it is the gate of where it is one.
struct Hidden {
  Vector z, value;
};

template <class Put>
void each_hidden(std::int64_t rows, std::int64_t columns, Products products, Put&& put) {
  for (std::int64_t row = 0; row < rows; ++row) {
    if (row % 8 == 0) stay_awake(products);
    each_vector(columns, [&](std::int64_t column, std::int64_t count) { put(row, column, count); });
  }
}

#if defined(__AMX_BF16__)

// A block's hidden columns, to what follows and to what is saved, whose rows past the last are noughts.
template <Activation kind>
void save(const float* z, std::int64_t apart, std::int64_t rows, std::int64_t count, Vector bias, const Panel& a,
          std::int64_t column, const Saved::Block& block) {
  constexpr std::int64_t together = 4;
  const auto some_rows = [&]<bool whole>(std::int64_t row) {
    Vector of[together], activations[together], slopes[together];
#pragma GCC unroll 4
    for (std::int64_t i = 0; i < together; ++i)
      of[i] = whole || row + i < rows ? load(z + (row + i) * apart, count) + bias : Vector{};
    activate_and_slope<kind>(of, activations, slopes);
#pragma GCC unroll 4
    for (std::int64_t i = 0; i < together; i += 2) {
      const Vector first = whole || row + i < rows ? activations[i] : Vector{};
      const Vector second = whole || row + i + 1 < rows ? activations[i + 1] : Vector{};
      const __m512i rounded = round_rows(first, second);
      a.put_rounded(row + i, column, rounded, count);
      block.put(row + i, rounded, slopes[i], slopes[i + 1]);
    }
  };
  for (std::int64_t row = 0; row < block_of_rows; row += together) {
    if (row % 16 == 0) stay_awake(Products::bfloat16);
    if (row + together <= rows) some_rows.template operator()<true>(row);
    else some_rows.template operator()<false>(row);
  }
}

#endif

template <Activation kind>
void forward(const Mlp& of, float* y, [[maybe_unused]] const Saved& saved, KeptMatrices kept, Context& context) {
  const std::int64_t width = of.width, deep = of.deep;
  const std::byte* gate = kept.take(of.w_in, width, true, width, deep);
  const std::byte* value = gated(kind) ? kept.take(of.w_in + deep * width, width, true, width, deep) : nullptr;
  const std::byte* out = kept.take(of.w_out, deep, true, deep, width);
  const std::int64_t at_a_time = least(of.rows, panel_rows(width, context.products));
  Panel u(context, at_a_time, width);
  const Panel a(context, at_a_time, deep);
  auto* statistics = context.scratch.take<Statistics>(static_cast<std::size_t>(at_a_time));
  auto* z = context.scratch.take<float>(static_cast<std::size_t>(at_a_time * hidden_columns));
  auto* v = gated(kind) ? context.scratch.take<float>(static_cast<std::size_t>(at_a_time * hidden_columns)) : nullptr;
  for (std::int64_t first = 0; first < of.rows; first += at_a_time) {
    const std::int64_t rows = least(at_a_time, of.rows - first);
    const float* x = of.x + first * width;
    if (of.norm.kind == Norm::none) {
      u.read(x, width, rows);
    } else {
      of.norm.measure(x, rows, statistics);
      of.norm.each_normed(x, rows, statistics,
                          [&](std::int64_t row, std::int64_t column, std::int64_t count, Vector made) {
                            u.put(row, column, made, count);
                          });
    }
    for (std::int64_t begin = 0; begin < deep; begin += hidden_columns) {
      const std::int64_t columns = least(hidden_columns, deep - begin);
      multiply(u, rows, columns_of(gate, begin, width, context.products), columns, z, columns, false);
      if constexpr (gated(kind))
        multiply(u, rows, columns_of(value, begin, width, context.products), columns, v, columns, false);
      const auto hidden = [&](std::int64_t row, std::int64_t column, std::int64_t count) {
        Hidden made{load(z + row * columns + column, count), {}};
        if constexpr (gated(kind)) made.value = load(v + row * columns + column, count);
        if (of.b_in != nullptr) {
          made.z += load(of.b_in + begin + column, count);
          if constexpr (gated(kind)) made.value += load(of.b_in + deep + begin + column, count);
        }
        return made;
      };
#if defined(__AMX_BF16__)
      if constexpr (!gated(kind)) {
        if (saved.any()) {
          each_block(rows, columns, [&](std::int64_t row, std::int64_t there, std::int64_t column, std::int64_t count) {
            const Vector bias = of.b_in == nullptr ? Vector{} : load(of.b_in + begin + column, count);
            save<kind>(z + row * columns + column, columns, there, count, bias, a.from(row), begin + column,
                       saved.block(first + row, begin + column));
          });
          continue;
        }
      }
#endif
      each_hidden(rows, columns, context.products, [&](std::int64_t row, std::int64_t column, std::int64_t count) {
        const Hidden at = hidden(row, column, count);
        a.put(row, begin + column, activate<kind>(at.z, at.value), count);
      });
    }
    float* to = y + first * width;
    multiply(a, rows, out, width, to, width, false);
    add_rows(to, rows, width, of.b_out, of.residual ? x : nullptr);
  }
}

}  // namespace

// tensors: those of `read_mlp`, y (M, D), saved (see Saved)?, kept.
void mlp(const Arguments& arguments, Context& context) {
  const Mlp of = read_mlp(arguments, 0);
  const KeptMatrices kept{arguments.tensor<std::byte>(9), context.products, context.first};
  with_activation(arguments.settings[0], [&]<Activation kind>() {
    const Saved saved(arguments.tensor(8), of.rows, of.deep, context.products);
    forward<kind>(of, arguments.tensor(7), saved, kept, context);
  });
}

}  // namespace isoflop::ops::ISOFLOP_ISA
