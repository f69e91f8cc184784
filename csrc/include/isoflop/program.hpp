// A training step of many models as recorded calls of ops, run again and again without the language that recorded them.
//
// A program is stages, one after the other for each model; a stage is units that any thread may take; a unit is parts,
// one after the other, and of each part all calls. One thread begins a model and goes through its stages; when no model
// is left to begin, idle threads take units of those under way. What a unit computes and where it is stored depends
// on neither the number of threads nor on which of them took it.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <vector>

#include "isoflop/pool.hpp"
#include "op.hpp"

namespace isoflop {

// Memory of one kind: where that of the first model's first part is, and how many bytes further that of another is.
// ``per_thread``: of the thread that runs the call; ``per_owner``: of the thread that began the model.
struct Region {
  std::byte* base;
  std::int64_t per_model, per_unit, per_part, per_thread, per_owner;
};

struct Operand {
  std::int32_t region;  // below 0: an optional tensor that is not there
  std::int64_t offset;  // bytes
};

class Program {
 public:
  explicit Program(ops::Products products) : products_(products) {}

  // The number of the region, for operands.
  std::int32_t add_region(const Region& region);

  // Another place for what is read and written from the next run on.
  void move_region(std::int32_t index, const Region& region);

  void add_stage(std::int64_t units, std::int64_t parts);

  // Of the last stage added.
  void add_call(const ops::Op& op, std::vector<Operand> operands, std::vector<std::int64_t> sizes,
                std::vector<double> settings);

  // Every stage of the models given, each of which stands there once. Throws std::logic_error where a run of this
  // program is under way, and what an op has thrown, once all threads are done.
  void run(std::span<const std::int64_t> models, int threads);

  [[nodiscard]] std::size_t calls() const;

 private:
  struct Call {
    ops::Run run;
    std::vector<Operand> operands;
    std::vector<std::int64_t> sizes;
    std::vector<double> settings;
  };
  struct Stage {
    std::int64_t units, parts;
    std::vector<Call> calls;
  };
  // What a thread has of its own, on cache lines of its own.
  struct alignas(64) Worker {
    ops::Context context;
    std::vector<void*> tensors;
    std::int64_t model = -1;
    std::size_t stage = 0;
  };
  class Flights;

  [[nodiscard]] std::int64_t most_units() const;
  void work(int thread, Flights& flights, std::span<const std::int64_t> models);
  void run_unit(int thread, int owner, std::int64_t model, std::size_t stage, std::int64_t unit);

  ops::Products products_;
  std::vector<Region> regions_;
  std::vector<Stage> stages_;
  std::vector<Worker> workers_;
  Pool pool_;
  std::mutex running_;
};

}  // namespace isoflop
