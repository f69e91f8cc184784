// Heads (B, H, T, C) as attention takes them, beside each other in rows (B T, H C) and apart again.
#include "simd.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

namespace {

template <class Copy>
void each_row_of_heads(const std::int64_t* sizes, Copy&& copy) {
  const std::int64_t batch = sizes[0], heads = sizes[1], seq = sizes[2], width = sizes[3];
  for (std::int64_t sequence = 0; sequence < batch; ++sequence)
    for (std::int64_t head = 0; head < heads; ++head)
      for (std::int64_t at = 0; at < seq; ++at)
        copy(((sequence * heads + head) * seq + at) * width, ((sequence * seq + at) * heads + head) * width, width);
}

void copy_row(float* to, const float* from, std::int64_t width) {
  each_vector(width,
              [&](std::int64_t column, std::int64_t count) { store(to + column, load(from + column, count), count); });
}

}  // namespace

// tensors: heads (B, H, T, C), rows (B T, H C); sizes: B, H, T, C.
void join_heads(const Arguments& arguments, Context&) {
  const float* heads = arguments.tensor(0);
  float* rows = arguments.tensor(1);
  each_row_of_heads(arguments.sizes, [&](std::int64_t apart, std::int64_t joined, std::int64_t width) {
    copy_row(rows + joined, heads + apart, width);
  });
}

// tensors: rows (B T, H C), heads (B, H, T, C); sizes: B, H, T, C.
void split_heads(const Arguments& arguments, Context&) {
  const float* rows = arguments.tensor(0);
  float* heads = arguments.tensor(1);
  each_row_of_heads(arguments.sizes, [&](std::int64_t apart, std::int64_t joined, std::int64_t width) {
    copy_row(heads + apart, rows + joined, width);
  });
}

}  // namespace isoflop::ops::ISOFLOP_ISA
