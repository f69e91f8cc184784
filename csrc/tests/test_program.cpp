#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <stdexcept>
#include <vector>

#include "isoflop/program.hpp"

using isoflop::Operand;
using isoflop::Program;
using isoflop::Region;
using isoflop::ops::Arguments;
using isoflop::ops::Context;
using isoflop::ops::Op;
using isoflop::ops::Products;

namespace {

// arena = x weight, by way of scratch and of weights doubled once a model: what a forward and backward pass does.
void forward(const Arguments& arguments, Context& context) {
  const float *x = arguments.tensor(0), *weight = arguments.tensor(1);
  float *arena = arguments.tensor(2), *kept = arguments.tensor(3);
  const std::int64_t n = arguments.sizes[0];
  if (context.first)
    for (std::int64_t i = 0; i < n; ++i) kept[i] = 2 * weight[i];
  auto* room = context.scratch.take<float>(static_cast<std::size_t>(n));
  for (std::int64_t i = 0; i < n; ++i) room[i] = x[i] * kept[i];
  for (std::int64_t i = 0; i < n; ++i) arena[i] = room[i];
}

void backward(const Arguments& arguments, Context& context) {
  const float* arena = arguments.tensor(0);
  float* grad = arguments.tensor(1);
  for (std::int64_t i = 0; i < arguments.sizes[0]; ++i) grad[i] = (context.accumulate ? grad[i] : 0) + arena[i] / 3;
}

void update(const Arguments& arguments, Context&) {
  const float* grads = arguments.tensor(0);
  float* weight = arguments.tensor(1);
  const std::int64_t n = arguments.sizes[0], slots = arguments.sizes[1], stride = arguments.sizes[2];
  for (std::int64_t slot = 0; slot < slots; ++slot)
    for (std::int64_t i = 0; i < n; ++i) weight[i] += 0.1F * grads[slot * stride + i];
}

void fail(const Arguments&, Context&) { throw std::runtime_error("out of room"); }

constexpr Op forward_op{"forward", 4, 1, 0, forward}, backward_op{"backward", 2, 1, 0, backward};
constexpr Op update_op{"update", 2, 3, 0, update}, fail_op{"fail", 0, 0, 0, fail};

constexpr std::int64_t width = 24, groups = 3, parts = 4, chunks = 2, most_threads = 6;

template <class T>
std::byte* bytes(std::vector<T>& of) {
  return reinterpret_cast<std::byte*>(of.data());
}

// Weights of ``models`` models after some steps of those that are active.
std::vector<float> train(std::int64_t models, const std::vector<std::int64_t>& active, int threads, int steps) {
  constexpr std::int64_t row = width * sizeof(float);
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<float> weights(static_cast<std::size_t>(models * width)),
      x(static_cast<std::size_t>(models * groups * parts * width));
  for (float& value : weights) value = normal(random);
  for (float& value : x) value = normal(random);
  std::vector<float> arena(most_threads * width), kept(most_threads * width), grads(most_threads * groups * width);
  Program program(Products::float32);
  const auto of_x = program.add_region({bytes(x), groups * parts * row, parts * row, row, 0, 0});
  const auto of_weights = program.add_region({bytes(weights), row, 0, 0, 0, 0});
  const auto of_arena = program.add_region({bytes(arena), 0, 0, 0, row, 0});
  const auto of_kept = program.add_region({bytes(kept), 0, 0, 0, row, 0});
  const auto of_grads = program.add_region({bytes(grads), 0, row, 0, 0, groups * row});
  program.add_stage(groups, parts);
  program.add_call(forward_op, {{of_x, 0}, {of_weights, 0}, {of_arena, 0}, {of_kept, 0}}, {width}, {});
  program.add_call(backward_op, {{of_arena, 0}, {of_grads, 0}}, {width}, {});
  constexpr std::int64_t share = row / chunks;
  const auto chunk_weights = program.add_region({bytes(weights), row, share, 0, 0, 0});
  const auto chunk_grads = program.add_region({bytes(grads), 0, share, 0, 0, groups * row});
  program.add_stage(chunks, 1);
  program.add_call(update_op, {{chunk_grads, 0}, {chunk_weights, 0}}, {width / chunks, groups, width}, {});
  for (int step = 0; step < steps; ++step) program.run(active, threads);
  return weights;
}

std::vector<std::int64_t> first(std::int64_t count) {
  std::vector<std::int64_t> models(static_cast<std::size_t>(count));
  std::iota(models.begin(), models.end(), 0);
  return models;
}

}  // namespace

TEST_CASE("the bits of a step depend on no number of threads") {
  for (const std::int64_t models : {1, 2, 7}) {
    const auto alone = train(models, first(models), 1, 20);
    for (const int threads : {2, 3, 6}) CHECK(train(models, first(models), threads, 20) == alone);
  }
}

TEST_CASE("a model that is left out is not touched, and the others do not notice") {
  const auto all = train(5, first(5), 2, 3), before = train(5, {}, 2, 3), some = train(5, {0, 1, 3, 4}, 2, 3);
  for (std::size_t i = 0; i < all.size(); ++i) CHECK(some[i] == (i / width == 2 ? before[i] : all[i]));
}

TEST_CASE("a step is what its calls say") {
  constexpr std::int64_t row = 4;
  float x[2] = {3, 5}, weight = 1, arena = 0, kept = 0, grad = 0;
  Program program(Products::float32);
  const auto region = [&](float* base, std::int64_t per_part = 0) {
    return program.add_region({reinterpret_cast<std::byte*>(base), 0, 0, per_part, 0, 0});
  };
  const auto of_x = region(x, row), of_weight = region(&weight), of_arena = region(&arena), of_kept = region(&kept),
             of_grad = region(&grad);
  program.add_stage(1, 2);
  program.add_call(forward_op, {{of_x, 0}, {of_weight, 0}, {of_arena, 0}, {of_kept, 0}}, {1}, {});
  program.add_call(backward_op, {{of_arena, 0}, {of_grad, 0}}, {1}, {});
  program.run(first(1), 1);
  CHECK(grad == (3 * 2.0F) / 3 + (5 * 2.0F) / 3);
  CHECK(program.calls() == 2);
  weight = 10;
  program.run(first(1), 1);
  CHECK(kept == 20);
  float other[2] = {0, 0};
  program.move_region(of_x, {reinterpret_cast<std::byte*>(other), 0, 0, row, 0, 0});
  program.run(first(1), 1);
  CHECK(grad == 0);
}

TEST_CASE("what an op throws reaches the caller, and the program runs again") {
  Program program(Products::float32);
  program.add_stage(4, 1);
  program.add_call(fail_op, {}, {}, {});
  for (const int threads : {1, 3, 2}) CHECK_THROWS_WITH(program.run(first(3), threads), "out of room");
}

TEST_CASE("calls that do not fit are refused") {
  Program program(Products::float32);
  CHECK_THROWS_WITH(program.add_call(fail_op, {}, {}, {}), "calls are of a stage, and there is none");
  CHECK_THROWS_AS(program.add_stage(0, 1), std::invalid_argument);
  program.add_stage(1, 1);
  CHECK_THROWS_WITH(program.add_call(update_op, {}, {}, {}), "update takes 2 tensors, 3 sizes, 0 settings");
  CHECK_THROWS_WITH(program.add_call(update_op, {{0, 0}, {-1, 0}}, {1, 1, 1}, {}), "there is no region 0");
  CHECK_THROWS_AS(program.run(first(1), 0), std::invalid_argument);
}
