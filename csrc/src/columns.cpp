#include "isoflop/columns.hpp"

#include <atomic>
#include <functional>
#include <limits>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "column_rules.hpp"
#include "isoflop/pool.hpp"
#include "isoflop/shorthand.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#define ISOFLOP_X86
#endif
// All that is called is made part of the loop.
#define ISOFLOP_LOOP __attribute__((flatten))

namespace isoflop {

namespace columns {

namespace {

// What decides which formulas hold: compiled for each kind apart, so that rows are counted without a branch.
struct Kind {
  Architecture architecture;  // decoder stands for every stack of Transformer blocks on tokens
  bool latent;
  bool mixture;
};

// A row of a block under the flags that all rows share. What is known of the kind is set after: copies of flags that
// are changed and read in each block keep the processor waiting for its own stores.
inline Dims<double> dims_at(const Shape& flags, const Block& block, std::size_t row) {
  return {flags, [&block, row](std::size_t field) { return block.fields[field][row]; }};
}

template <Kind kind>
Dims<double> dims_of(const Shape& flags, const Block& block, std::size_t row) {
  Dims<double> s = dims_at(flags, block, row);
  s.architecture = kind.architecture;
  s.latent = kind.latent;
  s.mixture = kind.mixture;
  return s;
}

// With every part that a shape of the kind may have; parts that it has not are free.
inline void give_all_parts(Dims<double>& s) {
  s.bias = s.rope = s.learned_position = true;
  s.rms = false;
}

template <Pairs kind, bool windowed, bool some_global>
void pairs_of(const Shape& common, Block& block) {
  const Shape flags = common;
  for (std::size_t row = 0; row < block_rows; ++row) {
    Dims<double> s = dims_at(flags, block, row);
    s.windowed = windowed;
    s.some_global = some_global;
    block.pairs[row] = pairs::all_layers(s, block.seq[row], kind);
  }
}

template <Kind kind>
void params_of(const Shape& common, Block& block) {
  const Shape flags = common;
  for (std::size_t row = 0; row < block_rows; ++row) {
    const Dims<double> s = dims_of<kind>(flags, block, row);
    block.params[row] = params::embedding(s) + params::nonembedding(s, s.n_expert);
  }
}

template <Kind kind>
void parts_of(const Shape& common, const Prices& given, const Block& block, double* __restrict sums) {
  const Shape flags = common;
  const Prices prices = given;
  for (std::size_t row = 0; row < block_rows; ++row) {
    Dims<double> s = dims_of<kind>(flags, block, row);
    give_all_parts(s);
    sums[row] = prices.parts_of(s, block.seq[row], block.pairs[row]);
  }
}

template <Kind kind>
void shorthands_of(const Shape& common, const Prices& given, const Block& block, double* __restrict sums) {
  const Shape flags = common;
  const Prices prices = given;
  for (std::size_t row = 0; row < block_rows; ++row)
    sums[row] += prices.shorthands_of(dims_of<kind>(flags, block, row), block.seq[row]);
}

// Of training; parts that rows of these flags have none of are free.
Prices prices_of(const Shape& flags, const Convention& convention) {
  const Dims<double> s = dims<double>(flags);
  Prices prices(convention, s, true);
  std::array<bool, n_parts> exists{};
  each_part(s, 1.0, 1.0, [&](Part part, double) { exists[static_cast<std::size_t>(part)] = true; });
  for (std::size_t part = 0; part < n_parts; ++part)
    if (!exists[part]) prices.parts[part] = 0;
  return prices;
}

// One instruction set: every loop over a block is compiled for it, as a function of its own.
struct Baseline {
  template <auto loop, class... Arguments>
  ISOFLOP_LOOP static auto over(Arguments&... arguments) {
    return loop(arguments...);
  }
};

#ifdef ISOFLOP_X86
struct Avx2 {
  template <auto loop, class... Arguments>
  ISOFLOP_LOOP __attribute__((target("avx2"))) static auto over(Arguments&... arguments) {
    return loop(arguments...);
  }
};

struct Avx512 {
  template <auto loop, class... Arguments>
  ISOFLOP_LOOP __attribute__((target("avx512f,avx512dq,avx512vl"))) static auto over(Arguments&... arguments) {
    return loop(arguments...);
  }
};
#endif

constexpr std::size_t blocks_ahead = 2;
constexpr std::size_t loops = 6;  // of a block, about

// Asks memory for the columns of a block to come, some of them before each loop of the block that is counted: the
// processor waits for a few lines at a time, and counts on meanwhile. Each column is a stream of its own, more of them
// than the hardware follows.
class Fetch {
 public:
  explicit Fetch(const Rows& rows)
      : rows_(rows), at_a_time_((rows.columns.size() * block_rows / line + loops - 1) / loops) {}

  void for_block(std::size_t first) {
    begin_ = row_ = std::min(first + blocks_ahead * block_rows, rows_.count);
    end_ = std::min(begin_ + block_rows, rows_.count);
    column_ = begin_ == end_ ? rows_.columns.size() : 0;
  }

  void some() {
#ifdef __GNUC__
    for (std::size_t i = 0; i < at_a_time_ && column_ < rows_.columns.size(); ++i) {
      __builtin_prefetch(rows_.columns[column_].values + row_);
      asm volatile("");  // an effect: GCC drops calls of functions that do nothing but prefetch
      row_ += line;
      if (row_ >= end_) row_ = begin_, ++column_;
    }
#endif
  }

 private:
  static constexpr std::size_t line = 64 / sizeof(std::int64_t);
  const Rows& rows_;
  std::size_t at_a_time_, begin_ = 0, end_ = 0, row_ = 0, column_ = 0;
};

template <class Isa>
void count_pairs(const Shape& common, Pairs kind, Block& block) {
  const bool windowed = common.window > 0, some_global = common.global_every > 0;
  switch (kind) {
    case Pairs::none: return block.pairs.fill(0);
    case Pairs::full: return Isa::template over<pairs_of<Pairs::full, false, false>>(common, block);
    case Pairs::causal: return Isa::template over<pairs_of<Pairs::causal, false, false>>(common, block);
    case Pairs::halved: return Isa::template over<pairs_of<Pairs::halved, false, false>>(common, block);
    case Pairs::masked: break;
  }
  if (windowed && some_global) Isa::template over<pairs_of<Pairs::masked, true, true>>(common, block);
  else if (windowed) Isa::template over<pairs_of<Pairs::masked, true, false>>(common, block);
  else Isa::template over<pairs_of<Pairs::masked, false, false>>(common, block);
}

template <class Isa, Kind kind>
void count_kind(const Shape& common, const Convention& convention, const Prices& prices, Fetch& fetch, Block& block,
                double* sums) {
  fetch.some();
  Isa::template over<params_of<kind>>(common, block);
  if (prices.any_part) {
    fetch.some();
    count_pairs<Isa>(common, convention.pairs, block);
    fetch.some();
    Isa::template over<parts_of<kind>>(common, prices, block, sums);
  } else {
    std::fill_n(sums, block_rows, 0.0);
  }
  if (prices.any_shorthand) Isa::template over<shorthands_of<kind>>(common, prices, block, sums);
}

template <class Isa, Architecture architecture>
void count_architecture(const Shape& common, const Convention& convention, const Prices& prices, Fetch& fetch,
                        Block& block, double* sums) {
  const bool latent = is_latent(common), mixture = is_mixture(common);
  if (latent && mixture)
    count_kind<Isa, Kind{architecture, true, true}>(common, convention, prices, fetch, block, sums);
  else if (latent) count_kind<Isa, Kind{architecture, true, false}>(common, convention, prices, fetch, block, sums);
  else if (mixture) count_kind<Isa, Kind{architecture, false, true}>(common, convention, prices, fetch, block, sums);
  else count_kind<Isa, Kind{architecture, false, false}>(common, convention, prices, fetch, block, sums);
}

template <class Isa>
void count(const Shape& common, const Convention& convention, const Prices& prices, Fetch& fetch, Block& block,
           double* sums) {
  switch (common.architecture) {
    case Architecture::lstm:
      return count_kind<Isa, Kind{Architecture::lstm, false, false}>(common, convention, prices, fetch, block, sums);
    case Architecture::vit:
      return count_architecture<Isa, Architecture::vit>(common, convention, prices, fetch, block, sums);
    default: return count_architecture<Isa, Architecture::decoder>(common, convention, prices, fetch, block, sums);
  }
}

// Hands out rows to threads, a part of what is left at a time: a slow thread holds up no other at the end, and before
// it the lines that were asked for ahead are the thread's own.
class Shares {
 public:
  Shares(std::size_t rows, std::size_t threads)
      : rows_(rows), workers_(std::clamp<std::size_t>(threads, 1, (rows + least - 1) / least)) {}

  std::size_t workers() const { return workers_; }

  /// Begin and end of rows that no other thread takes; nothing when all are taken.
  std::optional<std::pair<std::size_t, std::size_t>> take() {
    std::size_t begin = next_, end;
    do {
      if (begin >= rows_) return std::nullopt;
      const std::size_t part = (rows_ - begin) / (4 * workers_) / block_rows * block_rows;
      end = std::min(begin + std::max(part, least), rows_);
    } while (!next_.compare_exchange_weak(begin, end));
    return std::pair(begin, end);
  }

 private:
  static constexpr std::size_t least = 32 * block_rows;
  std::size_t rows_, workers_;
  std::atomic<std::size_t> next_{0};
};

// Counts shares until all are taken or a row is refused, which it returns.
template <class Isa>
std::optional<std::size_t> run(const Rows& rows, const Convention& convention, Shares& shares, double* flops) {
  const Plan plan(rows);
  const Prices prices = prices_of(plan.shape, convention);
  Fetch fetch(rows);
  Block block(rows);
  while (const auto share = shares.take()) {
    for (std::size_t first = share->first; first < share->second; first += block_rows) {
      const std::size_t n = std::min(block_rows, share->second - first);
      fetch.for_block(first);
      fetch.some();
      Isa::template over<read>(rows, first, n, block);
      fetch.some();
      Isa::template over<fill_derived<double>>(plan, block.fields, block_rows);
      double* const sums = n == block_rows ? flops + first : block.sum.data();
      count<Isa>(plan.shape, convention, prices, fetch, block, sums);
      fetch.some();
      const std::size_t refused = Isa::template over<first_refused>(plan, rows, block, first, n);
      if (refused < n) return first + refused;
      if (n < block_rows) std::copy_n(sums, n, flops + first);
    }
  }
  return std::nullopt;
}

// Threads stay for the next call: to start one takes as long as thousands of rows. Who finds them at work for another
// counts alone. They outlive the statics of a process that ends.
void on_threads(int threads, const std::function<void(int)>& work) {
  static auto& pool = *new Pool;
  static auto& pool_taken = *new std::mutex;
  std::unique_lock lock(pool_taken, std::defer_lock);
  if (threads > 1 && lock.try_lock()) pool.run(threads, work);
  else work(0);
}

using Run = std::optional<std::size_t> (*)(const Rows&, const Convention&, Shares&, double*);

Run run_with(Vectors vectors) {
#ifdef ISOFLOP_X86
  if (vectors == Vectors::avx512) return run<Avx512>;
  if (vectors == Vectors::avx2) return run<Avx2>;
#endif
  (void)vectors;
  return run<Baseline>;
}

}  // namespace

}  // namespace columns

Vectors widest_vectors() noexcept {
#ifdef ISOFLOP_X86
  if (__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) return Vectors::avx512;
  if (__builtin_cpu_supports("avx2")) return Vectors::avx2;
#endif
  return Vectors::baseline;
}

std::optional<std::size_t> training_flops(const Rows& rows, const Convention& convention, std::size_t threads,
                                          double* flops, Vectors vectors) {
  demand_described(convention, rows.common.architecture);
  if (rows.count == 0) return std::nullopt;
  const columns::Run run_rows = columns::run_with(vectors);
  columns::Shares shares(rows.count, threads);
  std::vector<std::optional<std::size_t>> refused(shares.workers());
  const auto work = [&](int worker) {
    refused[static_cast<std::size_t>(worker)] = run_rows(rows, convention, shares, flops);
  };
  columns::on_threads(static_cast<int>(refused.size()), work);
  std::optional<std::size_t> first;
  for (const std::optional<std::size_t>& row : refused)
    if (row) first = std::min(first.value_or(*row), *row);
  return first;
}

}  // namespace isoflop
