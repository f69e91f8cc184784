#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "op.hpp"

using namespace isoflop::ops;

namespace {

std::vector<float> numbers(std::size_t count, float slope) {
  std::vector<float> made(count);
  for (std::size_t i = 0; i < count; ++i) made[i] = std::sin(slope * static_cast<float>(i + 1));
  return made;
}

void run(const char* name, Isa isa, std::vector<void*> tensors, const std::vector<std::int64_t>& sizes,
         const std::vector<double>& settings, Context& context) {
  const Op* op = find_op(name, isa);
  REQUIRE(op != nullptr);
  REQUIRE(op->n_tensors == tensors.size());
  REQUIRE(op->n_sizes == sizes.size());
  REQUIRE(op->n_settings == settings.size());
  op->run({tensors.data(), sizes.data(), settings.data()}, context);
  context.scratch.clear();
}

// Gradients of gain and bias of a norm, and of the weight of a loss, by an op that is told to add or not.
struct Gradients {
  std::vector<float> gain = std::vector<float>(19, 7), bias = gain, weight = std::vector<float>(11 * 19, 7);

  void add(Isa isa, bool accumulate) {
    std::vector<float> dy = numbers(5 * 19, 0.7F), x = numbers(5 * 19, 0.3F), scale = numbers(19, 0.2F), dx(5 * 19),
                       mean(5, 0.1F), rstd(5, 1.5F), table = numbers(11 * 19, 0.9F), losses(5), lse(5), one(1),
                       total(1), entropy(1);
    std::vector<std::int64_t> targets{0, 3, 10, -100, 3};
    std::vector<std::byte> room(1 << 16);
    Context context;
    context.accumulate = accumulate;
    run("norm_backward", isa,
        {dy.data(), x.data(), scale.data(), mean.data(), rstd.data(), nullptr, dx.data(), gain.data(), bias.data()},
        {5, 19}, {}, context);
    run("linear_cross_entropy", isa,
        {x.data(), table.data(), targets.data(), nullptr, nullptr, one.data(), total.data(), losses.data(), lse.data(),
         nullptr, dx.data(), weight.data(), entropy.data(), nullptr, room.data()},
        {5, 11, 19}, {-100.0}, context);
  }
};

bool twice(const std::vector<float>& sums, const std::vector<float>& once) {
  for (std::size_t i = 0; i < once.size(); ++i)
    if (std::abs(sums[i] - 2 * once[i]) > 1e-5F) return false;
  return true;
}

}  // namespace

TEST_CASE("gradients of parameters replace what stands there, or are added to it") {
  for (const Isa isa : usable_isas()) {
    Gradients once, both;
    once.add(isa, false);
    both.add(isa, false);
    CHECK(both.weight == once.weight);
    both.add(isa, true);
    CHECK(twice(both.gain, once.gain));
    CHECK(twice(both.bias, once.bias));
    CHECK(twice(both.weight, once.weight));
  }
}

TEST_CASE("weights are packed anew where a model begins, and else kept") {
  for (const Isa isa : usable_isas()) {
    std::vector<float> x = numbers(3 * 8, 0.7F), table = numbers(4 * 8, 0.3F), losses(3), lse(3), one(1), total(1),
                       entropy(1);
    std::vector<std::int64_t> targets{0, 1, 2};
    std::vector<std::byte> room(1 << 14);
    const auto mean = [&](bool first) {
      Context context;
      context.first = first;
      run("linear_cross_entropy", isa,
          {x.data(), table.data(), targets.data(), nullptr, nullptr, one.data(), total.data(), losses.data(),
           lse.data(), nullptr, nullptr, nullptr, entropy.data(), nullptr, room.data()},
          {3, 4, 8}, {-100.0}, context);
      return one[0];
    };
    const float before = mean(true);
    for (float& each : table) each = -each;
    CHECK(mean(false) == before);
    CHECK(mean(true) != before);
  }
}

TEST_CASE("attention of one key gives its value, whatever the score") {
  for (const Isa isa : usable_isas()) {
    for (const float size : {0.0F, 1.0F, 30.0F}) {
      std::vector<float> q(5, size), k(5, size), v = numbers(5, 0.4F), y(5), lse(1), dq(5), dk(5), dv(5);
      Context context;
      std::vector<std::int64_t> sizes{1, 1, 1, 1, 5};
      sizes.resize(5 + 4 * 3, 5);  // from one sequence, head, position of each tensor to the next
      run("attention", isa,
          {q.data(), k.data(), v.data(), y.data(), lse.data(), nullptr, nullptr, nullptr, nullptr, nullptr}, sizes,
          {0.5, 1, 0, 0}, context);
      if (isa == Isa::portable) CHECK(y == v);  // the others join products and sums
      for (std::size_t i = 0; i < 5; ++i) CHECK(y[i] == doctest::Approx(v[i]).epsilon(1e-6));
      sizes.resize(5 + 8 * 3, 5);
      run("attention_backward", isa,
          {v.data(), q.data(), k.data(), v.data(), y.data(), lse.data(), dq.data(), dk.data(), dv.data(), nullptr,
           nullptr, nullptr, nullptr, nullptr},
          sizes, {0.5, 1, 0, 0}, context);
      for (std::size_t i = 0; i < 5; ++i) CHECK(dv[i] == doctest::Approx(v[i]).epsilon(1e-3));
    }
  }
}

TEST_CASE("an activation keeps infinities and what is no number") {
  constexpr float infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (const Isa isa : usable_isas()) {
    for (const double kind : {0.0, 1.0, 2.0}) {
      std::vector<float> z{infinity, nan, 0.0F}, a(3);
      Context context;
      run("activation", isa, {z.data(), a.data()}, {1, 3}, {kind}, context);
      CHECK(a[0] == infinity);
      CHECK(std::isnan(a[1]));
      CHECK(a[2] == 0.0F);
    }
  }
}
