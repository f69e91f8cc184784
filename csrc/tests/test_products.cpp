#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

#include "op.hpp"

using namespace isoflop::ops;

namespace {

// Whole numbers so small that every sum of products is exact, in bfloat16 too, whatever its order.
std::vector<float> draw(std::int64_t count, unsigned seed) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) {
    seed = seed * 1664525U + 1013904223U;
    value = static_cast<float>(static_cast<int>(seed >> 24) % 9 - 4);
  }
  return values;
}

struct Layer {
  std::int64_t rows, inner, width;
  std::vector<float> x = draw(rows * inner, 1), weight = draw(width * inner, 2), dy = draw(rows * width, 3);
  std::vector<float> y = std::vector<float>(dy.size()), dx = std::vector<float>(x.size());
  std::vector<float> dweight = draw(width * inner, 4), dbias = draw(width, 5);
  std::vector<float> kept = std::vector<float>(static_cast<std::size_t>((inner + 32) * (width + 32)));

  void run(Isa isa, std::string_view op, Context& context) {
    const std::vector<std::int64_t> sizes{rows, inner, width};
    std::vector<void*> tensors;
    if (op == "linear") tensors = {x.data(), weight.data(), nullptr, nullptr, y.data(), kept.data()};
    else tensors = {dy.data(), x.data(), weight.data(), dx.data(), dweight.data(), dbias.data(), kept.data()};
    find_op(op, isa)->run({tensors.data(), sizes.data(), nullptr}, context);
    context.scratch.clear();
  }
};

float product(const std::vector<float>& a, const std::vector<float>& b, std::int64_t a0, std::int64_t a1,
              std::int64_t b0, std::int64_t b1, std::int64_t depth) {
  float sum = 0;
  for (std::int64_t k = 0; k < depth; ++k)
    sum += a[static_cast<std::size_t>(a0 + a1 * k)] * b[static_cast<std::size_t>(b0 + b1 * k)];
  return sum;
}

template <class Expected>
std::int64_t wrong(const std::vector<float>& actual, std::int64_t columns, Expected&& expected) {
  std::int64_t count = 0;
  for (std::int64_t at = 0; at < static_cast<std::int64_t>(actual.size()); ++at)
    count += actual[static_cast<std::size_t>(at)] != expected(at / columns, at % columns);
  return count;
}

}  // namespace

TEST_CASE("products of whole numbers are exact in every instruction set") {
  constexpr std::int64_t sizes[][3] = {{1, 1, 1}, {3, 5, 7}, {17, 33, 65}, {40, 48, 16}, {290, 20, 130}};
  for (const Isa isa : usable_isas()) {
    for (const Products products : {Products::float32, Products::bfloat16}) {
      for (const auto& [m, k, n] : sizes) {
        CAPTURE(isa_names[static_cast<std::size_t>(isa)]);
        CAPTURE(m);
        Layer layer{m, k, n};
        Context context;
        context.products = products;
        layer.run(isa, "linear", context);
        CHECK(wrong(layer.y, n,
                    [&](auto i, auto j) { return product(layer.x, layer.weight, i * k, 1, j * k, 1, k); }) == 0);
        layer.run(isa, "linear_backward", context);
        CHECK(wrong(layer.dx, k, [&](auto i, auto j) { return product(layer.dy, layer.weight, i * n, 1, j, k, n); }) ==
              0);
        CHECK(wrong(layer.dweight, k, [&](auto i, auto j) { return product(layer.dy, layer.x, i, n, j, k, m); }) == 0);
      }
    }
  }
}

TEST_CASE("gradients of later parts are added to those of the first") {
  for (const Isa isa : usable_isas()) {
    for (const Products products : {Products::float32, Products::bfloat16}) {
      Layer layer{290, 20, 33};
      const std::vector<float> before = layer.dweight, bias = layer.dbias;
      Context context;
      context.products = products;
      context.accumulate = true;
      layer.run(isa, "linear_backward", context);
      CAPTURE(isa_names[static_cast<std::size_t>(isa)]);
      CHECK(wrong(layer.dweight, 20, [&](auto i, auto j) {
              return before[static_cast<std::size_t>(i * 20 + j)] + product(layer.dy, layer.x, i, 33, j, 20, 290);
            }) == 0);
      const std::vector<float> ones(290, 1.0F);
      CHECK(wrong(layer.dbias, 33, [&](auto, auto j) {
              return bias[static_cast<std::size_t>(j)] + product(layer.dy, ones, j, 33, 0, 1, 290);
            }) == 0);
    }
  }
}

TEST_CASE("what is packed of a model's weights serves its later parts") {
  for (const Isa isa : usable_isas()) {
    Layer layer{33, 20, 17};
    Context context;
    layer.run(isa, "linear", context);
    const std::vector<float> first = layer.y;
    layer.weight.assign(layer.weight.size(), 0.0F);
    context.first = false;
    layer.run(isa, "linear", context);
    CHECK(layer.y == first);
    context.first = true;
    layer.run(isa, "linear", context);
    CHECK(layer.y == std::vector<float>(first.size()));
  }
}
