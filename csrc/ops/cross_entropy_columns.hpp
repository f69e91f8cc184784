// What LogitsByRows does, by tiles: the logits of a row of x are a column, so that maxima and sums are of whole vectors
// and what they become is right-hand pairs and left-hand rows of the gradients as it is computed.
#pragma once

#include "attention_forms.hpp"
#include "elementary.hpp"

#if defined(__AMX_BF16__)

namespace isoflop::ops::ISOFLOP_ISA {

class LogitsByColumns {
 public:
  LogitsByColumns(Context& context, std::int64_t at_once, std::int64_t vocabulary, std::int64_t width, bool gradient)
      : vocabulary_(vocabulary),
        width_(width),
        deep_(TileForm::steps(width)),
        wide_(TileForm::steps(vocabulary)),
        apart_(TileForm::steps(at_once) + lanes),
        gradient_(gradient) {
    const auto take = [&](std::int64_t count) { return context.scratch.take<float>(static_cast<std::size_t>(count)); };
    TileForm::begin(context);
    logits_ = take(rounded_up(vocabulary, 2) * band);
    inputs_ = take(deep_ * band);
    if (!gradient) return;
    pairs_ = take(wide_ * band);
    rows_of_labels_ = take(rounded_up(vocabulary, band) * apart_);
    stacked_ = take(TileForm::steps(at_once) * rounded_up(width, lanes));
    sums_ = take(rounded_up(width, band) * band);
    factors_ = take(rounded_up(at_once, band));
    for (std::int64_t& label : labels_of_rows_) label = -1;
    const std::int64_t last = (vocabulary + 1) / 2;  // noughts behind the last pair of labels
    for (std::int64_t panel = 0; panel < band_vectors; ++panel)
      fill_noughts(pairs_ + (panel * wide_ + last) * lanes, (wide_ - last) * lanes);
  }

  void keep(const float* weight, std::byte* room, bool from_before) {
    labels_ = reinterpret_cast<float*>(room);
    columns_ = labels_ + rounded_up(vocabulary_, lanes) * deep_;
    if (from_before) return;
    TileForm::read_rows({weight, width_}, vocabulary_, width_, labels_);
    if (gradient_) turn_into_pairs(weight, width_, vocabulary_, width_, wide_, columns_);
  }

  void begin(const float* x, float* dx, std::int64_t rows) { x_ = x, dx_ = dx, rows_ = rows; }

  void multiply(std::int64_t top, std::int64_t rows) {
    top_ = top, of_block_ = rows;
    TileForm::pack(x_ + top * width_, width_, true, width_, rows, inputs_);
    TileForm::multiply(labels_, deep_, vocabulary_, inputs_, deep_, rows, logits_, band, false);
  }

  float& at(std::int64_t row, std::int64_t label) const { return logits_[label * band + row]; }

  void largest(float* highest) const {
    for (std::int64_t i = 0; i < band_vectors; ++i) {
      const float* const from = logits_ + i * lanes;
      // Four at once: one alone would wait for each comparison.
      Vector tops[4];
      for (Vector& top : tops) top = load(from);
      std::int64_t label = 0;
      for (; label + 4 <= vocabulary_; label += 4) {
#pragma GCC unroll 4
        for (std::int64_t j = 0; j < 4; ++j) tops[j] = larger(load(from + (label + j) * band), tops[j]);
      }
      for (; label < vocabulary_; ++label) tops[0] = larger(load(from + label * band), tops[0]);
      store(highest + i * lanes, larger(larger(tops[3], tops[2]), larger(tops[1], tops[0])));
    }
  }

  // Sums of e^(z - highest); those of rows whose weight is not nought also become operands of the gradients, which are
  // multiplied by what is the same for a row afterwards.
  void exponentials(const float* highest, const float* weights, float* sums) {
    BandVectors top, counted, totals[2] = {};
    for (std::int64_t i = 0; i < band_vectors; ++i) {
      top[i] = load(highest + i * lanes) * log2_e;
      const Vector weight = load(weights + i * lanes);
      counted[i] = (Vector)(weight != 0.0F);
    }
    float* const rows = rows_of_labels_ + top_ / 2;
    for (std::int64_t label = 0; label < vocabulary_; label += 2) {
      BandVectors both[2] = {};
#pragma GCC unroll 2
      for (std::int64_t r = 0; r < 2; ++r) {
        if (label + r == vocabulary_) continue;
#pragma GCC unroll 2
        for (std::int64_t i = 0; i < band_vectors; ++i) {
          const Vector e = TileForm::exp2(load(logits_ + (label + r) * band + i * lanes) * log2_e - top[i]);
          totals[r][i] += e;
          both[r][i] = (Vector)((Ints)e & (Ints)counted[i]);
        }
        if (gradient_) TileForm::put(rows + (label + r) * apart_, both[r]);
      }
      if (gradient_) TileForm::put_pairs(pairs_ + label / 2 * lanes, wide_ * lanes, both[0], both[1]);
    }
    for (std::int64_t i = 0; i < band_vectors; ++i) {
      store(tops_ + i * lanes, top[i]);
      store(sums + i * lanes, totals[0][i] + totals[1][i]);
    }
  }

  // The exponential of a row's label is `by` lower in its gradient.
  void lower(std::int64_t row, std::int64_t label, float by) { labels_of_rows_[row] = label, lowered_[row] = by; }

  // Of this block the gradient of x as well.
  void put(const float* each) {
    BandVectors factor;
    for (std::int64_t i = 0; i < band_vectors; ++i) {
      factor[i] = load(each + i * lanes, of_block_ < i * lanes ? 0 : least(lanes, of_block_ - i * lanes));
      store(factors_ + top_ + i * lanes, factor[i]);
    }
    put_labels();
    TileForm::multiply(columns_, wide_, width_, pairs_, wide_, band, sums_, band, false);
    for (std::int64_t i = 0; i < band_vectors; ++i) {
      for (std::int64_t column = 0; column < width_; column += lanes) {
        __m512i given[lanes];
        for (std::int64_t c = 0; c < lanes; ++c) {
          const Vector sum = load(sums_ + (column + c) * band + i * lanes) * factor[i];
          given[c] = (__m512i)(factor[i] != 0.0F ? sum : Vector{});
        }
        put_turned(given, {dx_ + (top_ + i * lanes) * width_ + column, width_, false}, of_block_ - i * lanes,
                   width_ - column);
      }
    }
  }

  void finish(float* dweight, bool add) const {
    const std::int64_t steps = TileForm::steps(rows_);
    stack_rows(steps);
    TileForm::multiply(rows_of_labels_, apart_, vocabulary_, stacked_, steps, width_, dweight, width_, add);
  }

 private:
  // What is lowered, written over what stands there.
  void put_labels() {
    alignas(64) float given[band] = {};
    for (std::int64_t row = 0; row < of_block_; ++row)
      if (labels_of_rows_[row] >= 0) given[row] = at(row, labels_of_rows_[row]);
    alignas(64) std::uint16_t made[band];
    for (std::int64_t i = 0; i < band_vectors; ++i) {
      const Vector e = TileForm::exp2(load(given + i * lanes) * log2_e - load(tops_ + i * lanes));
      const __m256bh rounded = _mm512_cvtneps_pbh(e - load(lowered_ + i * lanes));
      __builtin_memcpy(made + i * lanes, &rounded, sizeof rounded);
    }
    for (std::int64_t row = 0; row < of_block_; ++row) {
      const std::int64_t label = labels_of_rows_[row];
      if (label < 0) continue;
      float* const by_label = rows_of_labels_ + label * apart_ + (top_ + row) / 2;
      float* const by_row = pairs_ + (row / lanes * wide_ + label / 2) * lanes + row % lanes;
      reinterpret_cast<std::uint16_t*>(by_label)[row % 2] = made[row];
      reinterpret_cast<std::uint16_t*>(by_row)[label % 2] = made[row];
      labels_of_rows_[row] = -1;
    }
  }

  // Rows of x times what is the same for a row, as pairs.
  void stack_rows(std::int64_t steps) const {
    const auto row_of = [&](std::int64_t row, std::int64_t column) {
      if (row >= rows_ || factors_[row] == 0.0F) return Vector{};
      return load(x_ + row * width_ + column, least(lanes, width_ - column)) * factors_[row];
    };
    float* to = stacked_;
    for (std::int64_t column = 0; column < width_; column += lanes)
      for (std::int64_t step = 0; step < steps; ++step, to += lanes)
        _mm512_storeu_si512(to, pair_rows(row_of(2 * step, column), row_of(2 * step + 1, column)));
  }

  std::int64_t vocabulary_, width_, deep_, wide_, apart_;
  bool gradient_;
  const float* x_ = nullptr;
  float* dx_ = nullptr;
  std::int64_t rows_ = 0, top_ = 0, of_block_ = 0;
  float *labels_ = nullptr, *columns_ = nullptr;  // the weight: left-hand rows, and turned
  float *logits_, *inputs_, *pairs_ = nullptr, *rows_of_labels_ = nullptr, *stacked_ = nullptr, *sums_ = nullptr;
  float* factors_ = nullptr;  // of the rows of a tile
  // Of the rows of a block: the largest logit in bits, the label that is lowered, by how much.
  float tops_[band], lowered_[band] = {};
  std::int64_t labels_of_rows_[band];
};

}  // namespace isoflop::ops::ISOFLOP_ISA

#endif
