// The instruction sets this CPU has and this operating system lets a program use.
#pragma once

#include <string>
#include <vector>

namespace isoflop {

/// Names as /proc/cpuinfo spells them (avx2, avx512f, amx_bf16, ...), oldest first; empty where the CPU is not x86-64.
std::vector<std::string> cpu_features();

}  // namespace isoflop
