#include <doctest/doctest.h>

#include <stdexcept>

#include "isoflop/convention.hpp"
#include "shapes.hpp"

using namespace isoflop;

namespace {

double per_token(const Shape& shape, std::string_view name) {
  return training_flops(shape, find_convention(name), {1, shape.n_ctx}) / static_cast<double>(shape.n_ctx);
}

}  // namespace

TEST_CASE("conventions of GPT-2 small count these training FLOPs a token") {
  CHECK(per_token(shapes::gpt2, "exact") == 854'438'400.0);
  CHECK(per_token(shapes::gpt2, "exact-causal") == 797'870'592.0);
  CHECK(per_token(shapes::gpt2, "kaplan-6n") == 6.0 * 84'934'656);
  CHECK(per_token(shapes::gpt2, "kaplan-table1") == 3.0 * (2.0 * 84'934'656 + 2.0 * 12 * 1024 * 768));
  CHECK(per_token(shapes::gpt2, "6n-total") == 6.0 * 124'439'808);
}

TEST_CASE("a batch costs the sum of its sequences") {
  for (const Convention& convention : conventions())
    CHECK(training_flops(shapes::gpt2, convention, {7, 128}) == 7 * training_flops(shapes::gpt2, convention, {1, 128}));
}

TEST_CASE("an unknown convention is refused") { CHECK_THROWS_AS((void)find_convention("6nd"), std::invalid_argument); }

TEST_CASE("a patch projection passes no gradient back to the image") {
  const Shape vit{.n_layer = 1,
                  .d_model = 8,
                  .n_head = 1,
                  .n_kv_head = 1,
                  .d_head = 8,
                  .d_ff = 32,
                  .n_ctx = 17,
                  .n_vocab = 10,
                  .tied = false,
                  .architecture = Architecture::vit,
                  .image = 32,
                  .patch = 8,
                  .channels = 3,
                  .class_token = true};
  const double forward = forward_flops(vit, find_convention("exact"), {1, 17});
  const double patches = 2.0 * 16 * 3 * 8 * 8 * 8;
  CHECK(training_flops(vit, find_convention("exact"), {1, 17}) == 3 * forward - patches);
}
