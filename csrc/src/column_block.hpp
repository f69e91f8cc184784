// A block of rows as doubles: a buffer a field, small enough that all stay in the first cache, rows asked for ahead
// too.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "isoflop/columns.hpp"
#include "isoflop/dims.hpp"

namespace isoflop::columns {

inline constexpr std::size_t n_fields = shape_fields.size();
inline constexpr std::size_t block_rows = 64;

template <class Number>
using Buffer = std::array<Number, block_rows>;

constexpr std::size_t index_of(std::int64_t Shape::* member) {
  for (std::size_t i = 0; i < n_fields; ++i)
    if (shape_fields[i].member == member) return i;
  return n_fields;
}

inline constexpr std::size_t n_layer = index_of(&Shape::n_layer), d_model = index_of(&Shape::d_model),
                             n_head = index_of(&Shape::n_head), n_kv_head = index_of(&Shape::n_kv_head),
                             d_head = index_of(&Shape::d_head), d_ff = index_of(&Shape::d_ff),
                             d_rope = index_of(&Shape::d_rope), d_value = index_of(&Shape::d_value),
                             d_expert = index_of(&Shape::d_expert), n_ctx = index_of(&Shape::n_ctx),
                             window = index_of(&Shape::window), n_expert = index_of(&Shape::n_expert),
                             top_k = index_of(&Shape::top_k), n_shared_expert = index_of(&Shape::n_shared_expert),
                             n_dense_layer = index_of(&Shape::n_dense_layer), n_predict = index_of(&Shape::n_predict);

/// What all rows share, as flags that follow the first row's values: a column is nowhere zero or everywhere.
struct Plan {
  Shape shape;
  std::array<bool, n_fields> derived{};
  std::array<bool, n_fields> is_column{};

  explicit Plan(const Rows& rows) : shape(rows.common) {
    for (const Column& column : rows.columns) {
      shape.*shape_fields[column.field].member = column.values[0];
      is_column[column.field] = true;
    }
    for (const std::size_t field : {n_kv_head, d_head, d_ff})
      derived[field] = shape.*shape_fields[field].member == 0 && !is_column[field];
    derived[d_value] = is_latent(shape) && shape.d_value == 0 && !is_column[d_value];
    derived[d_expert] = is_mixture(shape) && shape.d_expert == 0 && !is_column[d_expert];
  }
};

constexpr bool may_be_zero(std::size_t field) {
  return field == n_shared_expert || field == n_dense_layer || field == n_predict;
}

struct Block {
  alignas(64) std::array<Buffer<double>, n_fields> fields;
  alignas(64) Buffer<double> seq;
  alignas(64) Buffer<double> pairs;
  alignas(64) Buffer<double> params;
  alignas(64) Buffer<double> sum;
  bool in_range = true;  // no whole number is below the least that its field may be

  explicit Block(const Rows& rows) {
    for (std::size_t i = 0; i < n_fields; ++i) fields[i].fill(static_cast<double>(rows.common.*shape_fields[i].member));
    seq.fill(static_cast<double>(rows.common_seq));
  }
};

// The nearest double, in operations that every instruction set has as vectors: the halves of the number become the low
// bits of 2^84 + 2^63 and of 2^52, of which the sum of the excess is taken away; only the last addition rounds.
inline double to_double(std::int64_t value) {
  const auto bits = static_cast<std::uint64_t>(value);
  const auto high = std::bit_cast<double>((bits >> 32) ^ 0x4530000080000000U);
  const auto low = std::bit_cast<double>((bits & 0xffffffffU) | 0x4330000000000000U);
  return (high - 0x1.00000801p84) + low;
}

// Of a number from 0 to 2^51: it becomes the low bits of 2^52.
inline double small_to_double(std::uint64_t bits) { return std::bit_cast<double>(bits | 0x4330000000000000U) - 0x1p52; }

// Clears `in_range` where a value is less than `least`, which is 0 or 1. Numbers are taken to be small; those of a
// block where one is not are converted again.
inline void convert(const std::int64_t* from, std::size_t count, std::int64_t least, Buffer<double>& to,
                    bool& in_range) {
  std::uint64_t any = 0;
  const auto smallest = static_cast<std::uint64_t>(least);
  for (std::size_t i = 0; i < count; ++i) {
    const auto bits = static_cast<std::uint64_t>(from[i]);
    any |= bits - smallest;
    to[i] = small_to_double(bits);
  }
  if (any >> 51 == 0) return;
  std::uint64_t signs = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const auto bits = static_cast<std::uint64_t>(from[i]);
    signs |= bits | (bits - smallest);
    to[i] = to_double(from[i]);
  }
  in_range &= signs >> 63 == 0;
}

/// Reads `count` rows from `first` on; what is left of the block keeps older rows.
inline void read(const Rows& rows, std::size_t first, std::size_t count, Block& block) {
  block.in_range = true;
  for (const Column& column : rows.columns)
    convert(column.values + first, count, may_be_zero(column.field) ? 0 : 1, block.fields[column.field],
            block.in_range);
  if (rows.seq != nullptr) convert(rows.seq + first, count, 1, block.seq, block.in_range);
  else if (rows.common_seq == 0) block.seq = block.fields[n_ctx];
}

/// Fills fields in as isoflop.Shape does, in `count` rows.
template <class Number>
inline void fill_derived(const Plan& plan, std::array<Buffer<Number>, n_fields>& f, std::size_t count) {
  const auto each = [&f, count](std::size_t to, const auto& value) {
    for (std::size_t i = 0; i < count; ++i) f[to][i] = value(i);
  };
  const auto third = [](Number value) {
    if constexpr (std::is_integral_v<Number>) return value / 3;
    else return std::floor(value / 3);
  };
  if (plan.derived[n_kv_head]) each(n_kv_head, [&f](std::size_t i) { return f[n_head][i]; });
  if (plan.derived[d_head]) each(d_head, [&f](std::size_t i) { return f[d_model][i] / f[n_head][i]; });
  if (plan.derived[d_ff] && plan.shape.gated) each(d_ff, [&](std::size_t i) { return 8 * third(f[d_model][i] + 2); });
  if (plan.derived[d_ff] && !plan.shape.gated) each(d_ff, [&f](std::size_t i) { return 4 * f[d_model][i]; });
  if (plan.derived[d_value]) each(d_value, [&f](std::size_t i) { return f[d_head][i]; });
  if (plan.derived[d_expert]) each(d_expert, [&f](std::size_t i) { return f[d_ff][i]; });
}

}  // namespace isoflop::columns
