#include <doctest/doctest.h>

#include <array>
#include <vector>

#include "isoflop/columns.hpp"
#include "shapes.hpp"

using namespace isoflop;

namespace {

constexpr std::size_t n_layer = 0, n_head = 2;

}  // namespace

TEST_CASE("columns count what their rows count, with any number of threads") {
  std::vector<std::int64_t> layers;
  for (std::int64_t i = 1; i <= 1000; ++i) layers.push_back(i);
  const std::array columns{Column{n_layer, layers.data()}};
  const Rows rows{layers.size(), shapes::llama3_8b, columns, nullptr};
  for (const Convention& convention : conventions())
    for (const std::size_t threads : {1, 2, 7}) {
      std::vector<double> flops(layers.size());
      REQUIRE(!training_flops(rows, convention, threads, flops.data()).has_value());
      for (const std::size_t row : {0, 255, 256, 999}) {
        Shape shape = shapes::llama3_8b;
        shape.n_layer = layers[row];
        CHECK(flops[row] == doctest::Approx(training_flops(shape, convention, {1, shape.n_ctx})).epsilon(1e-12));
      }
    }
}

TEST_CASE("the first row that is no shape is told, whichever thread meets it") {
  std::vector<std::int64_t> heads(1000, 32);
  heads[700] = 12, heads[900] = 0;
  const std::array columns{Column{n_head, heads.data()}};
  const Rows rows{heads.size(), shapes::llama3_8b, columns, nullptr};
  std::vector<double> flops(heads.size());
  for (const std::size_t threads : {1, 3})
    CHECK(training_flops(rows, find_convention("exact"), threads, flops.data()) == 700);
}
