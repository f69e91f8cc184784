// Instructions that are written out: the compilers' intrinsics do not tell them what memory tiles read and write, and
// have a permutation copy a register for each of its tables, where these could come from the cache.
#pragma once

#include "simd.hpp"

#if defined(ISOFLOP_EMULATED)

#include "../emulated/written_out.hpp"

#else

namespace isoflop::ops::ISOFLOP_ISA {

#if defined(__AVX512F__)

// Of 32 numbers those that the last five bits of the lanes say.
inline Vector pick(const float (&of)[32], Vector which) {
  Vector found;
  asm("vmovaps %2, %0\n\tvpermt2ps %3, %1, %0"
      : "=&v"(found)
      : "v"(which), "m"(*reinterpret_cast<const Vector*>(of)), "m"(*reinterpret_cast<const Vector*>(of + 16)));
  return found;
}

#endif

#if defined(__AMX_BF16__)

// `configuration` is the 64 bytes that the instruction takes.
template <class Configuration>
void configure(const Configuration& configuration) {
  asm volatile("ldtilecfg %0" : : "m"(configuration));
}

template <int tile>
void clear_tile() {
  asm volatile("tilezero %%tmm%c0" : : "i"(tile));
}

template <int tile>
void load_tile(const float* from, std::int64_t apart) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(apart * 4), "i"(tile) : "memory");
}

template <int tile>
void store_tile(float* to, std::int64_t apart) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(apart * 4), "i"(tile) : "memory");
}

template <int sum, int a, int b>
void multiply_tile() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sum), "i"(a), "i"(b));
}

// multiply_tile<3, 4, 6>(), without operands that compilers would make room for.
inline void wake_tiles() { asm volatile("tdpbf16ps %tmm6, %tmm4, %tmm3"); }

#endif

}  // namespace isoflop::ops::ISOFLOP_ISA

#endif
