// What every binding file includes: pybind11, and the list of topics that module.cpp registers.
#pragma once

#include <pybind11/pybind11.h>

namespace py = pybind11;
using namespace pybind11::literals;

void register_shape(py::module_& module);
void register_flops(py::module_& module);
void register_graph(py::module_& module);
void register_columns(py::module_& module);
void register_cpu(py::module_& module);
void register_enumerate(py::module_& module);
void register_memory(py::module_& module);
void register_ops(py::module_& module);
void register_program(py::module_& module);
void register_roofline(py::module_& module);
void register_tensors(py::module_& module);
