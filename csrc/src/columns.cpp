#include "isoflop/columns.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <thread>
#include <vector>

#include "isoflop/shorthand.hpp"

// Vector instructions beyond the build's baseline are chosen when the process runs.
#if defined(__x86_64__) && defined(__GNUC__)
#define ISOFLOP_TARGET(isa) __attribute__((target(isa), flatten))
#else
#define ISOFLOP_TARGET(isa)
#endif

namespace isoflop {

namespace {

constexpr std::size_t n_fields = shape_fields.size();
constexpr std::size_t block = 256;  // rows whose columns stay in the first cache

constexpr std::size_t index_of(std::int64_t Shape::* member) {
  for (std::size_t i = 0; i < n_fields; ++i)
    if (shape_fields[i].member == member) return i;
  return n_fields;
}

constexpr std::size_t d_model = index_of(&Shape::d_model), n_head = index_of(&Shape::n_head),
                      n_kv_head = index_of(&Shape::n_kv_head), d_head = index_of(&Shape::d_head),
                      d_ff = index_of(&Shape::d_ff), d_value = index_of(&Shape::d_value),
                      d_expert = index_of(&Shape::d_expert), n_ctx = index_of(&Shape::n_ctx);

constexpr bool may_be_zero(std::size_t field) {
  return field == index_of(&Shape::n_shared_expert) || field == index_of(&Shape::n_dense_layer) ||
         field == index_of(&Shape::n_predict);
}

// The rows of one block as doubles: a buffer a field, and the lengths of sequences.
struct Block {
  std::array<std::array<double, block>, n_fields> fields;
  std::array<double, block> seq;
  std::array<double, block> sum;

  Block(const Rows& rows) {
    for (std::size_t i = 0; i < n_fields; ++i) fields[i].fill(static_cast<double>(rows.common.*shape_fields[i].member));
    seq.fill(fields[n_ctx][0]);
    sum.fill(0);
  }
};

// What all rows share, as flags that follow the first row's values: a column is nowhere zero or everywhere.
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

inline Dims<double> dims_at(const Shape& shape, const Block& rows, std::size_t row) {
  return {shape, [&rows, row](std::size_t field) { return rows.fields[field][row]; }};
}

inline void convert(const std::int64_t* from, std::size_t count, std::array<double, block>& to) {
  for (std::size_t i = 0; i < count; ++i) to[i] = static_cast<double>(from[i]);
}

inline void fill_derived(const Plan& plan, Block& rows) {
  const auto each = [&rows](std::size_t to, const auto& value) {
    for (std::size_t i = 0; i < block; ++i) rows.fields[to][i] = value(i);
  };
  const auto& f = rows.fields;
  if (plan.derived[n_kv_head]) each(n_kv_head, [&f](std::size_t i) { return f[n_head][i]; });
  if (plan.derived[d_head]) each(d_head, [&f](std::size_t i) { return f[d_model][i] / f[n_head][i]; });
  if (plan.derived[d_ff] && plan.shape.gated)
    each(d_ff, [&f](std::size_t i) { return 8 * std::floor((f[d_model][i] + 2) / 3); });
  if (plan.derived[d_ff] && !plan.shape.gated) each(d_ff, [&f](std::size_t i) { return 4 * f[d_model][i]; });
  if (plan.derived[d_value]) each(d_value, [&f](std::size_t i) { return f[d_head][i]; });
  if (plan.derived[d_expert]) each(d_expert, [&f](std::size_t i) { return f[d_ff][i]; });
}

inline bool is_whole(double value) { return value == std::floor(value); }

// The first of `count` rows for which `holds` is false, or `count`: a pass that vectorises, then a search.
template <class Holds>
inline std::size_t first_without(std::size_t count, const Holds& holds) {
  std::int64_t wrong = 0;
  for (std::size_t row = 0; row < count; ++row) wrong |= holds(row) ? 0 : 1;
  if (wrong == 0) return count;
  std::size_t row = 0;
  while (holds(row)) ++row;
  return row;
}

// The first of `count` rows that isoflop.Shape would refuse, or whose sequence isoflop.flops would; `count` if none.
inline std::size_t first_wrong(const Plan& plan, const Block& rows, std::size_t count) {
  std::size_t good = count;
  const auto demand = [&good](const auto& holds) { good = std::min(good, first_without(good, holds)); };
  const auto field = [&rows](std::int64_t Shape::* member) { return rows.fields[index_of(member)].data(); };
  const auto all_at_least = [&demand](const double* values, double least) {
    demand([=](std::size_t i) { return values[i] >= least; });
  };
  const auto never_above = [&demand](const double* values, const double* bounds) {
    demand([=](std::size_t i) { return values[i] <= bounds[i]; });
  };
  const auto divides = [&demand](const double* divisors, const double* values) {
    demand([=](std::size_t i) { return is_whole(values[i] / divisors[i]); });
  };
  const Shape& shape = plan.shape;
  const double* seq = rows.seq.data();
  for (std::size_t i = 0; i < n_fields; ++i)
    if (plan.is_column[i]) all_at_least(rows.fields[i].data(), may_be_zero(i) ? 0 : 1);
  all_at_least(seq, 1);
  if (!plan.derived[n_kv_head]) divides(field(&Shape::n_kv_head), field(&Shape::n_head));
  if (plan.derived[d_head]) divides(field(&Shape::n_head), field(&Shape::d_model));
  if (shape.learned_position) never_above(seq, field(&Shape::n_ctx));
  if (shape.rope) {
    const double* turned = field(is_latent(shape) ? &Shape::d_rope : &Shape::d_head);
    demand([=](std::size_t i) { return is_whole(0.5 * turned[i]); });
  }
  if (is_mixture(shape)) {
    never_above(field(&Shape::top_k), field(&Shape::n_expert));
    never_above(field(&Shape::n_dense_layer), field(&Shape::n_layer));
  }
  if (shape.window > 0) never_above(field(&Shape::window), field(&Shape::n_ctx));
  if (is_latent(shape)) {
    never_above(field(&Shape::n_head), field(&Shape::n_kv_head));
    never_above(field(&Shape::n_kv_head), field(&Shape::n_head));
  }
  return good;
}

template <class Quantity, Quantity what>
inline void add(const Shape& common, Pairs kind, double cost, Block& rows) {
  const Shape shape = common;
  for (std::size_t row = 0; row < block; ++row) {
    const Dims<double> s = dims_at(shape, rows, row);
    const double seq = rows.seq[row];
    if constexpr (std::is_same_v<Quantity, Part>)
      rows.sum[row] += cost * amount(what, s, seq, pairs::all_layers(s, seq, kind));
    else rows.sum[row] += cost * amount(what, s, seq);
  }
}

template <class Quantity, std::size_t... index>
inline void add_one(Quantity what, std::index_sequence<index...>, const Shape& common, Pairs kind, double cost,
                    Block& rows) {
  (void)((static_cast<std::size_t>(what) == index
              ? (add<Quantity, static_cast<Quantity>(index)>(common, kind, cost, rows), true)
              : false) ||
         ...);
}

// Whether rows of this kind can have any of a part: asked of a shape whose columns hold no zeros.
bool exists(Part part, const Plan& plan, Pairs kind) {
  Shape probe = plan.shape;
  for (std::size_t i = 0; i < n_fields; ++i)
    if (plan.is_column[i] || plan.derived[i]) probe.*shape_fields[i].member = 1;
  probe.n_layer += probe.n_dense_layer;
  const Dims<double> s = dims<double>(probe);
  return amount(part, s, 2.0, pairs::all_layers(s, 2.0, kind)) != 0;
}

// A quantity that the rows have, and its training cost.
struct Step {
  Charge charge;
  double cost;
};

std::vector<Step> steps(const Plan& plan, const Convention& convention) {
  const Dims<double> kind = dims<double>(plan.shape);
  std::vector<Step> all;
  for (const Charge& charge : convention.charges) {
    if (!charge.is_part()) all.push_back({charge, charge.training});
    else if (exists(charge.part(), plan, convention.pairs))
      all.push_back({charge, cost_of(charge.part(), kind).training()});
  }
  return all;
}

inline std::optional<std::size_t> run(const Rows& rows, const Convention& convention, std::size_t begin,
                                      std::size_t end, double* flops) {
  const Plan plan(rows);
  Block buffers(rows);
  const std::vector<Step> all = steps(plan, convention);
  for (std::size_t first = begin; first < end; first += block) {
    const std::size_t count = std::min(block, end - first);
    for (const Column& column : rows.columns) convert(column.values + first, count, buffers.fields[column.field]);
    if (rows.seq != nullptr) convert(rows.seq + first, count, buffers.seq);
    else buffers.seq = buffers.fields[n_ctx];
    fill_derived(plan, buffers);
    buffers.sum.fill(0);
    for (const auto& [charge, cost] : all) {
      if (charge.is_part())
        add_one(charge.part(), std::make_index_sequence<n_parts>{}, plan.shape, convention.pairs, cost, buffers);
      else
        add_one(charge.shorthand(), std::make_index_sequence<n_shorthands>{}, plan.shape, convention.pairs, cost,
                buffers);
    }
    std::copy_n(buffers.sum.data(), count, flops + first);
    const std::size_t wrong = first_wrong(plan, buffers, count);
    if (wrong < count) return first + wrong;
  }
  return std::nullopt;
}

using Run = std::optional<std::size_t> (*)(const Rows&, const Convention&, std::size_t, std::size_t, double*);

std::optional<std::size_t> run_baseline(const Rows& rows, const Convention& convention, std::size_t begin,
                                        std::size_t end, double* flops) {
  return run(rows, convention, begin, end, flops);
}

#if defined(__x86_64__) && defined(__GNUC__)
ISOFLOP_TARGET("avx2")
std::optional<std::size_t> run_avx2(const Rows& rows, const Convention& convention, std::size_t begin, std::size_t end,
                                    double* flops) {
  return run(rows, convention, begin, end, flops);
}

ISOFLOP_TARGET("avx512f,avx512dq,avx512vl")
std::optional<std::size_t> run_avx512(const Rows& rows, const Convention& convention, std::size_t begin,
                                      std::size_t end, double* flops) {
  return run(rows, convention, begin, end, flops);
}
#endif

Run fastest() {
#if defined(__x86_64__) && defined(__GNUC__)
  if (__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) return run_avx512;
  if (__builtin_cpu_supports("avx2")) return run_avx2;
#endif
  return run_baseline;
}

}  // namespace

std::optional<std::size_t> training_flops(const Rows& rows, const Convention& convention, std::size_t threads,
                                          double* flops) {
  if (rows.count == 0) return std::nullopt;
  const Run run_rows = fastest();
  const std::size_t blocks = (rows.count + block - 1) / block;
  const std::size_t workers = std::clamp<std::size_t>(threads, 1, blocks);
  const std::size_t share = (blocks + workers - 1) / workers * block;
  std::vector<std::optional<std::size_t>> refused(workers);
  const auto work = [&](std::size_t worker) {
    const std::size_t begin = std::min(worker * share, rows.count), end = std::min(begin + share, rows.count);
    refused[worker] = run_rows(rows, convention, begin, end, flops);
  };
  std::vector<std::jthread> others;
  for (std::size_t worker = 1; worker < workers; ++worker) others.emplace_back(work, worker);
  work(0);
  others.clear();
  const auto first = std::ranges::find_if(refused, [](const auto& row) { return row.has_value(); });
  return first == refused.end() ? std::nullopt : *first;
}

}  // namespace isoflop
