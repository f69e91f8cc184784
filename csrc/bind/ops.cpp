#include <pybind11/stl.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "bind.hpp"
#include "named_op.hpp"

using namespace isoflop::ops;

Isa isa_of(const std::string& name) {
  for (const Isa isa : usable_isas())
    if (isa_names[static_cast<std::size_t>(isa)] == name) return isa;
  throw std::invalid_argument("this CPU runs no " + name);
}

const Op& op_of(const std::string& name, Isa isa) {
  const Op* op = find_op(name, isa);
  if (op == nullptr) throw std::invalid_argument("there is no op " + name);
  return *op;
}

namespace {

std::vector<std::string> usable_names() {
  std::vector<std::string> names;
  for (const Isa isa : usable_isas()) names.emplace_back(isa_names[static_cast<std::size_t>(isa)]);
  return names;
}

// Addresses of the first model's tensors, and how many bytes further each tensor's next model is.
void run_op(const std::string& name, const std::string& isa, const std::vector<std::uintptr_t>& tensors,
            const std::vector<std::int64_t>& strides, const std::vector<std::int64_t>& sizes,
            const std::vector<double>& settings, std::int64_t models, bool bfloat16) {
  const Op& op = op_of(name, isa_of(isa));
  refuse_counts(op, tensors.size(), sizes.size(), settings.size());
  refuse_counts(op, strides.size(), sizes.size(), settings.size());
  const py::gil_scoped_release release;
  Context context;
  context.products = bfloat16 ? Products::bfloat16 : Products::float32;
  std::vector<void*> of_model(tensors.size());
  for (std::int64_t model = 0; model < models; ++model) {
    for (std::size_t index = 0; index < tensors.size(); ++index)
      of_model[index] =
          tensors[index] == 0 ? nullptr : reinterpret_cast<std::byte*>(tensors[index]) + model * strides[index];
    op.run({of_model.data(), sizes.data(), settings.data()}, context);
    context.scratch.clear();
  }
}

}  // namespace

void register_ops(py::module_& module) {
  module.def("usable_isas", &usable_names);
  module.def("run_op", &run_op, "op"_a, "isa"_a, "tensors"_a, "strides"_a, "sizes"_a, "settings"_a, "models"_a,
             "bfloat16"_a);
}
