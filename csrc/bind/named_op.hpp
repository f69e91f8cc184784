// Ops and instruction sets by the names that Python gives; std::invalid_argument for one that is not there.
#pragma once

#include <string>

#include "op.hpp"

isoflop::ops::Isa isa_of(const std::string& name);

const isoflop::ops::Op& op_of(const std::string& name, isoflop::ops::Isa isa);
