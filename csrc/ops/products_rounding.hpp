// Rounding to bfloat16, to nearest, ties to even: by the CPU's instruction, or by the same arithmetic on the bits.
#pragma once

#include "simd.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

typedef std::uint32_t Bits __attribute__((vector_size(lanes * sizeof(std::uint32_t))));

// The float32 nearest to `values` whose lower half is nought.
inline Vector round_to_bfloat16(Vector values) {
  const auto bits = reinterpret_cast<Bits>(values);
  const Bits nearest = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000;
  const Bits quiet = (bits | 0x400000) & 0xffff0000;
  const Bits chosen = values == values ? nearest : quiet;
  return reinterpret_cast<Vector>(chosen);
}

#if defined(__AVX512BF16__)

// Two rows, one behind the other.
inline __m512i round_rows(Vector first, Vector second) {
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second, first));
}

// Lane j of the first and lane j of the second of two rounded rows, as a pair: bfloat16 at 2j and 2j + 1.
inline __m512i pairs_of(__m512i rows) {
  alignas(64) static constexpr std::uint16_t order[32] = {0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                                          8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  return _mm512_permutexvar_epi16(_mm512_load_si512(order), rows);
}

inline __m512i pair_rows(Vector first, Vector second) { return pairs_of(round_rows(first, second)); }

// 32 floats that stand side by side, the first `count` of them, as 16 pairs.
inline __m512i pair_columns(const float* from, std::int64_t count) {
  const Vector first = load(from, least(count, lanes)),
               second = count > lanes ? load(from + lanes, count - lanes) : Vector{};
  const __m512bh both = _mm512_cvtne2ps_pbh(second, first);
  return reinterpret_cast<__m512i>(both);
}

// 16 x 16 elements of 32 bits: row i of `from` becomes column i of `to`, whose rows lie so many elements apart.
inline void transpose(const __m512i (&from)[16], float* to, std::int64_t apart) {
  __m512i pairs[16], fours[16];
  for (int i = 0; i < 16; i += 2) {
    pairs[i] = _mm512_unpacklo_epi32(from[i], from[i + 1]);
    pairs[i + 1] = _mm512_unpackhi_epi32(from[i], from[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    for (int j = 0; j < 2; ++j) {
      fours[i + 2 * j] = _mm512_unpacklo_epi64(pairs[i + j], pairs[i + j + 2]);
      fours[i + 2 * j + 1] = _mm512_unpackhi_epi64(pairs[i + j], pairs[i + j + 2]);
    }
  }
  // fours[4 r + c] holds, in 128-bit lane l, column 4 l + c of rows 4 r to 4 r + 3.
  for (int c = 0; c < 4; ++c) {
    const __m512i low02 = _mm512_shuffle_i32x4(fours[c], fours[4 + c], 0x88);
    const __m512i low13 = _mm512_shuffle_i32x4(fours[c], fours[4 + c], 0xdd);
    const __m512i high02 = _mm512_shuffle_i32x4(fours[8 + c], fours[12 + c], 0x88);
    const __m512i high13 = _mm512_shuffle_i32x4(fours[8 + c], fours[12 + c], 0xdd);
    _mm512_storeu_si512(to + apart * c, _mm512_shuffle_i32x4(low02, high02, 0x88));
    _mm512_storeu_si512(to + apart * (4 + c), _mm512_shuffle_i32x4(low13, high13, 0x88));
    _mm512_storeu_si512(to + apart * (8 + c), _mm512_shuffle_i32x4(low02, high02, 0xdd));
    _mm512_storeu_si512(to + apart * (12 + c), _mm512_shuffle_i32x4(low13, high13, 0xdd));
  }
}

#endif

}  // namespace isoflop::ops::ISOFLOP_ISA
