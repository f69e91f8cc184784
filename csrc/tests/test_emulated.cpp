#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "../emulated/arithmetic.hpp"
#include "isoflop/cpu.hpp"
#include "op.hpp"

#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace emulated = isoflop::emulated;
using emulated::bits;

namespace {

using Lanes = std::array<float, 16>;
using Words = std::array<std::uint32_t, 16>;
using Halfwords = std::array<std::uint16_t, 32>;

bool has(std::initializer_list<const char*> names) {
  const auto features = isoflop::cpu_features();
  return std::all_of(names.begin(), names.end(), [&](const char* name) {
    return std::find(features.begin(), features.end(), name) != features.end();
  });
}

bool can_emulate() { return has({"avx2", "fma", "f16c"}); }

Lanes all(float value) {
  Lanes lanes;
  lanes.fill(value);
  return lanes;
}

__m512 vector(const Lanes& lanes) { return bits<__m512>(lanes); }

std::uint32_t pair(float first, float second) {
  return bits<std::uint32_t>(first) >> 16 | (bits<std::uint32_t>(second) & 0xffff0000);
}

__m512bh all_pairs(float first, float second) {
  Words words;
  words.fill(pair(first, second));
  return bits<__m512bh>(words);
}

// Any bits, a half of them near one another in size: numbers, infinities, the smallest, and what is none.
struct Draw {
  std::uint32_t state = 1;

  std::uint32_t next() {
    state = state * 1664525U + 1013904223U;
    return state ^ state >> 15;
  }

  Lanes operator()() {
    Words words;
    const bool near = (next() & 4) != 0;
    for (auto& word : words) word = near ? (next() & 0x81ffffff) + 0x3f000000 : next();
    return bits<Lanes>(words);
  }
};

// NaN is NaN, whichever.
bool same(const Lanes& a, const Lanes& b) {
  for (std::size_t i = 0; i < a.size(); ++i)
    if (bits<std::uint32_t>(a[i]) != bits<std::uint32_t>(b[i]) && !(std::isnan(a[i]) && std::isnan(b[i]))) return false;
  return true;
}

}  // namespace

TEST_CASE("emulated rounding to bfloat16 is to nearest, ties to even, without the smallest numbers") {
  if (!can_emulate()) return;
  const std::pair<std::uint32_t, std::uint32_t> cases[] = {
      {0x3f808000, 0x3f80}, {0x3f808001, 0x3f81}, {0x3f818000, 0x3f82}, {0x7f7fffff, 0x7f80}, {0x00800000, 0x0080},
      {0x007fffff, 0x0000}, {0x80000001, 0x8000}, {0xff800000, 0xff80}, {0x7f800001, 0x7fc0}, {0xffc12345, 0xffc1}};
  for (const auto& [given, expected] : cases) {
    CAPTURE(given);
    Words words;
    words.fill(given);
    const auto rounded = emulated::cvtne2ps_pbh(bits<__m512>(words), vector(all(1.0F)));
    const auto made = bits<Halfwords>(rounded);
    CHECK(made[0] == 0x3f80);
    CHECK(made[15] == 0x3f80);
    CHECK(made[16] == expected);
    CHECK(made[31] == expected);
  }
}

TEST_CASE("emulated products of pairs add the second one first, without the smallest numbers") {
  if (!can_emulate()) return;
  const auto once = [](float sum, __m512bh a, __m512bh b) {
    return bits<Lanes>(emulated::dpbf16_ps(vector(all(sum)), a, b))[7];
  };
  CHECK(once(-0x1p100F, all_pairs(1, 0x1p100F), all_pairs(1, 1)) == 1);
  CHECK(once(-0x1p100F, all_pairs(0x1p100F, 1), all_pairs(1, 1)) == 0);
  CHECK(once(0, all_pairs(0x1p-70F, 0), all_pairs(0x1p-70F, 0)) == 0);
  CHECK(once(0x1p-127F, all_pairs(0, 0), all_pairs(0, 0)) == 0);
  CHECK(once(0, all_pairs(0x1p-127F, 0), all_pairs(0x1p100F, 0)) == 0);
  volatile float small = 0x1p-126F;
  CHECK(small / 2 == 0x1p-127F);  // the thread's own arithmetic keeps them
}

TEST_CASE("emulated tiles sum first and second products apart") {
  if (!can_emulate()) return;
  alignas(64) const struct {
    std::uint8_t palette = 1, start = 0, reserved[14] = {};
    std::uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
  } configuration;
  emulated::ldtilecfg(&configuration);
  std::array<Words, 16> a{}, b{};
  std::array<Lanes, 16> c{}, made{};
  a[3][0] = pair(0x1p100F, -0x1p100F), a[3][1] = pair(1, 0), a[5][2] = pair(2, 4);
  b[0][6] = b[1][6] = pair(1, 1), b[2][8] = pair(3, 5);
  c[3][6] = 3, c[5][8] = 0.5F, c[15][15] = 7;
  emulated::tileloadd(0, c.data(), 64);
  emulated::tileloadd(4, a.data(), 64);
  emulated::tileloadd(6, b.data(), 64);
  emulated::tdpbf16ps(0, 4, 6);
  emulated::tilestored(0, made.data(), 64);
  CHECK(made[3][6] == 3);
  CHECK(made[5][8] == 26.5F);
  CHECK(made[15][15] == 7);
  CHECK(made[8][5] == 0);
}

TEST_CASE("emulated scaling rounds once") {
  if (!can_emulate()) return;
  for (const float x : {1.0F, -1.7F, 0x1.fffffep127F, 0x1.234566p-127F, 0x1.8p-149F, 0.0F})
    for (int n = -320; n <= 320; ++n) {
      const auto scaled = emulated::maskz_scalef_ps(0x7fff, vector(all(x)), vector(all(static_cast<float>(n) + 0.5F)));
      CHECK(bits<Lanes>(scaled)[0] == std::scalbn(x, n));
      CHECK(bits<Lanes>(scaled)[15] == 0);
    }
  constexpr float infinity = std::numeric_limits<float>::infinity();
  CHECK(emulated::scalef(-2, infinity) == -infinity);
  CHECK(emulated::scalef(-2, -infinity) == 0);
  CHECK(std::isnan(emulated::scalef(0, infinity)));
  CHECK(std::isnan(emulated::scalef(infinity, -infinity)));
}

#define ISOFLOP_TARGET [[gnu::target("avx512f,avx512dq,avx512bw,avx512vl,avx512bf16")]]

namespace {

using Make = Lanes (*)(const Lanes&, const Lanes&, const Lanes&);
struct Instruction {
  const char* name;
  Make emulated, real;
};

ISOFLOP_TARGET Lanes real_max(const Lanes& a, const Lanes& b, const Lanes&) {
  Lanes made;
  _mm512_storeu_ps(made.data(), _mm512_max_ps(_mm512_loadu_ps(a.data()), _mm512_loadu_ps(b.data())));
  return made;
}

ISOFLOP_TARGET Lanes real_scalef(const Lanes& a, const Lanes& b, const Lanes&) {
  Lanes made;
  _mm512_storeu_ps(made.data(), _mm512_maskz_scalef_ps(0xf0ff, _mm512_loadu_ps(a.data()), _mm512_loadu_ps(b.data())));
  return made;
}

ISOFLOP_TARGET Lanes real_halves(const Lanes& a, const Lanes&, const Lanes&) {
  Lanes made;
  const __m256i rounded = _mm512_cvtps_ph(_mm512_loadu_ps(a.data()), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  _mm512_storeu_ps(made.data(), _mm512_cvtph_ps(rounded));
  return made;
}

ISOFLOP_TARGET Lanes real_rounded(const Lanes& a, const Lanes& b, const Lanes&) {
  Lanes made;
  const auto rounded = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(a.data()), _mm512_loadu_ps(b.data()));
  __builtin_memcpy(made.data(), &rounded, sizeof made);
  return made;
}

ISOFLOP_TARGET Lanes real_pairs(const Lanes& sum, const Lanes& a, const Lanes& b) {
  Lanes made;
  __m512bh x, y;
  __builtin_memcpy(&x, a.data(), sizeof x);
  __builtin_memcpy(&y, b.data(), sizeof y);
  _mm512_storeu_ps(made.data(), _mm512_dpbf16_ps(_mm512_loadu_ps(sum.data()), x, y));
  return made;
}

const Instruction instructions[] = {
    {"vmaxps",
     [](const Lanes& a, const Lanes& b, const Lanes&) { return bits<Lanes>(emulated::max_ps(vector(a), vector(b))); },
     real_max},
    {"vscalefps",
     [](const Lanes& a, const Lanes& b, const Lanes&) {
       return bits<Lanes>(emulated::maskz_scalef_ps(0xf0ff, vector(a), vector(b)));
     },
     real_scalef},
    {"vcvtps2ph",
     [](const Lanes& a, const Lanes&, const Lanes&) {
       return bits<Lanes>(
           emulated::cvtph_ps(emulated::cvtps_ph<_MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC>(vector(a))));
     },
     real_halves},
    {"vcvtne2ps2bf16",
     [](const Lanes& a, const Lanes& b, const Lanes&) {
       return bits<Lanes>(emulated::cvtne2ps_pbh(vector(a), vector(b)));
     },
     real_rounded},
    {"vdpbf16ps",
     [](const Lanes& sum, const Lanes& a, const Lanes& b) {
       return bits<Lanes>(emulated::dpbf16_ps(vector(sum), bits<__m512bh>(a), bits<__m512bh>(b)));
     },
     real_pairs}};

}  // namespace

TEST_CASE("emulated instructions give the processor's bits, where it has them") {
  if (!has({"avx512f", "avx512dq", "avx512bw", "avx512vl", "avx512_bf16"})) return;
  Draw draw;
  for (const auto& [name, by_emulation, by_processor] : instructions) {
    CAPTURE(name);
    int wrong = 0;
    for (int i = 0; i < 20000; ++i) {
      const Lanes a = draw(), b = draw(), c = draw();
      wrong += !same(by_emulation(a, b, c), by_processor(a, b, c));
    }
    CHECK(wrong == 0);
  }
}
