#include "isoflop/enumerate.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

#include "isoflop/checked.hpp"
#include "search_worker.hpp"

namespace isoflop {

namespace {

// Widths whose counts span the goals first: they bound what is near, so that little of the others is looked at.
std::vector<std::int64_t> ordered_widths(const Space& space, const Search& search) {
  const std::int64_t step = space.multiple_of;
  std::vector<std::pair<double, std::int64_t>> widths;
  for (std::int64_t d_model = (space.d_model.low + step - 1) / step * step; d_model <= space.d_model.high;
       d_model += step)
    widths.emplace_back(enumeration::distance_of_width(space, search, d_model), d_model);
  std::sort(widths.begin(), widths.end());
  std::vector<std::int64_t> ordered;
  for (const auto& [distance, d_model] : widths) ordered.push_back(d_model);
  return ordered;
}

// The distance by the counters themselves; what the search computed must be that.
double checked_distance(const Space& space, const Search& search, const Candidate& candidate) {
  const Shape shape = to_shape(space, candidate);
  double distance = 0;
  for (const Goal& goal : search.goals)
    distance = std::max(
        distance, enumeration::distance_to(goal, search.goals.size() == 1, count_of(shape, goal.quantity, search)));
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
  if (space.experts_follow) shape.d_expert = shape.d_ff;
  if (space.values_follow) shape.d_value = shape.d_head;
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
  const std::vector<std::int64_t> widths = ordered_widths(space, search);
  std::atomic<std::size_t> next{0};
  std::atomic<double> bound{enumeration::infinity};
  std::exception_ptr failure;
  std::mutex failed;

  const std::size_t n_threads = std::clamp<std::size_t>(widths.size(), 1, std::max(1U, search.threads));
  std::vector<enumeration::Worker> workers;
  for (std::size_t i = 0; i < n_threads; ++i) workers.emplace_back(space, search, bound);
  const auto work = [&](enumeration::Worker& worker) {
    try {
      for (std::size_t i = next++; i < widths.size(); i = next++) worker.search_width(widths[i]);
    } catch (...) {
      const std::lock_guard lock(failed);
      failure = std::current_exception();
      next = widths.size();
    }
  };
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 1; i < n_threads; ++i) threads.emplace_back(work, std::ref(workers[i]));
    work(workers.front());
  }
  if (failure) std::rethrow_exception(failure);

  Found found;
  for (const enumeration::Worker& worker : workers) {
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
