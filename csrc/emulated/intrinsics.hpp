// Included before all else where the ops of an instruction set are compiled without it: the compiler's names for its
// instructions become the emulated ones, and what it says of itself where it has them is said for it.
#pragma once

#include "arithmetic.hpp"

// Some are macros of the compiler's where it does not optimise.
#undef _mm256_mask_storeu_epi16
#undef _mm512_castsi512_si256
#undef _mm512_cvtne2ps_pbh
#undef _mm512_cvtneps_pbh
#undef _mm512_cvtph_ps
#undef _mm512_cvtps_ph
#undef _mm512_dpbf16_ps
#undef _mm512_extracti64x4_epi64
#undef _mm512_load_si512
#undef _mm512_loadu_si512
#undef _mm512_mask_storeu_ps
#undef _mm512_maskz_loadu_ps
#undef _mm512_maskz_scalef_ps
#undef _mm512_maskz_sqrt_ps
#undef _mm512_max_ps
#undef _mm512_min_ps
#undef _mm512_permutexvar_epi16
#undef _mm512_shuffle_i32x4
#undef _mm512_storeu_si512
#undef _mm512_unpackhi_epi32
#undef _mm512_unpackhi_epi64
#undef _mm512_unpacklo_epi32
#undef _mm512_unpacklo_epi64

#define _mm256_mask_storeu_epi16 ::isoflop::emulated::mask_storeu_epi16
#define _mm512_castsi512_si256 ::isoflop::emulated::castsi512_si256
#define _mm512_cvtne2ps_pbh ::isoflop::emulated::cvtne2ps_pbh
#define _mm512_cvtneps_pbh ::isoflop::emulated::cvtneps_pbh
#define _mm512_cvtph_ps ::isoflop::emulated::cvtph_ps
#define _mm512_cvtps_ph(values, rounding) ::isoflop::emulated::cvtps_ph<(rounding)>(values)
#define _mm512_dpbf16_ps ::isoflop::emulated::dpbf16_ps
#define _mm512_extracti64x4_epi64 ::isoflop::emulated::extracti64x4_epi64
#define _mm512_load_si512 ::isoflop::emulated::load_si512
#define _mm512_loadu_si512 ::isoflop::emulated::loadu_si512
#define _mm512_mask_storeu_ps ::isoflop::emulated::mask_storeu_ps
#define _mm512_maskz_loadu_ps ::isoflop::emulated::maskz_loadu_ps
#define _mm512_maskz_scalef_ps ::isoflop::emulated::maskz_scalef_ps
#define _mm512_maskz_sqrt_ps ::isoflop::emulated::maskz_sqrt_ps
#define _mm512_max_ps ::isoflop::emulated::max_ps
#define _mm512_min_ps ::isoflop::emulated::min_ps
#define _mm512_permutexvar_epi16 ::isoflop::emulated::permutexvar_epi16
#define _mm512_shuffle_i32x4 ::isoflop::emulated::shuffle_i32x4
#define _mm512_storeu_si512 ::isoflop::emulated::storeu_si512
#define _mm512_unpackhi_epi32 ::isoflop::emulated::unpackhi_epi32
#define _mm512_unpackhi_epi64 ::isoflop::emulated::unpackhi_epi64
#define _mm512_unpacklo_epi32 ::isoflop::emulated::unpacklo_epi32
#define _mm512_unpacklo_epi64 ::isoflop::emulated::unpacklo_epi64

// ISOFLOP_EMULATED counts: 1 is avx512, 2 has bfloat16, 3 has tiles.
#define __AVX512F__ 1
#if ISOFLOP_EMULATED >= 2
#define __AVX512BF16__ 1
#endif
#if ISOFLOP_EMULATED >= 3
#define __AMX_BF16__ 1
#endif
