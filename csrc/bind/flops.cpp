#include <pybind11/native_enum.h>
#include <pybind11/stl.h>

#include <string_view>
#include <vector>

#include "bind.hpp"
#include "isoflop/convention.hpp"
#include "isoflop/terms.hpp"

using isoflop::Convention;
using isoflop::Pairs;
using isoflop::Shape;

namespace {

std::vector<std::string_view> selected_terms(const Convention& convention) {
  std::vector<std::string_view> names;
  for (std::size_t i = 0; i < isoflop::term_names.size(); ++i)
    if ((convention.terms >> i & 1U) != 0) names.push_back(isoflop::term_names[i]);
  return names;
}

py::dict forward_terms(const Shape& shape, std::int64_t batch, std::int64_t seq, Pairs pairs) {
  const isoflop::Terms terms = isoflop::forward_terms(shape, {batch, seq}, pairs);
  py::dict named;
  for (std::size_t i = 0; i < terms.size(); ++i) named[py::cast(isoflop::term_names[i])] = terms[i];
  return named;
}

py::list kaplan_table1(const Shape& shape, std::int64_t seq) {
  py::list rows;
  for (const isoflop::Row& row : isoflop::kaplan_table1(shape, seq))
    rows.append(py::make_tuple(row.operation, row.params, row.flops_per_token));
  return rows;
}

double forward_flops(const Shape& shape, std::string_view convention, std::int64_t batch, std::int64_t seq) {
  return isoflop::forward_flops(shape, isoflop::find_convention(convention), {batch, seq});
}

double training_flops(const Shape& shape, std::string_view convention, std::int64_t batch, std::int64_t seq) {
  return isoflop::training_flops(shape, isoflop::find_convention(convention), {batch, seq});
}

}  // namespace

void register_flops(py::module_& module) {
  py::native_enum<Pairs>(module, "Pairs", "enum.Enum", "Which query-key pairs of a sequence are counted.")
      .value("NONE", Pairs::none)
      .value("FULL", Pairs::full)
      .value("CAUSAL", Pairs::causal)
      .value("HALVED", Pairs::halved)
      .finalize();

  py::native_enum<isoflop::Params>(module, "Params", "enum.Enum", "Which parameters are charged 2 FLOPs a token.")
      .value("NONE", isoflop::Params::none)
      .value("KAPLAN", isoflop::Params::kaplan)
      .value("TOTAL", isoflop::Params::total)
      .finalize();

  py::class_<Convention>(module, "Convention", "A way of counting training FLOPs.")
      .def_readonly("name", &Convention::name)
      .def_readonly("params", &Convention::params)
      .def_property_readonly("terms", &selected_terms)
      .def_readonly("pairs", &Convention::pairs)
      .def_readonly("training_factor", &Convention::training_factor)
      .def_readonly("source", &Convention::source);

  py::list table;
  for (const Convention& convention : isoflop::conventions) table.append(py::cast(convention));
  module.attr("CONVENTIONS") = py::tuple(table);

  module.def("attention_pairs", &isoflop::attention_pairs, "seq"_a, "pairs"_a);
  module.def("forward_terms", &forward_terms, "shape"_a, "batch"_a, "seq"_a, "pairs"_a);
  module.def("kaplan_table1", &kaplan_table1, "shape"_a, "seq"_a);
  module.def("forward_flops", &forward_flops, "shape"_a, "convention"_a, "batch"_a, "seq"_a);
  module.def("training_flops", &training_flops, "shape"_a, "convention"_a, "batch"_a, "seq"_a);
}
