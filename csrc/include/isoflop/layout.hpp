// How a training run is laid out over devices, and what one device holds of a shape.
#pragma once

#include <cstdint>

#include "isoflop/shape.hpp"

namespace isoflop {

/// dp replicas, each cut into pp pipeline stages of tp devices: dp tp pp devices.
struct Layout {
  std::int64_t dp = 1;
  std::int64_t tp = 1;
  std::int64_t pp = 1;
  std::int64_t zero = 0;           // 0..3: what the replicas share out (Rajbhandari et al. 2020)
  std::int64_t microbatches = 1;   // of one replica, a step
  bool sequence_parallel = false;  // norms and dropouts are cut along the sequence (Korthikanti et al. 2022)
};

/// Parameters on one device of a stage. Matrices and the biases of their outputs are cut tp ways by whole heads and
/// hidden columns, token tables by rows; norms, learned positions and the biases of the two maps back to d_model are
/// on every device.
struct StageParams {
  std::int64_t layers = 0;       // blocks of the stage
  std::int64_t block = 0;        // parameters of one block
  std::int64_t tables = 0;       // tokens and learned positions: first stage
  std::int64_t unembedding = 0;  // last stage; a tied one is there a second time where pp > 1
  std::int64_t final_norm = 0;   // last stage

  [[nodiscard]] std::int64_t total() const;
  /// The largest piece that is used at once: a block or a table.
  [[nodiscard]] std::int64_t largest_unit() const;
};

/// What a device of `stage`, counted from 0, holds: the first n_layer mod pp stages have one block more than the
/// others. Throws std::overflow_error beyond int64.
StageParams stage_params(const Shape& shape, const Layout& layout, std::int64_t stage);

/// value / parts, rounded up.
constexpr std::int64_t share(std::int64_t value, std::int64_t parts) noexcept {
  return value / parts + (value % parts != 0 ? 1 : 0);
}

}  // namespace isoflop
