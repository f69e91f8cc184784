#include "isoflop/graph.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "bind.hpp"
#include "isoflop/shape_graph.hpp"

using isoflop::Cost;
using isoflop::Graph;
using isoflop::Op;

namespace {

// Of records as a trace keeps them: ((kind, dtype, out dtype, dims...), phase, module).
Op read_op(const py::tuple& record) {
  const auto op = record[0].cast<py::tuple>();
  if (op.size() < 3 || op.size() > 3 + std::tuple_size_v<isoflop::Dims>)
    throw std::invalid_argument("an operation is (kind, dtype, out dtype, up to 8 dimensions)");
  Op read{isoflop::Kind{isoflop::find_kind(op[0].cast<std::string_view>())},
          isoflop::Phase{isoflop::find_phase(record[1].cast<std::string_view>())},
          isoflop::find_dtype(op[1].cast<std::string_view>()),
          isoflop::find_dtype(op[2].cast<std::string_view>()),
          record[2].cast<std::uint32_t>(),
          {}};
  for (std::size_t i = 3; i < op.size(); ++i) read.dims[i - 3] = op[i].cast<std::int64_t>();
  return read;
}

void extend(Graph& graph, const py::list& records) {
  for (const py::handle record : records) graph.add(read_op(record.cast<py::tuple>()));
}

template <class Value>
py::list column(const Graph& graph, Value value) {
  py::list values;
  for (const Op& op : graph.ops()) values.append(value(op));
  return values;
}

template <class Value>
py::array_t<double> number_column(const Graph& graph, Value value) {
  py::array_t<double> values(static_cast<py::ssize_t>(graph.ops().size()));
  double* next = values.mutable_data();
  for (const Op& op : graph.ops()) *next++ = value(isoflop::cost(op));
  return values;
}

py::array_t<std::int64_t> dims_column(const Graph& graph) {
  const auto width = static_cast<py::ssize_t>(std::tuple_size_v<isoflop::Dims>);
  py::array_t<std::int64_t> values({static_cast<py::ssize_t>(graph.ops().size()), width});
  std::int64_t* next = values.mutable_data();
  for (const Op& op : graph.ops())
    for (const std::int64_t dim : op.dims) *next++ = dim;
  return values;
}

std::string_view kind_name(const Op& op) { return isoflop::formulas[static_cast<std::size_t>(op.kind)].kind; }
std::string_view phase_name(const Op& op) { return isoflop::phase_names[static_cast<std::size_t>(op.phase)]; }

py::dict columns(const Graph& graph) {
  return py::dict("kind"_a = column(graph, kind_name), "phase"_a = column(graph, phase_name),
                  "module"_a = column(graph, [&graph](const Op& op) { return graph.modules()[op.module]; }),
                  "dtype"_a = column(graph, [](const Op& op) { return isoflop::dtypes[op.dtype].name; }),
                  "out_dtype"_a = column(graph, [](const Op& op) { return isoflop::dtypes[op.out].name; }),
                  "dims"_a = dims_column(graph),
                  "products"_a = number_column(graph, [](const Cost& cost) { return cost.products; }),
                  "kept"_a = number_column(graph, [](const Cost& cost) { return cost.kept; }),
                  "vector"_a = number_column(graph, [](const Cost& cost) { return cost.vector; }),
                  "bytes"_a = number_column(graph, [](const Cost& cost) { return cost.bytes; }));
}

py::list totals(const Graph& graph) {
  py::list rows;
  for (const isoflop::Total& total : graph.totals())
    rows.append(py::make_tuple(kind_name(total.key), phase_name(total.key), graph.modules()[total.key.module],
                               isoflop::dtypes[total.key.dtype].name, total.count, total.cost.products, total.cost.kept,
                               total.cost.vector, total.cost.bytes));
  return rows;
}

}  // namespace

void register_graph(py::module_& module) {
  py::class_<Graph>(module, "Graph", "The operations of a model; isoflop.tracing fills and reads it.")
      .def(py::init<>())
      .def("module", &Graph::module, "name"_a)
      .def("extend", &extend, "records"_a)
      .def("columns", &columns)
      .def("totals", &totals)
      .def("__len__", [](const Graph& graph) { return graph.ops().size(); });

  py::dict kinds;
  for (const isoflop::Formula& formula : isoflop::formulas) kinds[py::cast(formula.kind)] = formula.dims;
  module.attr("KINDS") = kinds;
  py::dict dtypes;
  for (const isoflop::Dtype& dtype : isoflop::dtypes) dtypes[py::cast(dtype.name)] = dtype.bytes;
  module.attr("DTYPES") = dtypes;

  module.def(
      "graph_of",
      [](const isoflop::Shape& shape, std::int64_t batch, std::int64_t seq, std::string_view dtype) {
        return isoflop::graph_of(shape, {batch, seq}, dtype);
      },
      "shape"_a, "batch"_a, "seq"_a, "dtype"_a);
}
