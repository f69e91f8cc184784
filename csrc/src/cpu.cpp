#include "isoflop/cpu.hpp"

#if defined(__x86_64__)
#include <cpuid.h>

#include <array>
#include <cstdint>
#endif

namespace isoflop {

#if defined(__x86_64__)

namespace {

enum Register : std::size_t { eax, ebx, ecx, edx };

// Register state the operating system must save for a feature to be usable (bits of XCR0).
constexpr std::uint64_t no_state = 0x0, ymm = 0x6, zmm = 0xe6, tiles = 0x60000;

struct Feature {
  const char* name;
  std::uint32_t leaf, subleaf;
  Register reg;
  unsigned bit;
  std::uint64_t state;
};

// clang-format off
constexpr std::array features{
    Feature{"sse4_2", 1, 0, ecx, 20, no_state},
    Feature{"avx", 1, 0, ecx, 28, ymm},
    Feature{"f16c", 1, 0, ecx, 29, ymm},
    Feature{"fma", 1, 0, ecx, 12, ymm},
    Feature{"avx2", 7, 0, ebx, 5, ymm},
    Feature{"avx_vnni", 7, 1, eax, 4, ymm},
    Feature{"avx512f", 7, 0, ebx, 16, zmm},
    Feature{"avx512dq", 7, 0, ebx, 17, zmm},
    Feature{"avx512bw", 7, 0, ebx, 30, zmm},
    Feature{"avx512vl", 7, 0, ebx, 31, zmm},
    Feature{"avx512_vnni", 7, 0, ecx, 11, zmm},
    Feature{"avx512_bf16", 7, 1, eax, 5, zmm},
    Feature{"avx512_fp16", 7, 0, edx, 23, zmm},
    Feature{"amx_tile", 7, 0, edx, 24, tiles},
    Feature{"amx_int8", 7, 0, edx, 25, tiles},
    Feature{"amx_bf16", 7, 0, edx, 22, tiles},
    Feature{"amx_fp16", 7, 1, eax, 21, tiles},
};
// clang-format on

std::uint64_t saved_state() {
  std::uint32_t a = 0, b = 0, c = 0, d = 0;
  constexpr std::uint32_t osxsave = 1U << 27;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & osxsave) == 0) return 0;
  std::uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));  // the intrinsic would need -mxsave for the whole file
  return std::uint64_t{high} << 32 | low;
}

bool is_present(const Feature& feature, std::uint64_t saved) {
  std::array<std::uint32_t, 4> reg{};
  if (__get_cpuid_count(feature.leaf, feature.subleaf, &reg[eax], &reg[ebx], &reg[ecx], &reg[edx]) == 0) return false;
  return (reg[feature.reg] >> feature.bit & 1U) != 0 && (saved & feature.state) == feature.state;
}

}  // namespace

std::vector<std::string> cpu_features() {
  const std::uint64_t saved = saved_state();
  std::vector<std::string> present;
  for (const Feature& feature : features)
    if (is_present(feature, saved)) present.emplace_back(feature.name);
  return present;
}

#else

std::vector<std::string> cpu_features() { return {}; }

#endif

}  // namespace isoflop
