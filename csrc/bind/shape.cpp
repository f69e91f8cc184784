#include "isoflop/shape.hpp"

#include <algorithm>
#include <string>

#include "bind.hpp"

using isoflop::Shape;

namespace {

// Sets the field of that name; false where the table has none.
template <class Table>
bool set(Shape& shape, const Table& table, std::string_view name, const py::handle& value) {
  const auto entry = std::ranges::find(table, name, &Table::value_type::name);
  if (entry == table.end()) return false;
  using Value = std::remove_reference_t<decltype(shape.*(entry->member))>;
  shape.*(entry->member) = value.cast<Value>();
  return true;
}

isoflop::Architecture find_architecture(std::string_view name) {
  const auto entry = std::ranges::find(isoflop::architecture_names, name);
  if (entry == isoflop::architecture_names.end())
    throw py::value_error("unknown architecture '" + std::string(name) + "'");
  return static_cast<isoflop::Architecture>(entry - isoflop::architecture_names.begin());
}

Shape make_shape(const py::kwargs& fields) {
  Shape shape;
  for (const auto& [key, value] : fields) {
    const auto name = key.cast<std::string>();
    if (name == "architecture") shape.architecture = find_architecture(value.cast<std::string>());
    else if (name == "capacity_factor") shape.capacity_factor = value.cast<double>();
    else if (!set(shape, isoflop::shape_fields, name, value) && !set(shape, isoflop::shape_flags, name, value))
      throw py::type_error("a core shape has no field '" + name + "'");
  }
  return shape;
}

}  // namespace

void register_shape(py::module_& module) {
  py::class_<Shape>(module, "Shape", "A resolved shape; isoflop.Shape validates and builds it.")
      .def(py::init(&make_shape))
      .def_property_readonly("d_attn", &isoflop::d_attn)
      .def_property_readonly("n_kaplan", &isoflop::n_kaplan)
      .def_property_readonly("n_embedding", &isoflop::n_embedding)
      .def_property_readonly("n_nonembedding", &isoflop::n_nonembedding)
      .def_property_readonly("n_params", &isoflop::n_params)
      .def_property_readonly("n_active_params", &isoflop::n_active_params)
      .def_property_readonly("n_active_nonembedding", &isoflop::n_active_nonembedding);
}
