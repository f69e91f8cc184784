#include "bind.hpp"

PYBIND11_MODULE(_core, module, py::mod_gil_not_used()) {
  module.doc() = "Exact counts of Transformer shapes; see isoflop.shape and isoflop.counting for the public face.";
  module.attr("__version__") = ISOFLOP_VERSION;
  register_shape(module);
  register_flops(module);
  register_graph(module);
  register_columns(module);
  register_cpu(module);
  register_enumerate(module);
  register_memory(module);
  register_ops(module);
  register_program(module);
  register_roofline(module);
  register_tensors(module);
}
