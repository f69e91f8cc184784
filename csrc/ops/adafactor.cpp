// Adafactor (Shazeer and Stern 2018, algorithms 4 and 5) on one matrix or vector, without a first moment.
//
//   k = 1 - step^-0.8,   r = k r + (1 - k) mean over columns of (g^2 + eps),   c the same over rows
//   v = r c / mean(r) of a matrix, k v + (1 - k) (g^2 + eps) of a vector
//   u = g / sqrt(v),   p = (1 - lr wd) p - lr u / max(1, rms(u))
#include "slots.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

namespace {

constexpr float eps = 1e-30F;
constexpr double decay_power = -0.8;

struct Keep {
  float old, fresh;

  // A moment, which begins at nought, and the mean square that it takes in.
  template <class Value>
  Value join(Value moment, Value square) const {
    return old * moment + fresh * square;
  }
};

// g / sqrt(v) from g, which it takes the place of.
void divide_matrix(float* u, std::int64_t rows, std::int64_t width, const Keep& keep, float* by_row, float* by_column,
                   float* columns) {
  double total = 0;
  __builtin_memset(columns, 0, static_cast<std::size_t>(width) * sizeof(float));
  for (std::int64_t row = 0; row < rows; ++row) {
    Vector squares{};
    each_vector(width, [&](std::int64_t column, std::int64_t count) {
      const Vector g = load(u + row * width + column, count);
      squares += g * g;
      store(columns + column, load(columns + column, count) + g * g, count);
    });
    by_row[row] = keep.join(by_row[row], sum(squares) / static_cast<float>(width) + eps);
    total += static_cast<double>(by_row[row]);
  }
  const auto mean = static_cast<float>(total / static_cast<double>(rows));
  each_vector(width, [&](std::int64_t column, std::int64_t count) {
    const Vector fresh = load(columns + column, count) / static_cast<float>(rows) + eps;
    store(by_column + column, keep.join(load(by_column + column, count), fresh), count);
  });
  for (std::int64_t row = 0; row < rows; ++row) {
    // Divided first: the product of two small moments is 0 in float32.
    const float of_row = by_row[row] / mean;
    each_vector(width, [&](std::int64_t column, std::int64_t count) {
      float* const at = u + row * width + column;
      store(at, load(at, count) / square_root(of_row * load(by_column + column, count)), count);
    });
  }
}

void divide_vector(float* u, std::int64_t size, const Keep& keep, float* moments) {
  each_vector(size, [&](std::int64_t at, std::int64_t count) {
    const Vector g = load(u + at, count), v = keep.join(load(moments + at, count), g * g + eps);
    store(moments + at, v, count);
    store(u + at, g / square_root(v), count);
  });
}

}  // namespace

// tensors: params (O, I), gradients (slots, O, I), moments of the rows (O), of the columns (I)?: without them a vector
// of O numbers, of which the others are the moments; squares (chunks, 1 + slots) float64 of all chunks of the model,
// hyper (6) float64 as of adamw, factors (2) float64 of the learning rate and of the decay, step (1) int64, updates
// made before; sizes: O, I (1 of a vector), slots, floats from slot to slot, chunks.
void adafactor(const Arguments& arguments, Context& context) {
  float* params = arguments.tensor(0);
  float *by_row = arguments.tensor(2), *by_column = arguments.tensor(3);
  const auto *hyper = arguments.tensor<const double>(5), *factors = arguments.tensor<const double>(6);
  const std::int64_t rows = arguments.sizes[0], width = arguments.sizes[1], size = rows * width;
  const Slots slots{arguments.tensor(1), arguments.sizes[2], arguments.sizes[3]};
  const float clip = clipping(slots.norm(arguments.tensor<const double>(4), arguments.sizes[4]), hyper[5]);
  const auto step = static_cast<double>(*arguments.tensor<const std::int64_t>(7) + 1);
  const double fresh = __builtin_pow(step, decay_power);
  const Keep keep{static_cast<float>(1 - fresh), static_cast<float>(fresh)};
  auto* u = context.scratch.take<float>(static_cast<std::size_t>(size));
  each_vector(size, [&](std::int64_t at, std::int64_t count) { store(u + at, slots.sum(at, count) * clip, count); });
  if (by_column == nullptr) {
    divide_vector(u, size, keep, by_row);
  } else {
    auto* columns = context.scratch.take<float>(static_cast<std::size_t>(width));
    divide_matrix(u, rows, width, keep, by_row, by_column, columns);
  }
  const double square = sum_of_squares(size, [&](std::int64_t at, std::int64_t count) { return load(u + at, count); });
  const double rms = __builtin_sqrt(square / static_cast<double>(size)), lr = hyper[0] * factors[0];
  const auto rate = static_cast<float>(rms > 1 ? lr / rms : lr),
             shrink = static_cast<float>(lr * hyper[4] * factors[1]);
  each_vector(size, [&](std::int64_t at, std::int64_t count) {
    const Vector p = load(params + at, count);
    store(params + at, p - (shrink * p + rate * load(u + at, count)), count);
  });
}

}  // namespace isoflop::ops::ISOFLOP_ISA
