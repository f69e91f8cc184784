// Logits of 32 rows of x at a time, each row of them by itself, and what they become made ready for both gradients.
#pragma once

#include "elementary.hpp"
#include "products.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

class LogitsByRows {
 public:
  // Of `at_once` rows of x at most, each `width` wide.
  LogitsByRows(Context& context, std::int64_t at_once, std::int64_t vocabulary, std::int64_t width, bool gradient)
      : products_(context.products),
        vocabulary_(vocabulary),
        width_(width),
        gradient_(gradient),
        logits_(context.scratch.take<float>(static_cast<std::size_t>(block_of_rows * vocabulary))),
        inputs_(context, at_once, width),
        q_(context, gradient ? at_once : 0, vocabulary),
        q_turned_(context, gradient ? at_once : 0, vocabulary),
        inputs_stacked_(context, gradient ? at_once : 0, width) {}

  // The weight (V, D), packed into `room` where it is not there from before.
  void keep(const float* weight, std::byte* room, bool from_before) {
    into_logits_ = room, into_rows_ = room + packed_bytes(width_, vocabulary_, products_);
    if (from_before) return;
    pack(weight, width_, true, width_, vocabulary_, products_, into_logits_);
    if (gradient_) pack(weight, width_, false, vocabulary_, width_, products_, into_rows_);
  }

  // The next rows of x, and where their gradient goes.
  void begin(const float* x, float* dx, std::int64_t rows) {
    x_ = x, dx_ = dx, rows_ = rows;
    inputs_.read(x, width_, rows);
    if (gradient_) q_turned_.begin(rows, vocabulary_);
  }

  // The logits of `rows` rows, 32 at most, from `top` on; all below is of those.
  void multiply(std::int64_t top, std::int64_t rows) {
    top_ = top, of_block_ = rows;
    ISOFLOP_ISA::multiply(inputs_.from(top), rows, into_logits_, vocabulary_, logits_, vocabulary_, false);
  }

  float& at(std::int64_t row, std::int64_t label) const { return logits_[row * vocabulary_ + label]; }

  void largest(float* highest) const {
    for (std::int64_t i = 0; i < of_block_; ++i) highest[i] = largest_of(logits_ + i * vocabulary_);
  }

  // Become e^(z - highest), whose sums go to `sums`.
  void exponentials(const float* highest, const float*, float* sums) const {
    for (std::int64_t i = 0; i < of_block_; ++i) sums[i] = exponentials_of(logits_ + i * vocabulary_, highest[i]);
  }

  // The exponential of a row's label is `by` lower in its gradient.
  void lower(std::int64_t row, std::int64_t label, float by) const { at(row, label) -= by; }

  // Times `each` of their row they are a part of the gradients; nothing of a row whose factor is nought.
  void put(const float* each) const {
    each_block(of_block_, vocabulary_,
               [&](std::int64_t, std::int64_t count_rows, std::int64_t column, std::int64_t count) {
                 BlockOfRows values = {};
                 for (std::int64_t i = 0; i < count_rows; ++i)
                   if (each[i] != 0) values[i] = load(logits_ + i * vocabulary_ + column, count) * each[i];
                 q_.put(top_, column, values, count_rows, count);
                 q_turned_.put(top_, column, values);
               });
  }

  // The gradients of all rows begun with.
  void finish(float* dweight, bool add) {
    ISOFLOP_ISA::multiply(q_, rows_, into_rows_, width_, dx_, width_, false);
    inputs_stacked_.read(x_, width_, rows_, width_);
    ISOFLOP_ISA::multiply(q_turned_, inputs_stacked_, dweight, width_, add);
  }

 private:
  // Four maxima, and four sums below: one alone would wait for each step.
  float largest_of(const float* z) const {
    const std::int64_t whole = vocabulary_ / lanes * lanes;
    Vector highest[4] = {broadcast(z[0]), broadcast(z[0]), broadcast(z[0]), broadcast(z[0])};
    std::int64_t at = 0;
    for (; at + 4 * lanes <= whole; at += 4 * lanes)
      for (std::int64_t i = 0; i < 4; ++i) highest[i] = larger(load(z + at + i * lanes), highest[i]);
    for (; at < whole; at += lanes) highest[0] = larger(load(z + at), highest[0]);
    float top = ISOFLOP_ISA::largest(larger(larger(highest[0], highest[1]), larger(highest[2], highest[3])));
    for (; at < vocabulary_; ++at) top = z[at] > top ? z[at] : top;
    return top;
  }

  float exponentials_of(float* z, float top) const {
    Vector totals[4] = {};
    std::int64_t at = 0;
    for (; at + 4 * lanes <= vocabulary_; at += 4 * lanes) {
      for (std::int64_t i = 0; i < 4; ++i) {
        const Vector e = exp(load(z + at + i * lanes) - top);
        store(z + at + i * lanes, e);
        totals[i] += e;
      }
    }
    for (; at < vocabulary_; at += lanes) {
      const std::int64_t count = least(lanes, vocabulary_ - at);
      const Vector e = exp(load(z + at, count) - top);
      store(z + at, e, count);
      totals[0] += first_lanes(e, count);
    }
    return sum((totals[0] + totals[1]) + (totals[2] + totals[3]));
  }

  Products products_;
  std::int64_t vocabulary_, width_;
  bool gradient_;
  std::byte *into_logits_ = nullptr, *into_rows_ = nullptr;
  const float* x_ = nullptr;
  float* dx_ = nullptr;
  std::int64_t rows_ = 0, top_ = 0, of_block_ = 0;
  float* logits_;
  Panel inputs_, q_;
  Turned q_turned_;
  Stacked inputs_stacked_;
};

}  // namespace isoflop::ops::ISOFLOP_ISA
