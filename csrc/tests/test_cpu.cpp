#include <doctest/doctest.h>

#include <algorithm>
#include <string_view>

#include "isoflop/cpu.hpp"

namespace {

bool has(const std::vector<std::string>& features, std::string_view name) {
  return std::find(features.begin(), features.end(), name) != features.end();
}

}  // namespace

TEST_CASE("a CPU has what its later instruction sets build on") {
  const auto features = isoflop::cpu_features();
  if (has(features, "avx2")) CHECK(has(features, "avx"));
  if (has(features, "avx512_bf16")) CHECK(has(features, "avx512f"));
  if (has(features, "amx_bf16")) CHECK(has(features, "amx_tile"));
}

#if defined(__GNUC__) && defined(__x86_64__)
TEST_CASE("the compiler's run-time check agrees") {
  __builtin_cpu_init();
  const auto features = isoflop::cpu_features();
  CHECK(has(features, "sse4_2") == (__builtin_cpu_supports("sse4.2") != 0));
  CHECK(has(features, "avx2") == (__builtin_cpu_supports("avx2") != 0));
  CHECK(has(features, "fma") == (__builtin_cpu_supports("fma") != 0));
  CHECK(has(features, "avx512f") == (__builtin_cpu_supports("avx512f") != 0));
}
#endif
