#include "isoflop/program.hpp"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

#if defined(__SSE__)
#include <xmmintrin.h>
#endif

namespace isoflop {

namespace {

// Numbers too small for float32's full precision are nought while a program runs: they cost a hundred times as much.
class FlushTiny {
 public:
#if defined(__SSE__)
  FlushTiny() : before_(_mm_getcsr()) { _mm_setcsr(before_ | flush_to_zero | denormals_are_zero); }
  ~FlushTiny() { _mm_setcsr(before_); }
#else
  FlushTiny() = default;
#endif
  FlushTiny(const FlushTiny&) = delete;
  FlushTiny& operator=(const FlushTiny&) = delete;

 private:
#if defined(__SSE__)
  static constexpr unsigned flush_to_zero = 0x8000, denormals_are_zero = 0x0040;
  unsigned before_;
#endif
};

}  // namespace

// How far each model of a run is. Nothing in here is ever set back: whoever sees an old state takes nothing.
class Program::Flights {
 public:
  Flights(std::size_t models, const std::vector<Stage>& stages)
      : stages_(stages), flights_(models), counters_(models * stages.size()) {}

  std::size_t begin_next() { return begun_.fetch_add(1, std::memory_order_relaxed); }

  // All stages of a model, for the thread that began it.
  template <class Unit>
  void fly(std::size_t index, int owner, const Unit& unit) {
    Flight& flight = flights_[index];
    flight.owner = owner;
    for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
      flight.open.store(static_cast<int>(stage), std::memory_order_release);
      while (take(index, stage, unit)) {
      }
      while (counter(index, stage).done.load(std::memory_order_acquire) < stages_[stage].units)
        std::this_thread::yield();
    }
    flight.open.store(-1, std::memory_order_release);
    finished_.fetch_add(1, std::memory_order_release);
  }

  // Units of what others have begun, until there is nothing left to do.
  template <class Unit>
  void help(const Unit& unit) {
    while (finished_.load(std::memory_order_acquire) < flights_.size()) {
      bool helped = false;
      for (std::size_t index = 0; index < flights_.size(); ++index) {
        const int stage = flights_[index].open.load(std::memory_order_acquire);
        helped |= stage >= 0 && take(index, static_cast<std::size_t>(stage), unit);
      }
      if (!helped) std::this_thread::yield();
    }
  }

  // What the first unit to fail has thrown; once all threads are back.
  void rethrow() const {
    if (thrown_) std::rethrow_exception(thrown_);
  }

 private:
  struct Flight {
    std::atomic<int> open{-1};  // the stage whose units may be taken
    int owner = 0;
  };
  struct Counter {
    std::atomic<std::int64_t> next{0}, done{0};
  };

  Counter& counter(std::size_t index, std::size_t stage) { return counters_[index * stages_.size() + stage]; }

  template <class Unit>
  bool take(std::size_t index, std::size_t stage, const Unit& unit) {
    Counter& at = counter(index, stage);
    const std::int64_t mine = at.next.fetch_add(1, std::memory_order_relaxed);
    if (mine >= stages_[stage].units) return false;
    // A unit that throws is done as well, or those who wait for it would wait for ever; the others then do nothing.
    if (!failed_.load(std::memory_order_relaxed)) {
      try {
        unit(index, flights_[index].owner, stage, mine);
      } catch (...) {
        if (!failed_.exchange(true)) thrown_ = std::current_exception();
      }
    }
    at.done.fetch_add(1, std::memory_order_release);
    return true;
  }

  const std::vector<Stage>& stages_;
  std::vector<Flight> flights_;
  std::vector<Counter> counters_;
  std::atomic<std::size_t> begun_{0}, finished_{0};
  std::atomic<bool> failed_{false};
  std::exception_ptr thrown_;
};

std::int32_t Program::add_region(const Region& region) {
  regions_.push_back(region);
  return static_cast<std::int32_t>(regions_.size()) - 1;
}

void Program::move_region(std::int32_t index, const Region& region) {
  regions_.at(static_cast<std::size_t>(index)) = region;
}

void Program::add_stage(std::int64_t units, std::int64_t parts) {
  if (units < 1 || parts < 1) throw std::invalid_argument("a stage has units and parts, 1 or more of each");
  stages_.push_back({units, parts, {}});
}

void Program::add_call(const ops::Op& op, std::vector<Operand> operands, std::vector<std::int64_t> sizes,
                       std::vector<double> settings) {
  if (stages_.empty()) throw std::logic_error("calls are of a stage, and there is none");
  ops::refuse_counts(op, operands.size(), sizes.size(), settings.size());
  for (const Operand& operand : operands)
    if (operand.region >= static_cast<std::int32_t>(regions_.size()))
      throw std::invalid_argument("there is no region " + std::to_string(operand.region));
  stages_.back().calls.push_back({op.run, std::move(operands), std::move(sizes), std::move(settings)});
}

std::size_t Program::calls() const {
  std::size_t count = 0;
  for (const Stage& stage : stages_) count += stage.calls.size();
  return count;
}

std::int64_t Program::most_units() const {
  std::int64_t most = 1;
  for (const Stage& stage : stages_) most = std::max(most, stage.units);
  return most;
}

void Program::run(std::span<const std::int64_t> models, int threads) {
  if (threads < 1) throw std::invalid_argument("threads are 1 or more");
  const std::unique_lock lock(running_, std::try_to_lock);
  if (!lock) throw std::logic_error("this program is being run by another thread");
  const std::int64_t useful = static_cast<std::int64_t>(models.size()) * most_units();
  threads = static_cast<int>(std::clamp<std::int64_t>(useful, 1, threads));
  if (workers_.size() < static_cast<std::size_t>(threads)) workers_.resize(static_cast<std::size_t>(threads));
  for (Worker& worker : workers_) worker.model = -1, worker.context.tiles = false;
  Flights flights(models.size(), stages_);
  pool_.run(threads, [&](int thread) { work(thread, flights, models); });
  flights.rethrow();
}

void Program::work(int thread, Flights& flights, std::span<const std::int64_t> models) {
  const FlushTiny flush;
  const auto unit = [&](std::size_t index, int owner, std::size_t stage, std::int64_t mine) {
    run_unit(thread, owner, models[index], stage, mine);
  };
  for (std::size_t index = flights.begin_next(); index < models.size(); index = flights.begin_next())
    flights.fly(index, thread, unit);
  flights.help(unit);
}

void Program::run_unit(int thread, int owner, std::int64_t model, std::size_t stage_index, std::int64_t unit) {
  Worker& worker = workers_[static_cast<std::size_t>(thread)];
  const Stage& stage = stages_[stage_index];
  worker.context.products = products_;
  for (std::int64_t part = 0; part < stage.parts; ++part) {
    worker.context.first = worker.model != model || worker.stage != stage_index;
    worker.context.accumulate = part > 0;
    for (const Call& call : stage.calls) {
      worker.tensors.clear();
      for (const Operand& operand : call.operands) {
        if (operand.region < 0) {
          worker.tensors.push_back(nullptr);
          continue;
        }
        const Region& at = regions_[static_cast<std::size_t>(operand.region)];
        worker.tensors.push_back(at.base + operand.offset + model * at.per_model + unit * at.per_unit +
                                 part * at.per_part + thread * at.per_thread + owner * at.per_owner);
      }
      call.run({worker.tensors.data(), call.sizes.data(), call.settings.data()}, worker.context);
      worker.context.scratch.clear();
    }
    worker.model = model;
    worker.stage = stage_index;
  }
}

}  // namespace isoflop
