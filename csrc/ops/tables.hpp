// The table of ops of each instruction set, as ops.cpp fills it once compiled for each.
#pragma once

#include <span>

#include "op.hpp"

namespace isoflop::ops {

namespace portable {
extern const std::span<const Op> table;
}
#ifdef ISOFLOP_X86_OPS
namespace avx2 {
extern const std::span<const Op> table;
}
namespace avx512 {
extern const std::span<const Op> table;
}
namespace avx512_bf16 {
extern const std::span<const Op> table;
}
namespace amx {
extern const std::span<const Op> table;
}
#endif

}  // namespace isoflop::ops
