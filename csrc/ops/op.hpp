// An op of the CPU: what it takes, and the table of all of them, compiled once for each instruction set.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace isoflop::ops {

// One model's tensors in the order of the op's launcher in Python (null: an optional one that is not there), the sizes
// of its axes, its settings. Tensors are float32 or int64, dense, rows last.
struct Arguments {
  void* const* tensors;
  const std::int64_t* sizes;
  const double* settings;

  template <class T = float>
  T* tensor(std::size_t index) const {
    return static_cast<T*>(tensors[index]);
  }
};

// What matrices are multiplied in; sums are float32 in both.
enum class Products : std::uint8_t { float32, bfloat16 };

constexpr std::size_t alignment = 64;

// Memory of one thread, for one op at a time: it grows to what the largest asked for, in the first step.
class Scratch {
 public:
  template <class T>
  T* take(std::size_t count) {
    return reinterpret_cast<T*>(take_bytes(count * sizeof(T)));
  }
  void clear() { used_ = 0; }

  // What is taken while a loan lives is given back at its end.
  class Loan {
   public:
    explicit Loan(Scratch& scratch) : scratch_(scratch), used_(scratch.used_) {}
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    ~Loan() { scratch_.used_ = used_; }

   private:
    Scratch& scratch_;
    std::size_t used_;
  };

 private:
  std::byte* take_bytes(std::size_t bytes);

  struct Free {
    void operator()(std::byte* block) const;
  };
  struct Block {
    std::unique_ptr<std::byte, Free> bytes;
    std::size_t size;
  };
  std::vector<Block> blocks_;
  std::size_t used_ = 0;
};

// Where in a step an op runs. The batch of a model comes in parts, whose gradients of parameters are added up.
struct Context {
  Scratch scratch;
  Products products = Products::float32;
  bool first = true;        // of the parts that this thread takes of a model: what is made of weights is made anew
  bool accumulate = false;  // gradients of parameters are added to what stands there
  bool tiles = false;       // are configured, and nothing but ops has run in this thread since
};

using Run = void (*)(const Arguments&, Context&);

struct Op {
  std::string_view name;
  std::size_t n_tensors, n_sizes, n_settings;
  Run run;
};

// Throws std::invalid_argument unless a call brings as many of each as the op takes.
void refuse_counts(const Op& op, std::size_t tensors, std::size_t sizes, std::size_t settings);

// Instruction sets, each with all that the ones before it have.
enum class Isa : std::uint8_t { portable, avx2, avx512, avx512_bf16, amx };
inline constexpr std::string_view isa_names[] = {"portable", "avx2", "avx512", "avx512_bf16", "amx"};

// Those that this machine runs, the widest last; asks the kernel for the use of tiles where the CPU has them.
const std::vector<Isa>& usable_isas();

// The op compiled for an instruction set; null where there is none of that name.
const Op* find_op(std::string_view name, Isa isa);

}  // namespace isoflop::ops
