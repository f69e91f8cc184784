#include "isoflop/cpu.hpp"

#include <pybind11/stl.h>

#include "bind.hpp"

void register_cpu(py::module_& module) { module.def("cpu_features", &isoflop::cpu_features); }
