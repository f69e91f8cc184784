#include "isoflop/enumerate.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <exception>
#include <limits>
#include <mutex>
#include <stdexcept>
#include <thread>

#include "isoflop/checked.hpp"

namespace isoflop {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t block = 256;  // candidates whose distances are computed together

using Indices = Range<std::int64_t>;  // both ends included; empty where low > high

std::int64_t size(const Indices& range) noexcept { return std::max<std::int64_t>(0, range.high - range.low + 1); }

// Whole numbers n for which predicate(n) holds, given that they are consecutive and that the guesses are nearly right:
// a quotient of doubles may be one off.
template <class Predicate>
Indices exact_range(double low, double high, const Indices& within, Predicate holds) {
  const auto clamp = [&](double guess) {
    return static_cast<std::int64_t>(
        std::clamp(guess, static_cast<double>(within.low), static_cast<double>(within.high)));
  };
  Indices range{std::max(within.low, clamp(low) - 2), std::min(within.high, clamp(high) + 2)};
  while (range.low <= range.high && !holds(range.low)) ++range.low;
  while (range.low <= range.high && !holds(range.high)) --range.high;
  return range;
}

double ratio(std::int64_t over, std::int64_t under) noexcept {
  return static_cast<double>(over) / static_cast<double>(under);
}

Indices layers_of(const Space& space, std::int64_t d_model) {
  const double d = static_cast<double>(d_model);
  return exact_range(d / space.aspect.high, d / space.aspect.low, space.n_layer,
                     [&](std::int64_t n) { return space.aspect.holds(ratio(d_model, n)); });
}

// d_ff as multiples of multiple_of.
Indices ff_multiples_of(const Space& space, std::int64_t d_model) {
  const double d = static_cast<double>(d_model), step = static_cast<double>(space.multiple_of);
  if (space.ff_ratio.low == space.ff_ratio.high) {
    const auto only =
        std::max<std::int64_t>(1, static_cast<std::int64_t>(std::floor(space.ff_ratio.low * d / step + 0.5)));
    return {only, only};
  }
  return exact_range(space.ff_ratio.low * d / step, space.ff_ratio.high * d / step, {1, std::int64_t{1} << 52},
                     [&](std::int64_t n) { return space.ff_ratio.holds(ratio(n * space.multiple_of, d_model)); });
}

std::vector<std::int64_t> divisors(std::int64_t number, const Range<std::int64_t>& within) {
  std::vector<std::int64_t> found;
  for (std::int64_t divisor = 1; divisor * divisor <= number; ++divisor) {
    if (number % divisor != 0) continue;
    if (within.holds(divisor)) found.push_back(divisor);
    if (divisor * divisor != number && within.holds(number / divisor)) found.push_back(number / divisor);
  }
  return found;
}

std::vector<std::int64_t> head_counts_of(const Space& space, std::int64_t d_model) {
  const bool narrow = d_model < space.d_head.low;
  std::vector<std::int64_t> counts;
  for (const std::int64_t d_head : divisors(d_model, narrow ? Range<std::int64_t>{d_model, d_model} : space.d_head))
    if (!(space.even_heads && d_head % 2 != 0)) counts.push_back(d_model / d_head);
  return counts;
}

std::vector<std::int64_t> kv_head_counts_of(const Space& space, std::int64_t n_head) {
  std::vector<std::int64_t> counts;
  for (const std::int64_t group : divisors(n_head, space.kv_group)) counts.push_back(n_head / group);
  return counts;
}

// A count as a function of n_layer and of i, the index of d_ff: linear in each.
struct Bilinear {
  double base = 0, per_layer = 0, per_ff = 0, per_layer_and_ff = 0;

  [[nodiscard]] double at_layer(double n_layer) const noexcept { return base + per_layer * n_layer; }
  [[nodiscard]] double slope(double n_layer) const noexcept { return per_ff + per_layer_and_ff * n_layer; }
  [[nodiscard]] double at(double n_layer, double i) const noexcept { return at_layer(n_layer) + slope(n_layer) * i; }
};

// The count through four evaluations of its exact counter.
Bilinear probe(Shape shape, std::int64_t first_ff, std::int64_t step, Quantity quantity, const Search& search) {
  const auto value = [&](std::int64_t n_layer, std::int64_t d_ff) {
    shape.n_layer = n_layer;
    shape.d_ff = d_ff;
    return count_of(shape, quantity, search);
  };
  const double corner = value(1, first_ff), deeper = value(2, first_ff), wider = value(1, first_ff + step);
  const double both = value(2, first_ff + step) - deeper - (wider - corner);
  Bilinear f;
  f.per_layer_and_ff = both;
  f.per_ff = wider - corner - both;
  f.per_layer = deeper - corner;
  f.base = corner - f.per_layer;
  return f;
}

// How far a goal may be missed for a candidate to be of interest, as bounds of its count.
Range<double> wanted(const Goal& goal, bool alone, double bound) noexcept {
  const double slack = 1e-9 * goal.target;  // rounding must not drop a candidate; distances decide in the end
  const double low = goal.ceiling && !alone ? -infinity : goal.target * (1 - bound) - slack;
  return {low, (goal.ceiling ? goal.target : goal.target * (1 + bound)) + slack};
}

double distance_to(const Goal& goal, bool alone, double count) noexcept {
  if (!goal.ceiling) return std::abs(count - goal.target) * (1 / goal.target);
  if (count > goal.target) return infinity;
  return alone ? (goal.target - count) * (1 / goal.target) : 0;
}

// The nearest so far, the farthest of them on top; no more than a limit.
class Nearest {
 public:
  explicit Nearest(std::size_t limit) : limit_(limit) {}

  void offer(const Candidate& candidate) {
    if (heap_.size() == limit_) {
      if (!(candidate < heap_.front())) return;
      std::pop_heap(heap_.begin(), heap_.end());
      heap_.back() = candidate;
    } else {
      heap_.push_back(candidate);
    }
    std::push_heap(heap_.begin(), heap_.end());
  }

  /// Whatever is farther is not among the nearest.
  [[nodiscard]] double bound() const { return heap_.size() < limit_ ? infinity : heap_.front().distance; }
  [[nodiscard]] const std::vector<Candidate>& candidates() const { return heap_; }

 private:
  std::size_t limit_;
  std::vector<Candidate> heap_;
};

// What one thread does: whole widths, one after the other.
class alignas(64) Worker {  // its counters on cache lines of their own
 public:
  Worker(const Space& space, const Search& search, std::atomic<double>& bound)
      : space_(space), search_(search), shared_bound_(bound), nearest_(search.limit), counts_(search.goals.size()) {}

  void search_width(std::int64_t d_model) {
    const Indices layers = layers_of(space_, d_model), ff = ff_multiples_of(space_, d_model);
    if (size(layers) == 0 || size(ff) == 0) return;
    for (const std::int64_t n_head : head_counts_of(space_, d_model))
      for (const std::int64_t n_kv_head : kv_head_counts_of(space_, n_head)) {
        covered_ = checked_sum({covered_, checked_product({size(layers), size(ff)})});
        search_plane({.d_model = d_model, .n_head = n_head, .n_kv_head = n_kv_head}, layers, ff);
      }
  }

  [[nodiscard]] const std::vector<Candidate>& candidates() const { return nearest_.candidates(); }
  [[nodiscard]] std::int64_t covered() const { return covered_; }
  [[nodiscard]] std::int64_t evaluated() const { return evaluated_; }

 private:
  // All depths and hidden widths of one width and its heads.
  void search_plane(Candidate candidate, const Indices& layers, const Indices& ff) {
    const std::int64_t first_ff = ff.low * space_.multiple_of;
    for (std::size_t goal = 0; goal < counts_.size(); ++goal)
      counts_[goal] =
          probe(to_shape(space_, candidate), first_ff, space_.multiple_of, search_.goals[goal].quantity, search_);
    const double last = static_cast<double>(size(ff) - 1);
    Indices depths = layers;
    for (std::size_t goal = 0; goal < counts_.size() && !search_.exhaustive; ++goal) {
      const Range<double> range = wanted(search_.goals[goal], alone(), bound());
      depths.low = std::max(depths.low, first_depth(counts_[goal], last, range.low, layers));
      depths.high = std::min(depths.high, last_depth(counts_[goal], range.high, layers));
    }
    for (candidate.n_layer = depths.low; candidate.n_layer <= depths.high; ++candidate.n_layer)
      search_row(candidate, first_ff, size(ff));
  }

  // One row of the plane: every hidden width at one depth.
  void search_row(Candidate candidate, std::int64_t first_ff, std::int64_t n_ff) {
    const double n_layer = static_cast<double>(candidate.n_layer);
    Indices interest{0, n_ff - 1};
    for (std::size_t goal = 0; goal < counts_.size() && !search_.exhaustive; ++goal) {
      const Range<double> range = wanted(search_.goals[goal], alone(), bound());
      const double start = counts_[goal].at_layer(n_layer), slope = counts_[goal].slope(n_layer);
      if (slope <= 0) continue;
      interest.low = std::max(interest.low, index_at_least((range.low - start) / slope, n_ff));
      interest.high = std::min(interest.high, index_at_most((range.high - start) / slope, n_ff));
    }
    evaluated_ += size(interest);
    for (std::int64_t i = interest.low; i <= interest.high; i += block)
      search_block(candidate, first_ff, i, std::min(block, interest.high + 1 - i));
  }

  void search_block(Candidate candidate, std::int64_t first_ff, std::int64_t first, std::int64_t n) {
    std::array<double, static_cast<std::size_t>(block)> distance;
    const double n_layer = static_cast<double>(candidate.n_layer);
    for (std::size_t goal = 0; goal < counts_.size(); ++goal) {
      const Bilinear& count = counts_[goal];
      fill(distance.data(), static_cast<int>(n), search_.goals[goal], count.at(n_layer, static_cast<double>(first)),
           count.slope(n_layer), goal == 0);
    }
    const double limit = bound();
    int near = 0;
    for (int j = 0; j < static_cast<int>(n); ++j) near += distance[static_cast<std::size_t>(j)] <= limit ? 1 : 0;
    if (near == 0) return;
    for (std::int64_t j = 0; j < n; ++j) {
      candidate.distance = distance[static_cast<std::size_t>(j)];
      if (!(candidate.distance <= nearest_.bound()) || candidate.distance == infinity) continue;
      candidate.d_ff = first_ff + (first + j) * space_.multiple_of;
      nearest_.offer(candidate);
    }
    share_bound();
  }

  // Distances of consecutive hidden widths; apart from search_block so that the compiler makes vectors of it.
  void fill(double* distance, int n, const Goal& goal, double start, double slope, bool is_first) const noexcept {
    const double target = goal.target, inverse = 1 / goal.target;
    if (goal.ceiling) {
      for (int j = 0; j < n; ++j) {
        const double far = distance_to(goal, alone(), start + slope * j);
        distance[j] = is_first ? far : std::max(distance[j], far);
      }
    } else if (is_first) {
      for (int j = 0; j < n; ++j) distance[j] = std::abs(start + slope * j - target) * inverse;
    } else {
      for (int j = 0; j < n; ++j) distance[j] = std::max(distance[j], std::abs(start + slope * j - target) * inverse);
    }
  }

  [[nodiscard]] bool alone() const noexcept { return search_.goals.size() == 1; }
  [[nodiscard]] double bound() const noexcept { return shared_bound_.load(std::memory_order_relaxed); }

  void share_bound() noexcept {
    const double mine = nearest_.bound();
    double seen = bound();
    while (mine < seen && !shared_bound_.compare_exchange_weak(seen, mine, std::memory_order_relaxed)) {
    }
  }

  // The least depth at which even the widest MLP reaches `low`, and the greatest at which the narrowest stays below
  // `high`, one layer generous.
  static std::int64_t first_depth(const Bilinear& count, double last, double low, const Indices& layers) noexcept {
    const double slope = count.per_layer + count.per_layer_and_ff * last;
    if (slope <= 0) return layers.low;
    return index_at_least((low - count.base - count.per_ff * last) / slope, layers.high + 1);
  }

  static std::int64_t last_depth(const Bilinear& count, double high, const Indices& layers) noexcept {
    if (count.per_layer <= 0) return layers.high;
    return index_at_most((high - count.base) / count.per_layer, layers.high + 1);
  }

  // The quotient rounded outwards, by one more for what rounding lost, within 0 .. n - 1; -1 or n where beyond.
  static std::int64_t index_at_least(double quotient, std::int64_t n) noexcept {
    if (!(quotient > 1)) return 0;
    return quotient > static_cast<double>(n) + 1 ? n : static_cast<std::int64_t>(quotient) - 1;
  }

  static std::int64_t index_at_most(double quotient, std::int64_t n) noexcept {
    if (!(quotient >= -1)) return -1;
    return quotient >= static_cast<double>(n) ? n - 1 : std::min(n - 1, static_cast<std::int64_t>(quotient) + 1);
  }

  const Space& space_;
  const Search& search_;
  std::atomic<double>& shared_bound_;
  Nearest nearest_;
  std::vector<Bilinear> counts_;  // of the plane at hand, one a goal
  std::int64_t covered_ = 0, evaluated_ = 0;
};

// The distance by the counters themselves; what the search computed must be that.
double checked_distance(const Space& space, const Search& search, const Candidate& candidate) {
  const Shape shape = to_shape(space, candidate);
  double distance = 0;
  for (const Goal& goal : search.goals)
    distance = std::max(distance, distance_to(goal, search.goals.size() == 1, count_of(shape, goal.quantity, search)));
  if (!(std::abs(distance - candidate.distance) <= 1e-9 * (1 + distance)))
    throw std::logic_error("a count is not linear in n_layer and d_ff");
  return distance;
}

}  // namespace

Shape to_shape(const Space& space, const Candidate& candidate) {
  Shape shape = space.fixed;
  shape.n_layer = candidate.n_layer;
  shape.d_model = candidate.d_model;
  shape.n_head = candidate.n_head;
  shape.n_kv_head = candidate.n_kv_head;
  shape.d_head = candidate.d_model / candidate.n_head;
  shape.d_ff = candidate.d_ff;
  return shape;
}

double count_of(const Shape& shape, Quantity quantity, const Search& search) {
  switch (quantity) {
    case Quantity::n_nonembedding: return static_cast<double>(n_nonembedding(shape));
    case Quantity::n_params: return static_cast<double>(n_params(shape));
    case Quantity::flops: return training_flops(shape, *search.convention, {1, search.seq});
  }
  return 0;
}

Found nearest_shapes(const Space& space, const Search& search) {
  const std::int64_t step = space.multiple_of;
  const Indices widths{(space.d_model.low + step - 1) / step, space.d_model.high / step};
  std::atomic<std::int64_t> next{widths.low};
  std::atomic<double> bound{infinity};
  std::exception_ptr failure;
  std::mutex failed;

  const auto n_threads =
      static_cast<std::size_t>(std::clamp<std::int64_t>(size(widths), 1, std::max(1U, search.threads)));
  std::vector<Worker> workers;
  for (std::size_t i = 0; i < n_threads; ++i) workers.emplace_back(space, search, bound);
  const auto work = [&](Worker& worker) {
    try {
      for (std::int64_t width = next++; width <= widths.high; width = next++) worker.search_width(width * step);
    } catch (...) {
      const std::lock_guard lock(failed);
      failure = std::current_exception();
      next = widths.high + 1;
    }
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < n_threads; ++i) threads.emplace_back(work, std::ref(workers[i]));
    work(workers.front());
  }
  if (failure) std::rethrow_exception(failure);

  Found found;
  for (const Worker& worker : workers) {
    found.nearest.insert(found.nearest.end(), worker.candidates().begin(), worker.candidates().end());
    found.covered = checked_sum({found.covered, worker.covered()});
    found.evaluated += worker.evaluated();
  }
  for (Candidate& candidate : found.nearest) candidate.distance = checked_distance(space, search, candidate);
  std::sort(found.nearest.begin(), found.nearest.end());
  if (found.nearest.size() > search.limit) found.nearest.resize(search.limit);
  return found;
}

}  // namespace isoflop
