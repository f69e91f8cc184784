#include <doctest/doctest.h>

#include <numeric>
#include <stdexcept>

#include "isoflop/terms.hpp"
#include "shapes.hpp"

using namespace isoflop;

TEST_CASE("causal pairs are those a mask keeps") {
  for (std::int64_t seq = 1; seq <= 65; ++seq) {
    std::int64_t kept = 0;
    for (std::int64_t query = 0; query < seq; ++query)
      for (std::int64_t key = 0; key < seq; ++key) kept += key <= query ? 1 : 0;
    CHECK(attention_pairs(seq, Pairs::causal) == static_cast<double>(kept));
  }
}

TEST_CASE("GPT-2 small's forward pass over 1024 tokens is 291.6 GFLOP of matrix products") {
  const ForwardTerms terms = forward_terms(shapes::gpt2, {1, 1024}, Pairs::full);
  CHECK(std::accumulate(terms.begin(), terms.end(), 0.0) == 291'648'307'200.0);
}

TEST_CASE("grouped queries shrink keys and values alone") {
  const ForwardTerms grouped = forward_terms(shapes::llama3_8b, {1, 8}, Pairs::full);
  const double per_head = 2.0 * 32 * 8 * 4096 * 128;
  CHECK(grouped[static_cast<std::size_t>(Term::qkv)] == per_head * (32 + 2 * 8));
  CHECK(grouped[static_cast<std::size_t>(Term::proj)] == per_head * 32);
}

TEST_CASE("Table 1's total is the sum of its rows but embedding and de-embedding") {
  const Table1 table = kaplan_table1(shapes::gpt2, 1024);
  double flops = 0;
  std::int64_t params = 0;
  for (std::size_t row = 1; row <= 4; ++row) {
    flops += table[row].flops_per_token;
    params += table[row].params;
  }
  CHECK(table.back().flops_per_token == flops);
  CHECK(table.back().params == params);
}

TEST_CASE("recomputing attention repeats logits, softmax and values") {
  const Terms terms = all_terms(shapes::gpt2, {2, 128}, Recompute::attention);
  for (const Term again : {Term::logits, Term::softmax, Term::values})
    CHECK(terms[static_cast<std::size_t>(again)].recompute == terms[static_cast<std::size_t>(again)].forward);
  CHECK(terms[static_cast<std::size_t>(Term::qkv)].recompute == 0);
}

TEST_CASE("Table 1 refuses what it does not describe") {
  Shape encoder = shapes::gpt2;
  encoder.architecture = Architecture::encoder;
  CHECK_THROWS_AS((void)kaplan_table1(encoder, 64), std::invalid_argument);
}
