// Tiles that have multiplied nothing for some 2000 cycles fall asleep, and take some 900 to wake, as measured on
// Sapphire Rapids and its successors: work of vectors between two products calls this every few hundred cycles.
#pragma once

#include "instructions.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

// A product that nothing reads, where there are tiles: once they are configured, and hold nothing that is needed.
inline void stay_awake([[maybe_unused]] Products products) {
#if defined(__AMX_BF16__)
  if (products == Products::bfloat16) wake_tiles();
#endif
}

}  // namespace isoflop::ops::ISOFLOP_ISA
