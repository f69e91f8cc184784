#include <algorithm>
#include <new>
#include <stdexcept>
#include <string>

#include "isoflop/cpu.hpp"
#include "tables.hpp"

#if defined(ISOFLOP_X86_OPS) && !defined(ISOFLOP_EMULATED) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace isoflop::ops {

namespace {

#if defined(ISOFLOP_X86_OPS) && !defined(ISOFLOP_EMULATED)
// Linux gives a process the registers of tiles only when asked (arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA).
bool allow_tiles() {
#ifdef __linux__
  constexpr long request_permission = 0x1023, tile_data = 18;
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
#else
  return false;
#endif
}
#endif

std::vector<Isa> find_usable() {
  std::vector<Isa> usable{Isa::portable};
#ifdef ISOFLOP_X86_OPS
  const std::vector<std::string> features = cpu_features();
  const auto has = [&](std::initializer_list<const char*> names) {
    return std::all_of(names.begin(), names.end(), [&](const char* name) {
      return std::find(features.begin(), features.end(), name) != features.end();
    });
  };
  if (!has({"avx2", "fma", "f16c"})) return usable;
  usable.push_back(Isa::avx2);
#ifdef ISOFLOP_EMULATED
  usable.insert(usable.end(), {Isa::avx512, Isa::avx512_bf16, Isa::amx});  // of AVX2, whatever they are named
#else
  if (!has({"avx512f", "avx512dq", "avx512bw", "avx512vl"})) return usable;
  usable.push_back(Isa::avx512);
  if (!has({"avx512_bf16"})) return usable;
  usable.push_back(Isa::avx512_bf16);
  if (has({"amx_tile", "amx_bf16"}) && allow_tiles()) usable.push_back(Isa::amx);
#endif
#endif
  return usable;
}

std::span<const Op> table_of(Isa isa) {
#ifdef ISOFLOP_X86_OPS
  switch (isa) {
    case Isa::avx2: return avx2::table;
    case Isa::avx512: return avx512::table;
    case Isa::avx512_bf16: return avx512_bf16::table;
    case Isa::amx: return amx::table;
    case Isa::portable: break;
  }
#else
  static_cast<void>(isa);
#endif
  return portable::table;
}

}  // namespace

std::byte* Scratch::take_bytes(std::size_t bytes) {
  const std::size_t size = (bytes + alignment - 1) / alignment * alignment;
  if (used_ == blocks_.size() || blocks_[used_].size < size) {
    auto* fresh = static_cast<std::byte*>(::operator new(std::max(size, alignment), std::align_val_t{alignment}));
    Block block{std::unique_ptr<std::byte, Free>(fresh), size};
    if (used_ == blocks_.size()) blocks_.push_back(std::move(block));
    else blocks_[used_] = std::move(block);
  }
  return blocks_[used_++].bytes.get();
}

void Scratch::Free::operator()(std::byte* block) const { ::operator delete(block, std::align_val_t{alignment}); }

void refuse_counts(const Op& op, std::size_t tensors, std::size_t sizes, std::size_t settings) {
  if (tensors == op.n_tensors && sizes == op.n_sizes && settings == op.n_settings) return;
  throw std::invalid_argument(std::string(op.name) + " takes " + std::to_string(op.n_tensors) + " tensors, " +
                              std::to_string(op.n_sizes) + " sizes, " + std::to_string(op.n_settings) + " settings");
}

const std::vector<Isa>& usable_isas() {
  static const std::vector<Isa> usable = find_usable();
  return usable;
}

const Op* find_op(std::string_view name, Isa isa) {
  for (const Op& op : table_of(isa))
    if (op.name == name) return &op;
  return nullptr;
}

}  // namespace isoflop::ops
