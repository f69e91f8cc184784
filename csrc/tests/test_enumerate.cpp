#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "isoflop/enumerate.hpp"
#include "shapes.hpp"

using namespace isoflop;

namespace {

constexpr double unbounded = 1e18;

// Every candidate of a space by plain loops over everything, nearest first.
std::vector<Candidate> brute_force(const Space& space, const Search& search) {
  std::vector<Candidate> all;
  for (std::int64_t d = space.d_model.low; d <= space.d_model.high; ++d)
    for (std::int64_t n = space.n_layer.low; n <= space.n_layer.high; ++n)
      for (std::int64_t head = 1; head <= d; ++head)
        for (std::int64_t kv = 1; kv <= head; ++kv)
          for (std::int64_t ff = 1; ff <= 10 * d; ++ff) {
            if (d % space.multiple_of != 0 || ff % space.multiple_of != 0 || d % head != 0 || head % kv != 0) continue;
            const bool narrow = d < space.d_head.low && head == 1;
            if (!narrow && !space.d_head.holds(d / head)) continue;
            if (!space.kv_group.holds(head / kv)) continue;
            if (!space.aspect.holds(static_cast<double>(d) / static_cast<double>(n))) continue;
            if (!space.ff_ratio.holds(static_cast<double>(ff) / static_cast<double>(d))) continue;
            Candidate candidate{0, n, d, head, kv, ff};
            for (const Goal& goal : search.goals) {
              const double count = count_of(to_shape(space, candidate), goal.quantity, search);
              double distance = std::abs(count - goal.target) * (1 / goal.target);
              if (goal.ceiling && search.goals.size() > 1) distance = 0;
              if (goal.ceiling && count > goal.target) distance = std::numeric_limits<double>::infinity();
              candidate.distance = std::max(candidate.distance, distance);
            }
            if (std::isfinite(candidate.distance)) all.push_back(candidate);
          }
  std::sort(all.begin(), all.end());
  return all;
}

Space small_space() {
  return {.fixed = shapes::gpt2,
          .n_layer = {1, 7},
          .d_model = {8, 48},
          .d_head = {12, 24},
          .kv_group = {1, 4},
          .aspect = {3, 20},
          .ff_ratio = {0.75, 6.3},
          .multiple_of = 4,
          .even_heads = false};
}

Search search_for(std::vector<Goal> goals) {
  return {.goals = std::move(goals),
          .convention = &find_convention("exact-causal"),
          .seq = 64,
          .limit = 37,
          .threads = 2,
          .exhaustive = false};
}

}  // namespace

TEST_CASE("a search finds what plain loops find, in the same order") {
  const Space space = small_space();
  for (const double target : {1.0, 1e3, 2.5e4, 1e5, 1e7}) {
    for (const auto& goals :
         {std::vector<Goal>{{Quantity::n_nonembedding, target}}, std::vector<Goal>{{Quantity::flops, 400 * target}},
          std::vector<Goal>{{Quantity::n_nonembedding, target}, {Quantity::flops, 500 * target}},
          std::vector<Goal>{{Quantity::n_nonembedding, target}, {Quantity::n_params, 2 * target, true}},
          std::vector<Goal>{{Quantity::n_params, target, true}}}) {
      Search search = search_for(goals);
      std::vector<Candidate> all = brute_force(space, search);
      all.resize(std::min(all.size(), search.limit));
      CHECK(nearest_shapes(space, search).nearest == all);
      search.exhaustive = true;
      CHECK(nearest_shapes(space, search).nearest == all);
    }
  }
}

TEST_CASE("an exhaustive search evaluates what a search covers, and a search far less") {
  const Space space{.fixed = shapes::gpt2,
                    .n_layer = {1, 64},
                    .d_model = {64, 2048},
                    .d_head = {64, 128},
                    .kv_group = {1, 8},
                    .aspect = {8, 256},
                    .ff_ratio = {1, 8},
                    .multiple_of = 64,
                    .even_heads = false};
  Search search = search_for({{Quantity::n_nonembedding, 1e8}});
  const Found found = nearest_shapes(space, search);
  search.exhaustive = true;
  const Found all = nearest_shapes(space, search);
  CHECK(found.nearest == all.nearest);
  CHECK(found.covered == all.covered);
  CHECK(all.evaluated == all.covered);
  CHECK(10 * found.evaluated < found.covered);
}

TEST_CASE("one ratio means the one multiple nearest to it") {
  Space space = small_space();
  space.ff_ratio = {4, 4};
  space.multiple_of = 8;
  for (const Candidate& row : nearest_shapes(space, search_for({{Quantity::n_nonembedding, 1e4}})).nearest)
    CHECK(row.d_ff == 4 * row.d_model);
}

TEST_CASE("no ceiling is passed") {
  const Space space = small_space();
  const Search search = search_for({{Quantity::n_params, 2e6, true}, {Quantity::n_nonembedding, 4e4}});
  const Found found = nearest_shapes(space, search);
  CHECK(!found.nearest.empty());
  for (const Candidate& row : found.nearest) CHECK(n_params(to_shape(space, row)) <= 2'000'000);
  CHECK(nearest_shapes(space, search_for({{Quantity::n_params, 1e5, true}})).nearest.empty());
}

TEST_CASE("a count beyond int64 throws out of every thread") {
  Space space = small_space();
  space.d_model = {std::int64_t{1} << 40, (std::int64_t{1} << 40) + 8};
  space.d_head = {1 << 20, 1 << 20};
  space.kv_group = {1, 1};
  space.aspect = {1, unbounded};
  space.ff_ratio = {1, 1};
  CHECK_THROWS_AS((void)nearest_shapes(space, search_for({{Quantity::n_params, 1e9}})), std::overflow_error);
}
