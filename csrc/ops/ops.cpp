#include "ops.hpp"

#include <span>

namespace isoflop::ops::ISOFLOP_ISA {

namespace {

constexpr Op ops[] = {
    {"linear", 6, 3, 0, linear},
    {"linear_backward", 7, 3, 0, linear_backward},
    {"mlp", 9, 3, 4, mlp},
    {"mlp_backward", 16, 3, 4, mlp_backward},
    {"norm", 8, 2, 2, norm},
    {"norm_qkv", 13, 6, 1, norm_qkv},
    {"norm_qkv_backward", 15, 6, 0, norm_qkv_backward},
};

}  // namespace

extern const std::span<const Op> table;  // declared in tables.hpp by the name of the instruction set
const std::span<const Op> table{ops};

}  // namespace isoflop::ops::ISOFLOP_ISA
