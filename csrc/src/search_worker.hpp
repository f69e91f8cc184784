// One thread of a search: planes of (n_layer, d_ff), of which only what may be near is counted.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <vector>

#include "isoflop/checked.hpp"
#include "search_goals.hpp"
#include "search_space.hpp"

namespace isoflop::enumeration {

inline constexpr std::int64_t block = 256;  // candidates whose distances are computed together

// How far the counts of a width stay from the goals, by the first of its heads; infinite for a width without
// candidates.
inline double distance_of_width(const Space& space, const Search& search, std::int64_t d_model) {
  const Indices layers = layers_of(space, d_model), ff = ff_multiples_of(space, d_model);
  if (size(layers) == 0 || size(ff) == 0) return infinity;
  for (const std::int64_t n_head : head_counts_of(space, d_model))
    for (const std::int64_t n_kv_head : kv_head_counts_of(space, n_head)) {
      const Candidate candidate{.d_model = d_model, .n_head = n_head, .n_kv_head = n_kv_head};
      double distance = 0;
      for (const Goal& goal : search.goals) {
        const Bilinear count = probe(space, candidate, ff.low * space.multiple_of, goal.quantity, search);
        const double least = count.at(static_cast<double>(layers.low), 0);
        const double most = count.at(static_cast<double>(layers.high), static_cast<double>(size(ff) - 1));
        distance = std::max({distance, (least - goal.target) / goal.target, (goal.target - most) / goal.target});
      }
      return distance;
    }
  return infinity;
}

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
      counts_[goal] = probe(space_, candidate, first_ff, search_.goals[goal].quantity, search_);
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

}  // namespace isoflop::enumeration
