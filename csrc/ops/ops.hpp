// The ops of one instruction set: this header and what includes it are compiled for each, in a namespace of its own.
//
// No function of the standard library that a compiler may emit out of line is called here: the linker keeps one copy of
// such a function, and must not keep one for a wider instruction set than the machine's.
#pragma once

#include "op.hpp"

#ifndef ISOFLOP_ISA
#define ISOFLOP_ISA portable
#endif

namespace isoflop::ops::ISOFLOP_ISA {

void activation(const Arguments& arguments, Context& context);
void activation_backward(const Arguments& arguments, Context& context);
void adafactor(const Arguments& arguments, Context& context);
void adamw(const Arguments& arguments, Context& context);
void advance(const Arguments& arguments, Context& context);
void attention(const Arguments& arguments, Context& context);
void attention_backward(const Arguments& arguments, Context& context);
void average(const Arguments& arguments, Context& context);
void dropout(const Arguments& arguments, Context& context);
void embed(const Arguments& arguments, Context& context);
void embed_backward(const Arguments& arguments, Context& context);
void gradient_squares(const Arguments& arguments, Context& context);
void linear(const Arguments& arguments, Context& context);
void linear_backward(const Arguments& arguments, Context& context);
void linear_cross_entropy(const Arguments& arguments, Context& context);
void mlp(const Arguments& arguments, Context& context);
void mlp_backward(const Arguments& arguments, Context& context);
void moe(const Arguments& arguments, Context& context);
void moe_backward(const Arguments& arguments, Context& context);
void moe_route(const Arguments& arguments, Context& context);
void moe_route_backward(const Arguments& arguments, Context& context);
void muon(const Arguments& arguments, Context& context);
void norm(const Arguments& arguments, Context& context);
void norm_backward(const Arguments& arguments, Context& context);
void norm_qkv(const Arguments& arguments, Context& context);
void norm_qkv_backward(const Arguments& arguments, Context& context);
void scale(const Arguments& arguments, Context& context);

}  // namespace isoflop::ops::ISOFLOP_ISA
