// Integer arithmetic that throws where int64 would wrap: a parameter count is exact or it is an error.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <stdexcept>

namespace isoflop {

inline std::int64_t checked_product(std::initializer_list<std::int64_t> factors) {
  std::int64_t product = 1;
  for (const std::int64_t factor : factors)
    if (__builtin_mul_overflow(product, factor, &product)) throw std::overflow_error("count exceeds int64");
  return product;
}

inline std::int64_t checked_sum(std::initializer_list<std::int64_t> parts) {
  std::int64_t sum = 0;
  for (const std::int64_t part : parts)
    if (__builtin_add_overflow(sum, part, &sum)) throw std::overflow_error("count exceeds int64");
  return sum;
}

/// An int64 whose sums and products throw std::overflow_error beyond int64.
class Count {
 public:
  constexpr Count() = default;
  constexpr Count(std::int64_t value) : value_(value) {}  // NOLINT: formulas mix counts and literals

  friend Count operator+(Count a, Count b) { return checked_sum({a.value_, b.value_}); }
  friend Count operator-(Count a, Count b) { return checked_sum({a.value_, checked_product({-1, b.value_})}); }
  friend Count operator*(Count a, Count b) { return checked_product({a.value_, b.value_}); }
  [[nodiscard]] constexpr std::int64_t value() const { return value_; }

 private:
  std::int64_t value_ = 0;
};

}  // namespace isoflop
