#include "isoflop/columns.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "bind.hpp"

namespace {

using Whole = py::array_t<std::int64_t, py::array::c_style>;

struct Doubles {
  std::unique_ptr<double[]> values;
  std::size_t size = 0;
};

// The memory of the last large result that Python let go, for the next one: a search over shapes counts again and
// again, and pages new to the process cost more a row, some 3 ns, than half the counting.
class Spare {
 public:
  Doubles take(std::size_t size) {
    const std::scoped_lock locked(mutex_);
    if (size <= kept_.size && kept_.size <= 2 * size) return std::exchange(kept_, {});
    return {std::make_unique_for_overwrite<double[]>(size), size};
  }

  void give(Doubles doubles) noexcept {
    const std::scoped_lock locked(mutex_);
    if (doubles.size <= most) kept_ = std::move(doubles);
  }

 private:
  static constexpr std::size_t most = std::size_t{1} << 23;  // 64 MiB
  std::mutex mutex_;
  Doubles kept_;
};

py::array_t<double> make_result(std::size_t count) {
  constexpr std::size_t large = std::size_t{1} << 14;  // whose pages the system takes back
  if (count < large) return py::array_t<double>(static_cast<py::ssize_t>(count));
  static Spare* const spare = new Spare;  // outlives the arrays of an interpreter that ends
  auto owned = std::make_unique<Doubles>(spare->take(count));
  double* const values = owned->values.get();
  const py::capsule owner(owned.get(), [](void* of) {
    const std::unique_ptr<Doubles> doubles(static_cast<Doubles*>(of));
    spare->give(std::move(*doubles));
  });
  (void)owned.release();
  return py::array_t<double>(static_cast<py::ssize_t>(count), values, owner);
}

// The FLOPs of each row; or the index of the first row that is no shape.
std::variant<py::array_t<double>, std::size_t> flops_columns(const isoflop::Shape& common,
                                                             const std::map<std::string, Whole>& columns,
                                                             std::string_view convention,
                                                             const std::variant<std::int64_t, Whole>& seq,
                                                             std::size_t count, std::size_t threads) {
  std::vector<isoflop::Column> fields;
  for (const auto& [name, values] : columns) {
    const auto field = std::ranges::find(isoflop::shape_fields, name, &isoflop::Field::name);
    if (field == isoflop::shape_fields.end()) throw py::value_error("no column of shapes is called '" + name + "'");
    if (values.ndim() != 1 || values.size() != static_cast<py::ssize_t>(count))
      throw py::value_error("columns must be one-dimensional and equally long");
    fields.push_back({static_cast<std::size_t>(field - isoflop::shape_fields.begin()), values.data()});
  }
  const Whole* lengths = std::get_if<Whole>(&seq);
  if (lengths != nullptr && lengths->size() != static_cast<py::ssize_t>(count))
    throw py::value_error("columns must be one-dimensional and equally long");
  const isoflop::Convention& counted = isoflop::find_convention(convention);
  const isoflop::Rows rows{count, common, fields, lengths != nullptr ? lengths->data() : nullptr,
                           lengths != nullptr ? 0 : std::get<std::int64_t>(seq)};
  py::array_t<double> flops = make_result(count);
  double* out = flops.mutable_data();
  std::optional<std::size_t> refused;
  {
    const py::gil_scoped_release released;
    refused = isoflop::training_flops(rows, counted, threads, out);
  }
  if (refused) return *refused;
  return flops;
}

}  // namespace

void register_columns(py::module_& module) {
  module.def("flops_columns", &flops_columns, "common"_a, "columns"_a, "convention"_a, "seq"_a, "count"_a, "threads"_a);
}
