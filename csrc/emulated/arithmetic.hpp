// The instructions of AVX-512, AVX512_BF16 and AMX that the ops of the CPU are made of, as arithmetic of AVX2: the same
// bits, at a fraction of the speed, for tests on machines that lack them. What the comments call Intel's is the
// "Operation" of each instruction in its Software Developer's Manual.
#pragma once

#include <immintrin.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace isoflop::emulated {

inline constexpr int lanes = 16;

[[noreturn]] inline void fault(const char* why) {
  std::fprintf(stderr, "emulated instruction: %s\n", why);
  std::abort();
}

// The same bits as another type, or as the elements of an array.
template <class To, class From>
To bits(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

template <class Element>
struct Array {
  Element at[64 / sizeof(Element)];
};

template <class Part>
struct Halves {
  Part low, high;
};

// What an instruction of 256 bits makes of each half.
template <class Part, class Whole, class Do>
Whole by_halves(Whole a, Whole b, Do&& make) {
  const auto x = bits<Halves<Part>>(a), y = bits<Halves<Part>>(b);
  return bits<Whole>(Halves<Part>{make(x.low, y.low), make(x.high, y.high)});
}

// Memory.

template <class Address>
void refuse_unaligned(Address address) {
  if (reinterpret_cast<std::uintptr_t>(address) % 64 != 0) fault("an address is no multiple of 64");
}

inline __m512i loadu_si512(const void* from) {
  __m512i loaded;
  std::memcpy(&loaded, from, sizeof loaded);
  return loaded;
}

inline __m512i load_si512(const void* from) {
  refuse_unaligned(from);
  return loadu_si512(from);
}

inline void storeu_si512(void* to, __m512i value) { std::memcpy(to, &value, sizeof value); }

// Elements whose bit is not set are neither read nor written.
inline __m512 maskz_loadu_ps(__mmask16 there, const float* from) {
  Array<float> loaded{};
  for (int lane = 0; lane < lanes; ++lane)
    if (there >> lane & 1) loaded.at[lane] = from[lane];
  return bits<__m512>(loaded);
}

inline void mask_storeu_ps(float* to, __mmask16 there, __m512 value) {
  const auto from = bits<Array<float>>(value);
  for (int lane = 0; lane < lanes; ++lane)
    if (there >> lane & 1) to[lane] = from.at[lane];
}

inline void mask_storeu_epi16(void* to, __mmask16 there, __m256i value) {
  std::uint16_t from[16];
  std::memcpy(from, &value, sizeof from);
  for (int lane = 0; lane < lanes; ++lane)
    if (there >> lane & 1) std::memcpy(static_cast<std::uint16_t*>(to) + lane, from + lane, sizeof *from);
}

// Elements moved.

inline __m256i castsi512_si256(__m512i whole) { return bits<Halves<__m256i>>(whole).low; }

inline __m256i extracti64x4_epi64(__m512i whole, int half) {
  const auto halves = bits<Halves<__m256i>>(whole);
  return half == 0 ? halves.low : halves.high;
}

inline __m512i unpacklo_epi32(__m512i a, __m512i b) {
  return by_halves<__m256i>(a, b, [](__m256i x, __m256i y) { return _mm256_unpacklo_epi32(x, y); });
}

inline __m512i unpackhi_epi32(__m512i a, __m512i b) {
  return by_halves<__m256i>(a, b, [](__m256i x, __m256i y) { return _mm256_unpackhi_epi32(x, y); });
}

inline __m512i unpacklo_epi64(__m512i a, __m512i b) {
  return by_halves<__m256i>(a, b, [](__m256i x, __m256i y) { return _mm256_unpacklo_epi64(x, y); });
}

inline __m512i unpackhi_epi64(__m512i a, __m512i b) {
  return by_halves<__m256i>(a, b, [](__m256i x, __m256i y) { return _mm256_unpackhi_epi64(x, y); });
}

struct Quarters {
  __m128i at[4];
};

// Two quarters of a, then two of b, each named by two bits.
inline __m512i shuffle_i32x4(__m512i a, __m512i b, int which) {
  const auto x = bits<Quarters>(a), y = bits<Quarters>(b);
  return bits<__m512i>(Quarters{{x.at[which & 3], x.at[which >> 2 & 3], y.at[which >> 4 & 3], y.at[which >> 6 & 3]}});
}

inline __m512i permutexvar_epi16(__m512i which, __m512i of) {
  const auto from = bits<Array<std::uint16_t>>(of), at = bits<Array<std::uint16_t>>(which);
  Array<std::uint16_t> found;
  for (int lane = 0; lane < 2 * lanes; ++lane) found.at[lane] = from.at[at.at[lane] & 31];
  return bits<__m512i>(found);
}

// vpermt2ps of two tables of 16 numbers, one behind the other, where vmovaps has loaded the first.
inline __m512 permutex2var_ps(const float* tables, __m512 which) {
  refuse_unaligned(tables);
  const auto at = bits<Array<std::uint32_t>>(which);
  Array<float> found;
  for (int lane = 0; lane < lanes; ++lane) found.at[lane] = tables[at.at[lane] & 31];
  return bits<__m512>(found);
}

// Arithmetic of float32.

inline __m512 max_ps(__m512 a, __m512 b) {
  return by_halves<__m256>(a, b, [](__m256 x, __m256 y) { return _mm256_max_ps(x, y); });
}

inline __m512 min_ps(__m512 a, __m512 b) {
  return by_halves<__m256>(a, b, [](__m256 x, __m256 y) { return _mm256_min_ps(x, y); });
}

inline __m512 only(__mmask16 there, __m512 value) {
  auto kept = bits<Array<float>>(value);
  for (int lane = 0; lane < lanes; ++lane)
    if ((there >> lane & 1) == 0) kept.at[lane] = 0;
  return bits<__m512>(kept);
}

inline __m512 maskz_sqrt_ps(__mmask16 there, __m512 x) {
  return only(there, by_halves<__m256>(x, x, [](__m256 half, __m256) { return _mm256_sqrt_ps(half); }));
}

// x 2^floor(n), rounded once: exact in float64 before that.
inline float scalef(float x, float n) {
  if (std::isnan(n)) return std::isnan(x) ? x : n;
  if (std::isinf(n)) {
    const float factor = n > 0 ? n : 0.0F;
    return std::isnan(x) ? factor : x * factor;
  }
  const double whole = std::floor(n < -600 ? -600.0 : n > 600 ? 600.0 : static_cast<double>(n));
  return static_cast<float>(static_cast<double>(x) *
                            bits<double>((static_cast<std::int64_t>(whole) + 1023) * (std::int64_t{1} << 52)));
}

inline __m512 maskz_scalef_ps(__mmask16 there, __m512 x, __m512 n) {
  auto scaled = bits<Array<float>>(x);
  const auto by = bits<Array<float>>(n);
  for (int lane = 0; lane < lanes; ++lane) scaled.at[lane] = scalef(scaled.at[lane], by.at[lane]);
  return only(there, bits<__m512>(scaled));
}

// Numbers of fewer bits.

template <int rounding>
__m256i cvtps_ph(__m512 values) {
  const auto halves = bits<Halves<__m256>>(values);
  const Halves<__m128i> made{_mm256_cvtps_ph(halves.low, rounding), _mm256_cvtps_ph(halves.high, rounding)};
  return bits<__m256i>(made);
}

inline __m512 cvtph_ps(__m256i values) {
  const auto halves = bits<Halves<__m128i>>(values);
  return bits<__m512>(Halves<__m256>{_mm256_cvtph_ps(halves.low), _mm256_cvtph_ps(halves.high)});
}

// To nearest, ties to even; Intel's convert_fp32_to_bfloat16: numbers below 2^-126 are noughts of their sign, and what
// is no number is a quiet one.
inline std::uint16_t bfloat16_of(std::uint32_t x) {
  const std::uint32_t exponent = x & 0x7f800000, top = x >> 16;
  if (exponent == 0) return static_cast<std::uint16_t>(top & 0x8000);
  if ((x & 0x7fffffff) > 0x7f800000) return static_cast<std::uint16_t>(top | 0x40);
  return static_cast<std::uint16_t>((x + 0x7fff + (top & 1)) >> 16);
}

inline __m256bh cvtneps_pbh(__m512 values) {
  const auto from = bits<Array<std::uint32_t>>(values);
  std::uint16_t rounded[lanes];
  for (int lane = 0; lane < lanes; ++lane) rounded[lane] = bfloat16_of(from.at[lane]);
  __m256bh made;
  std::memcpy(&made, rounded, sizeof made);
  return made;
}

inline __m512bh cvtne2ps_pbh(__m512 high, __m512 low) {
  return bits<__m512bh>(Halves<__m256bh>{cvtneps_pbh(low), cvtneps_pbh(high)});
}

// Products of pairs of bfloat16.

// Numbers below 2^-126 are noughts, given and made, and sums are rounded to nearest, whatever the thread has asked for.
class NoughtsForSmall {
 public:
  NoughtsForSmall() : before_(_mm_getcsr()) { _mm_setcsr(0x9fc0); }
  NoughtsForSmall(const NoughtsForSmall&) = delete;
  NoughtsForSmall& operator=(const NoughtsForSmall&) = delete;
  ~NoughtsForSmall() { _mm_setcsr(before_); }

 private:
  unsigned before_;
};

inline __m256 first_of(__m256i pairs) { return _mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)); }
inline __m256 second_of(__m256i pairs) {
  return _mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(static_cast<int>(0xffff0000))));
}

inline __m256i load_pairs(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }

// What is added where small numbers are noughts is a function of its own, and so is what sets and resets that around
// it: no arithmetic of theirs, nor of their callers', is moved from one side to the other.
[[gnu::noinline]] inline void add_pairs(float* sums, const float* a, const float* b) {
  for (int at = 0; at < lanes; at += 8) {
    const __m256i x = load_pairs(a + at), y = load_pairs(b + at);
    __m256 sum = _mm256_loadu_ps(sums + at);
    sum = _mm256_fmadd_ps(second_of(x), second_of(y), sum);
    sum = _mm256_fmadd_ps(first_of(x), first_of(y), sum);
    _mm256_storeu_ps(sums + at, sum);
  }
}

[[gnu::noinline]] inline void add_pairs_without_small(float* sums, const float* a, const float* b) {
  const NoughtsForSmall while_added;
  add_pairs(sums, a, b);
}

inline __m512 dpbf16_ps(__m512 sum, __m512bh a, __m512bh b) {
  auto sums = bits<Array<float>>(sum);
  const auto x = bits<Array<float>>(a), y = bits<Array<float>>(b);
  add_pairs_without_small(sums.at, x.at, y.at);
  return bits<__m512>(sums);
}

// Tiles.

struct Tile {
  alignas(64) float rows[16][16];
};

struct Tiles {
  bool configured = false;
  Tile at[8] = {};
};

// A thread's own.
inline thread_local Tiles tiles;

inline Tile& tile_of(int number) {
  if (!tiles.configured) fault("tiles are not configured");
  return tiles.at[number];
}

// All that the ops ask for is emulated: eight tiles of 16 rows of 64 bytes.
inline void ldtilecfg(const void* configuration) {
  unsigned char expected[64] = {1};
  for (int tile = 0; tile < 8; ++tile) expected[16 + 2 * tile] = 64, expected[48 + tile] = 16;
  if (std::memcmp(configuration, expected, sizeof expected) != 0) fault("tiles are configured otherwise");
  tiles = {.configured = true};
}

inline void tilezero(int tile) { tile_of(tile) = {}; }

inline void tileloadd(int tile, const void* from, std::int64_t stride) {
  for (int row = 0; row < 16; ++row)
    std::memcpy(tile_of(tile).rows[row], static_cast<const char*>(from) + row * stride, 64);
}

inline void tilestored(int tile, void* to, std::int64_t stride) {
  for (int row = 0; row < 16; ++row) std::memcpy(static_cast<char*>(to) + row * stride, tile_of(tile).rows[row], 64);
}

// First and second products of the pairs are summed apart, and added to each other, then to what stood there.
[[gnu::noinline]] inline void add_products(Tile& sums, const Tile& a, const Tile& b) {
  for (auto& sum : sums.rows) {
    const float* const pairs = a.rows[&sum - sums.rows];
    __m256 first[2] = {}, second[2] = {};
    for (int k = 0; k < 16; ++k) {
      std::int32_t pair;
      std::memcpy(&pair, pairs + k, sizeof pair);
      const __m256i x = _mm256_set1_epi32(pair);
      for (int half = 0; half < 2; ++half) {
        const __m256i y = load_pairs(b.rows[k] + 8 * half);
        first[half] = _mm256_fmadd_ps(first_of(x), first_of(y), first[half]);
        second[half] = _mm256_fmadd_ps(second_of(x), second_of(y), second[half]);
      }
    }
    for (int half = 0; half < 2; ++half) {
      float* const to = sum + 8 * half;
      _mm256_storeu_ps(to, _mm256_add_ps(_mm256_loadu_ps(to), _mm256_add_ps(first[half], second[half])));
    }
  }
}

[[gnu::noinline]] inline void tdpbf16ps(int sum, int a, int b) {
  if (sum == a || sum == b || a == b) fault("a tile is named twice");
  const NoughtsForSmall while_added;
  add_products(tile_of(sum), tile_of(a), tile_of(b));
}

}  // namespace isoflop::emulated
