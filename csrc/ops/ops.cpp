#include "ops.hpp"

#include <span>

namespace isoflop::ops::ISOFLOP_ISA {

namespace {

constexpr Op ops[] = {
    {"activation", 2, 2, 1, activation},
    {"activation_backward", 3, 2, 1, activation_backward},
    {"adafactor", 8, 5, 0, adafactor},
    {"adamw", 10, 5, 0, adamw},
    {"advance", 1, 0, 0, advance},
    {"attention", 10, 17, 4, attention},
    {"attention_backward", 14, 29, 4, attention_backward},
    {"average", 3, 1, 0, average},
    {"dropout", 7, 1, 1, dropout},
    {"embed", 4, 4, 0, embed},
    {"embed_backward", 5, 5, 0, embed_backward},
    {"gradient_squares", 2, 3, 0, gradient_squares},
    {"linear", 6, 3, 0, linear},
    {"linear_backward", 7, 3, 0, linear_backward},
    {"linear_cross_entropy", 15, 3, 1, linear_cross_entropy},
    {"mlp", 10, 3, 4, mlp},
    {"mlp_backward", 17, 3, 4, mlp_backward},
    {"moe", 17, 6, 1, moe},
    {"moe_backward", 28, 6, 1, moe_backward},
    {"moe_route", 12, 5, 1, moe_route},
    {"moe_route_backward", 12, 4, 1, moe_route_backward},
    {"muon", 6, 5, 2, muon},
    {"norm", 8, 2, 2, norm},
    {"norm_backward", 9, 2, 0, norm_backward},
    {"norm_qkv", 11, 6, 1, norm_qkv},
    {"norm_qkv_backward", 13, 6, 0, norm_qkv_backward},
    {"scale", 3, 1, 0, scale},
};

}  // namespace

extern const std::span<const Op> table;  // declared in tables.hpp by the name of the instruction set
const std::span<const Op> table{ops};

}  // namespace isoflop::ops::ISOFLOP_ISA
