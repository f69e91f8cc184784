// The operations that one training step of a Shape runs, as a graph: the same numbers as the terms, one op at a time.
#pragma once

#include <string_view>

#include "isoflop/graph.hpp"
#include "isoflop/shape.hpp"
#include "isoflop/terms.hpp"

namespace isoflop {

/// Forward and backward pass of `tokens` and one AdamW step of every parameter, all in `dtype`; modules are named as in
/// isoflop.train.model. Attention is fused and causal: its backward pass makes the scores again.
/// Throws std::invalid_argument for an unknown dtype and for a shape that is no decoder of plain attention and MLPs,
/// and std::overflow_error where a count exceeds int64.
Graph graph_of(const Shape& shape, Tokens tokens, std::string_view dtype);

}  // namespace isoflop
