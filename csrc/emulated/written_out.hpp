// What instructions.hpp of the ops writes out, emulated.
#pragma once

#include "arithmetic.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

inline Vector pick(const float (&of)[32], Vector which) { return emulated::permutex2var_ps(of, which); }

template <class Configuration>
void configure(const Configuration& configuration) {
  emulated::ldtilecfg(&configuration);
}

template <int tile>
void clear_tile() {
  emulated::tilezero(tile);
}

template <int tile>
void load_tile(const float* from, std::int64_t apart) {
  emulated::tileloadd(tile, from, apart * 4);
}

template <int tile>
void store_tile(float* to, std::int64_t apart) {
  emulated::tilestored(tile, to, apart * 4);
}

template <int sum, int a, int b>
void multiply_tile() {
  emulated::tdpbf16ps(sum, a, b);
}

inline void wake_tiles() { multiply_tile<3, 4, 6>(); }

}  // namespace isoflop::ops::ISOFLOP_ISA
