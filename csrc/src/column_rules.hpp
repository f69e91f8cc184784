// Which rows are shapes that take their sequence: what isoflop.Shape and isoflop.flops demand of the fields together.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <stdexcept>

#include "column_block.hpp"
#include "isoflop/checked.hpp"
#include "isoflop/params.hpp"

namespace isoflop::columns {

// A rule gives bits that are zero where it holds, so that the rules of many rows are one loop of ORs: compilers turn it
// into vectors, as they do not turn comparisons.
constexpr std::uint64_t sign = std::uint64_t{1} << 63;

inline std::uint64_t not_dividing(double divisor, double value) {
  const double times = value / divisor;
  return std::bit_cast<std::uint64_t>(times - std::floor(times));
}
inline std::uint64_t not_dividing(std::int64_t divisor, std::int64_t value) {
  return static_cast<std::uint64_t>(value % divisor);
}

inline std::uint64_t below(double value, double least) { return std::bit_cast<std::uint64_t>(value - least) & sign; }
inline std::uint64_t below(std::int64_t value, std::int64_t least) {  // of numbers whose difference does not overflow
  return static_cast<std::uint64_t>(value - least) & sign;
}

// The first of `count` rows whose bits are not zero, or `count`.
template <class Broken>
inline std::size_t first_broken(std::size_t count, const Broken& broken) {
  std::uint64_t any = 0;
  for (std::size_t row = 0; row < count; ++row) any |= broken(row);
  if (any == 0) return count;
  std::size_t row = 0;
  while (broken(row) == 0) ++row;
  return row;
}

/// The first of `count` rows that breaks a rule; `count` if none. `in_range`: no field is below its least.
template <class Number>
inline std::size_t first_wrong(const Plan& plan, const std::array<Buffer<Number>, n_fields>& fields,
                               const Buffer<Number>& seq, bool in_range, std::size_t count) {
  std::size_t good = count;
  const auto demand = [&good](const auto& broken) { good = std::min(good, first_broken(good, broken)); };
  const auto at_least = [&demand](const Buffer<Number>& values, Number least) {
    demand([&, least](std::size_t i) { return below(values[i], least); });
  };
  const auto never_above = [&demand](const Buffer<Number>& values, const Buffer<Number>& bounds) {
    demand([&](std::size_t i) { return below(bounds[i], values[i]); });
  };
  const auto all_divide = [&demand](const Buffer<Number>& divisors, const Buffer<Number>& values) {
    demand([&](std::size_t i) { return not_dividing(divisors[i], values[i]); });
  };
  const Shape& shape = plan.shape;
  if (!in_range) {
    for (std::size_t i = 0; i < n_fields; ++i)
      if (plan.is_column[i]) at_least(fields[i], may_be_zero(i) ? 0 : 1);
    at_least(seq, 1);
  }
  if (!plan.derived[n_kv_head]) all_divide(fields[n_kv_head], fields[n_head]);
  if (plan.derived[d_head]) all_divide(fields[n_head], fields[d_model]);
  if (shape.learned_position) never_above(seq, fields[n_ctx]);
  if (shape.rope) {
    const Buffer<Number>& turned = fields[is_latent(shape) ? d_rope : d_head];
    demand([&](std::size_t i) { return not_dividing(Number(2), turned[i]); });
  }
  if (is_mixture(shape)) {
    never_above(fields[top_k], fields[n_expert]);
    never_above(fields[n_dense_layer], fields[n_layer]);
  }
  if (shape.window > 0) never_above(fields[window], fields[n_ctx]);
  if (is_latent(shape)) {
    never_above(fields[n_head], fields[n_kv_head]);
    never_above(fields[n_kv_head], fields[n_head]);
  }
  return good;
}

// Whether rules in doubles may be wrong about a row: a number that they round, or parameters near the end of int64.
inline std::uint64_t huge(const Block& block, std::size_t row) {
  return (below(block.params[row], 0x1p53) & below(block.fields[n_ctx][row], 0x1p53)) ^ sign;
}

/// The same for one row in whole numbers; parameters beyond int64 break a rule too.
inline bool is_wrong_exactly(const Plan& plan, const Rows& rows, std::size_t row, double params) {
  if (!(params < 0x1.000001p63)) return true;
  std::array<Buffer<std::int64_t>, n_fields> fields;
  for (std::size_t i = 0; i < n_fields; ++i) fields[i][0] = rows.common.*shape_fields[i].member;
  for (const Column& column : rows.columns) fields[column.field][0] = column.values[row];
  fill_derived(plan, fields, 1);
  Buffer<std::int64_t> seq;
  seq[0] = rows.seq != nullptr ? rows.seq[row] : rows.common_seq != 0 ? rows.common_seq : fields[n_ctx][0];
  if (first_wrong(plan, fields, seq, true, 1) == 0) return true;
  Shape shape = plan.shape;
  for (std::size_t i = 0; i < n_fields; ++i) shape.*shape_fields[i].member = fields[i][0];
  try {
    (void)n_params(shape);
    return false;
  } catch (const std::overflow_error&) {
    return true;
  }
}

/// The first of `count` rows, which the block read from `first` on, that is no shape, whose parameters exceed int64, or
/// that does not take its sequence; `count` if none.
inline std::size_t first_refused(const Plan& plan, const Rows& rows, const Block& block, std::size_t first,
                                 std::size_t count) {
  const std::size_t good = first_wrong(plan, block.fields, block.seq, block.in_range, count);
  const std::size_t first_huge = first_broken(good, [&](std::size_t row) { return huge(block, row); });
  for (std::size_t row = first_huge; row < good; ++row)
    if (huge(block, row) != 0 && is_wrong_exactly(plan, rows, first + row, block.params[row])) return row;
  return good;
}

}  // namespace isoflop::columns
