#include "products.hpp"

#include "products_lanes.hpp"
#include "products_tiles.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

namespace {

// 32-bit elements along k, noughts behind the last.
constexpr std::int64_t steps_of(std::int64_t k, Operands form) {
  switch (form) {
    case Operands::pairs: return shares(k, 2);
    case Operands::tiles: return shares(k, 32) * 16;
    default: return k;
  }
}

constexpr std::int64_t rows_at_a_time(Operands form) { return form == Operands::tiles ? 32 : block_rows; }

void multiply_form(Operands form, const float* a, std::int64_t lda, std::int64_t m, const float* packed,
                   std::int64_t steps, std::int64_t n, float* c, std::int64_t ldc, bool add) {
  switch (form) {
    case Operands::tiles:
#if defined(__AMX_BF16__)
      multiply_tiles(a, lda, m, packed, steps, n, {c, ldc, add});
#endif
      break;
    case Operands::pairs:
#if defined(__AVX512BF16__)
      multiply_panels<Pairs, false>({a, lda, 1}, m, packed, steps, n, c, ldc, add);
#endif
      break;
    default: multiply_panels<Floats, false>({a, lda, 1}, m, packed, steps, n, c, ldc, add);
  }
}

}  // namespace

std::size_t packed_bytes(std::int64_t k, std::int64_t n, Products products) {
  return static_cast<std::size_t>(panel_floats(steps_of(k, operands_of(products)), n)) * sizeof(float);
}

void pack(const float* b, std::int64_t ldb, bool transposed, std::int64_t k, std::int64_t n, Products products,
          void* to) {
  const Operands form = operands_of(products);
  auto* panels = static_cast<float*>(to);
#if defined(__AVX512BF16__)
  if (form == Operands::pairs || form == Operands::tiles) {
    pack_pairs(b, ldb, transposed, k, steps_of(k, form), n, form == Operands::tiles ? lanes : panel_width, panels);
    return;
  }
#endif
  pack_floats(b, ldb, transposed, k, n, form == Operands::rounded, panels);
}

Panel::Panel(Context& context, std::int64_t rows, std::int64_t k)
    : steps_(steps_of(k, operands_of(context.products))), stride_(steps_), k_(k), products_(context.products) {
  const Operands form = operands_of(products_);
  const std::int64_t padded = rounded_up(rows, rows_at_a_time(form));
  own_ = context.scratch.take<float>(static_cast<std::size_t>(padded * steps_));
  data_ = own_;
#if defined(__AMX_BF16__)
  if (form == Operands::tiles) configure_tiles(context);
#endif
  if (form == Operands::pairs || form == Operands::tiles)
    for (std::int64_t row = 0; row < padded; ++row)
      for (std::int64_t step = k / 2; step < steps_; ++step) own_[row * steps_ + step] = 0;
}

void Panel::put(std::int64_t row, std::int64_t column, const Vector* values, std::int64_t rows,
                std::int64_t count) const {
#if defined(__AVX512BF16__)
  if (products_ == Products::bfloat16) {
    auto* to = reinterpret_cast<std::uint16_t*>(own_ + row * steps_) + column;
    const auto there = static_cast<__mmask16>((1U << count) - 1);
    for (std::int64_t i = 0; i < rows; ++i, to += 2 * steps_)
      _mm256_mask_storeu_epi16(to, there, reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(values[i])));
    return;
  }
#endif
  for (std::int64_t i = 0; i < rows; ++i) put(row + i, column, values[i], count);
}

void Panel::read(const float* a, std::int64_t lda, std::int64_t rows) {
  if (operands_of(products_) == Operands::floats) {
    data_ = a, stride_ = lda;
    return;
  }
  for (std::int64_t row = 0; row < rows; ++row, a += lda) {
    std::int64_t column = 0;
#if defined(__AVX512BF16__)
    for (; column + 32 <= k_; column += 32)
      _mm512_storeu_si512(own_ + row * steps_ + column / 2, pair_columns(a + column, 32));
#endif
    for (; column < k_; column += lanes) {
      const std::int64_t count = least(lanes, k_ - column);
      put(row, column, load(a + column, count), count);
    }
  }
}

std::int64_t panel_rows(std::int64_t k, Products products) {
  const Operands form = operands_of(products);
  constexpr std::int64_t bytes = 24 << 10;
  const std::int64_t at_a_time = rows_at_a_time(form), fitting = bytes / (4 * steps_of(k, form));
  const std::int64_t blocks = fitting / at_a_time;
  return at_a_time * (blocks < 1 ? 1 : least(blocks, 4));
}

void multiply(const Panel& a, std::int64_t m, const void* packed, std::int64_t n, float* c, std::int64_t ldc,
              bool add) {
  multiply_form(operands_of(a.products()), a.data(), a.stride(), m, static_cast<const float*>(packed), a.steps(), n, c,
                ldc, add);
}

void multiply(const float* a, std::int64_t lda, std::int64_t m, const void* packed, std::int64_t k, std::int64_t n,
              float* c, std::int64_t ldc, bool add, Context& context) {
  const Scratch::Loan loan(context.scratch);
  const std::int64_t at_a_time = panel_rows(k, context.products);
  Panel panel(context, least(at_a_time, m), k);
  for (std::int64_t row = 0; row < m; row += at_a_time) {
    const std::int64_t rows = least(at_a_time, m - row);
    panel.read(a + row * lda, lda, rows);
    multiply(panel, rows, packed, n, c + row * ldc, ldc, add);
  }
}

Turned::Turned(Context& context, std::int64_t rows, std::int64_t m) : m_(m), products_(context.products) {
  const Operands form = operands_of(products_);
  const std::int64_t elements = form == Operands::tiles   ? rounded_up(m, 32)
                                : form == Operands::pairs ? rounded_up(m, lanes)
                                                          : m;
  own_ = context.scratch.take<float>(static_cast<std::size_t>(elements * steps_of(rows, form)));
#if defined(__AMX_BF16__)
  if (form == Operands::tiles) configure_tiles(context);
#endif
}

void Turned::begin(std::int64_t rows, std::int64_t m) {
  const Operands form = operands_of(products_);
  m_ = m, rows_ = rows, steps_ = steps_of(rows, form);
  data_ = own_, apart_ = 1, step_ = form == Operands::pairs ? rounded_up(m_, lanes) : m_;
  if (form == Operands::tiles) apart_ = steps_, step_ = 1;
}

void Turned::put(std::int64_t row, std::int64_t column, const BlockOfRows& values) const {
  const Operands form = operands_of(products_);
#if defined(__AVX512BF16__)
  if (form == Operands::tiles || form == Operands::pairs) {
    __m512i pairs[16];
    for (std::int64_t i = 0; i < 16; ++i) pairs[i] = pair_rows(values[2 * i], values[2 * i + 1]);
    if (form == Operands::tiles) {
      transpose(pairs, own_ + column * steps_ + row / 2, steps_);
    } else {
      for (std::int64_t i = 0; i < least(16, steps_ - row / 2); ++i)
        _mm512_storeu_si512(own_ + (row / 2 + i) * step_ + column, pairs[i]);
    }
    return;
  }
#endif
  for (std::int64_t i = 0; i < least(block_of_rows, rows_ - row); ++i)
    store(own_ + (row + i) * m_ + column, form == Operands::rounded ? round_to_bfloat16(values[i]) : values[i],
          least(lanes, m_ - column));
}

void Turned::read(const float* a, std::int64_t lda, std::int64_t rows, std::int64_t m) {
  begin(rows, m);
  switch (operands_of(products_)) {
    case Operands::tiles:
#if defined(__AMX_BF16__)
      turn_into_pairs(a, lda, rows, m_, steps_, own_);
#endif
      break;
    case Operands::pairs:
#if defined(__AVX512BF16__)
      pack_pairs(a, lda, false, rows, steps_, m_, step_, own_);
#endif
      break;
    case Operands::rounded:
      for (std::int64_t row = 0; row < rows; ++row)
        each_vector(m_, [&](std::int64_t column, std::int64_t count) {
          store(own_ + row * m_ + column, round_to_bfloat16(load(a + row * lda + column, count)), count);
        });
      break;
    case Operands::floats: data_ = a, step_ = lda; break;
  }
}

Stacked::Stacked(Context& context, std::int64_t rows, std::int64_t n) : n_(n), products_(context.products) {
  own_ = context.scratch.take<float>(packed_bytes(rows, n, products_) / sizeof(float));
}

void Stacked::begin(std::int64_t rows, std::int64_t n) { n_ = n, rows_ = rows; }

void Stacked::put(std::int64_t row, std::int64_t column, const BlockOfRows& values) const {
  const Operands form = operands_of(products_);
  const std::int64_t steps = steps_of(rows_, form), width = form == Operands::tiles ? lanes : panel_width;
  const std::int64_t first = column / width * width, wide = rounded_up(least(width, n_ - first), lanes);
  float* const to = own_ + first * steps + column - first;
#if defined(__AVX512BF16__)
  if (form == Operands::tiles || form == Operands::pairs) {
    for (std::int64_t i = 0; i < least(16, steps - row / 2); ++i)
      _mm512_storeu_si512(to + (row / 2 + i) * wide, pair_rows(values[2 * i], values[2 * i + 1]));
    return;
  }
#endif
  for (std::int64_t i = 0; i < least(block_of_rows, steps - row); ++i)
    store(to + (row + i) * wide, form == Operands::rounded ? round_to_bfloat16(values[i]) : values[i]);
}

void Stacked::read(const float* b, std::int64_t ldb, std::int64_t rows, std::int64_t n) {
  begin(rows, n);
  pack(b, ldb, false, rows, n_, products_, own_);
}

void multiply(const Turned& a, const Stacked& b, float* c, std::int64_t ldc, bool add) {
  const Strided left{a.data(), a.rows_apart(), a.steps_apart()};
  switch (operands_of(a.products())) {
    case Operands::tiles:
#if defined(__AMX_BF16__)
      multiply_tiles(left.a, left.rows_apart, a.m(), b.data(), a.steps(), b.n(), {c, ldc, add});
#endif
      break;
    case Operands::pairs:
#if defined(__AVX512BF16__)
      multiply_panels<Pairs, true>(left, a.m(), b.data(), a.steps(), b.n(), c, ldc, add);
#endif
      break;
    default: multiply_panels<Floats, true>(left, a.m(), b.data(), a.steps(), b.n(), c, ldc, add);
  }
}

void multiply_transposed(const float* a, std::int64_t lda, const float* b, std::int64_t ldb, std::int64_t rows,
                         std::int64_t m, std::int64_t n, float* c, std::int64_t ldc, bool add, Context& context) {
  const Scratch::Loan loan(context.scratch);
  const std::int64_t span = least(rows, sum_rows);
  Turned left(context, span, m);
  Stacked right(context, span, n);
  for (std::int64_t row = 0; row < rows; row += span, add = true) {
    const std::int64_t count = least(span, rows - row);
    left.read(a + row * lda, lda, count, m);
    right.read(b + row * ldb, ldb, count, n);
    multiply(left, right, c, ldc, add);
  }
}

}  // namespace isoflop::ops::ISOFLOP_ISA
