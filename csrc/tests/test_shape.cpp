#include <doctest/doctest.h>

#include <stdexcept>

#include "isoflop/shape.hpp"
#include "shapes.hpp"

using isoflop::Shape;

TEST_CASE("parameter counts equal those of the published checkpoints") {
  CHECK(n_params(shapes::gpt2) == 124'439'808);
  CHECK(n_params(shapes::gpt2_xl) == 1'557'611'200);
  CHECK(n_params(shapes::llama2_7b) == 6'738'415'616);
  CHECK(n_params(shapes::llama3_8b) == 8'030'261'248);
}

TEST_CASE("Kaplan's N is 2 d_model n_layer (2 d_attn + d_ff) for plain attention and MLP") {
  const Shape& s = shapes::gpt2;
  CHECK(n_kaplan(s) == 2 * s.d_model * s.n_layer * (2 * d_attn(s) + s.d_ff));
}

TEST_CASE("an untied unembedding adds one token table") {
  Shape untied = shapes::gpt2;
  untied.tied = false;
  CHECK(n_params(untied) - n_params(shapes::gpt2) == 50257 * 768);
}

TEST_CASE("a count beyond int64 throws instead of wrapping") {
  Shape huge = shapes::gpt2;
  huge.d_model = std::int64_t{1} << 40;
  huge.n_layer = std::int64_t{1} << 40;
  CHECK_THROWS_AS((void)n_params(huge), std::overflow_error);
}
