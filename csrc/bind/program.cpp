#include "isoflop/program.hpp"

#include <pybind11/stl.h>

#include <array>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bind.hpp"
#include "named_op.hpp"

namespace {

using isoflop::Operand;
using isoflop::Program;
using isoflop::Region;
using isoflop::ops::Products;

// An address, then bytes to the next model, unit, part, thread, owner.
using Place = std::array<std::int64_t, 6>;

Region region_at(const Place& place) {
  return {reinterpret_cast<std::byte*>(place[0]), place[1], place[2], place[3], place[4], place[5]};
}

void add_call(Program& program, const std::string& op, const std::string& isa,
              const std::vector<std::pair<std::int32_t, std::int64_t>>& operands, std::vector<std::int64_t> sizes,
              std::vector<double> settings) {
  std::vector<Operand> given;
  for (const auto& [region, offset] : operands) given.push_back({region, offset});
  program.add_call(op_of(op, isa_of(isa)), std::move(given), std::move(sizes), std::move(settings));
}

}  // namespace

void register_program(py::module_& module) {
  py::class_<Program>(module, "Program", "Calls of ops, recorded to be run for many models; see csrc.")
      .def(py::init([](bool bfloat16) {
             return std::make_unique<Program>(bfloat16 ? Products::bfloat16 : Products::float32);
           }),
           "bfloat16"_a)
      .def(
          "add_region", [](Program& self, const Place& place) { return self.add_region(region_at(place)); }, "place"_a)
      .def(
          "move_region",
          [](Program& self, std::int32_t index, const Place& place) { self.move_region(index, region_at(place)); },
          "index"_a, "place"_a)
      .def("add_stage", &Program::add_stage, "units"_a, "parts"_a)
      .def("add_call", &add_call, "op"_a, "isa"_a, "operands"_a, "sizes"_a, "settings"_a)
      .def(
          "run",
          [](Program& self, const std::vector<std::int64_t>& models, int threads) {
            const py::gil_scoped_release release;
            self.run(models, threads);
          },
          "models"_a, "threads"_a)
      .def_property_readonly("calls", &Program::calls);
}
