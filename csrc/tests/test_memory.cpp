#include <doctest/doctest.h>

#include <limits>
#include <stdexcept>

#include "isoflop/memory.hpp"
#include "shapes.hpp"

using namespace isoflop;

namespace {

// A GELU block with d_attn = d_model and d_ff = 4 d_model, as Korthikanti et al. count it.
constexpr Shape gpt3{.n_layer = 96,
                     .d_model = 12288,
                     .n_head = 96,
                     .n_kv_head = 96,
                     .d_head = 128,
                     .d_ff = 4 * 12288,
                     .n_ctx = 2048,
                     .n_vocab = 51200};

constexpr std::int64_t s = 2048, b = 3, h = 12288, a = 96;

}  // namespace

TEST_CASE("mixed-precision Adam costs 16 bytes a parameter, 18 with fp32 gradients") {
  CHECK(find_state("mixed").total() == 16);
  CHECK(find_state("mixed-fp32-gradients").total() == 18);
  CHECK(find_state("fp32").total() == 16);
  CHECK(find_state("bf16").total() == 8);
  CHECK_THROWS_AS((void)find_state("int8"), std::invalid_argument);
}

TEST_CASE("a block keeps s b h (34 + 5 a s / h) bytes, 34 s b h with flash attention or selective recompute") {
  CHECK(block_activations(gpt3, {}, {b, s}, {.flash = false}) == 34 * s * b * h + 5 * a * s * s * b);
  CHECK(block_activations(gpt3, {}, {b, s}, {}) == 34 * s * b * h);
  CHECK(block_activations(gpt3, {}, {b, s}, {.keep = Keep::outside_attention, .flash = false}) == 34 * s * b * h);
  CHECK(block_activations(gpt3, {}, {b, s}, {.keep = Keep::layer_inputs}) == 2 * s * b * h);
}

TEST_CASE("tensor parallelism leaves 10 s b h whole, sequence parallelism nothing") {
  const std::int64_t t = 8;
  CHECK(block_activations(gpt3, {.tp = t}, {b, s}, {.flash = false}) ==
        10 * s * b * h + (24 * s * b * h + 5 * a * s * s * b) / t);
  CHECK(block_activations(gpt3, {.tp = t, .sequence_parallel = true}, {b, s}, {.flash = false}) ==
        (34 * s * b * h + 5 * a * s * s * b) / t);
}

TEST_CASE("without dropout a block keeps 32 s b h and the softmax alone") {
  CHECK(block_activations(gpt3, {}, {b, s}, {.flash = false, .dropout = false}) == 32 * s * b * h + 2 * a * s * s * b);
}

TEST_CASE("ZeRO shares out the optimizer, then gradients, then parameters") {
  const std::int64_t n = n_params(gpt3), dp = 64;
  const auto states_of = [&](std::int64_t zero) {
    const Memory m = training_memory(gpt3, {.dp = dp, .zero = zero}, find_state("mixed"), {1, s}, {});
    return m.parameters + m.gradients + m.optimizer;
  };
  CHECK(states_of(0) == 16 * n);
  CHECK(states_of(1) == 4 * n + share(12 * n, dp));
  CHECK(states_of(2) == 2 * n + share(2 * n, dp) + share(12 * n, dp));
  CHECK(states_of(3) == 2 * share(2 * n, dp) + share(12 * n, dp));
}

TEST_CASE("the first of p stages holds the activations of all layers while p microbatches are in flight") {
  const Layout one{.tp = 8, .microbatches = 1};
  const Layout eight{.tp = 8, .pp = 8, .microbatches = 64};
  const Activations kept{.dropout = false};
  const Memory piped = training_memory(gpt3, eight, find_state("mixed"), {1, s}, kept);
  CHECK(piped.stage == 0);
  CHECK(piped.activations == training_memory(gpt3, one, find_state("mixed"), {1, s}, kept).activations);
}

TEST_CASE("full recompute keeps the blocks' inputs and runs one block at a time") {
  const Memory m =
      training_memory(gpt3, {}, find_state("mixed"), {1, s}, {.keep = Keep::layer_inputs, .dropout = false});
  CHECK(m.activations == gpt3.n_layer * 2 * s * h);
  CHECK(m.recomputed == 32 * s * h);
}

TEST_CASE("logits are fp32 and cut by rows of the table") {
  const Memory m = training_memory(gpt3, {.tp = 8}, find_state("mixed"), {1, s}, {});
  CHECK(m.head == 4 * s * h + 4 * s * 51200 / 8);
}

TEST_CASE("Llama 3 8B caches 128 KiB of keys and values a token") {
  CHECK(cache_bytes(shapes::llama3_8b, {}, 0, {1, 1}, 2) == 128 * 1024);
}

TEST_CASE("the largest batch fits and one more does not") {
  const Layout layout{.dp = 8, .zero = 3};
  const State& state = find_state("mixed");
  const std::int64_t capacity = 72'000'000'000;
  const std::int64_t batch = largest_training_batch(shapes::llama2_7b, layout, state, 4096, {}, capacity);
  CHECK(batch >= 1);
  CHECK(training_memory(shapes::llama2_7b, layout, state, {batch, 4096}, {}).total() <= capacity);
  CHECK(training_memory(shapes::llama2_7b, layout, state, {batch + 1, 4096}, {}).total() > capacity);
  CHECK(largest_training_batch(shapes::llama2_7b, {}, state, 4096, {}, capacity) == 0);
  const std::int64_t served = largest_serving_batch(shapes::llama3_8b, {}, 2, 8192, 2, capacity);
  CHECK(serving_memory(shapes::llama3_8b, {}, 2, {served, 8192}, 2).total() <= capacity);
  CHECK(serving_memory(shapes::llama3_8b, {}, 2, {served + 1, 8192}, 2).total() > capacity);
}

TEST_CASE("the search for a batch ends where the capacity is all of int64") {
  const std::int64_t all = std::numeric_limits<std::int64_t>::max();
  CHECK(largest_serving_batch(shapes::gpt2, {}, 2, 1, 2, all) > 1'000'000'000'000);
}

TEST_CASE("bytes beyond int64 throw instead of wrapping") {
  CHECK_THROWS_AS((void)training_memory(gpt3, {}, find_state("mixed"), {std::int64_t{1} << 40, s}, {}),
                  std::overflow_error);
}
