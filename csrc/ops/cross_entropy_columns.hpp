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
    BandVectors top;
    for (std::int64_t i = 0; i < band_vectors; ++i) top[i] = load(logits_ + i * lanes);
    for (std::int64_t label = 1; label < vocabulary_; ++label)
      for (std::int64_t i = 0; i < band_vectors; ++i) top[i] = larger(load(logits_ + label * band + i * lanes), top[i]);
    for (std::int64_t i = 0; i < band_vectors; ++i) store(highest + i * lanes, top[i]);
  }

  void exponentials(const float* highest, float* sums) const {
    for (std::int64_t i = 0; i < band_vectors; ++i) {
      const Vector top = load(highest + i * lanes) * log2_e;
      Vector totals[2] = {};
      for (std::int64_t label = 0; label < vocabulary_; ++label) {
        float* const z = logits_ + label * band + i * lanes;
        const Vector e = exp2(load(z) * log2_e - top);
        store(z, e);
        totals[label % 2] += e;
      }
      store(sums + i * lanes, totals[0] + totals[1]);
    }
  }

  // Of this block the gradient of x as well.
  void put(const float* each) const {
    BandVectors factor;
    for (std::int64_t i = 0; i < band_vectors; ++i)
      factor[i] = load(each + i * lanes, of_block_ < i * lanes ? 0 : least(lanes, of_block_ - i * lanes));
    const auto of = [&](std::int64_t label, std::int64_t i) {
      return factor[i] != 0.0F ? load(logits_ + label * band + i * lanes) * factor[i] : Vector{};
    };
    float* const rows = rows_of_labels_ + top_ / 2;
    for (std::int64_t label = 0; label < vocabulary_; label += 2) {
      BandVectors first, second = {};
      for (std::int64_t i = 0; i < band_vectors; ++i) first[i] = of(label, i);
      TileForm::put(rows + label * apart_, first);
      if (label + 1 < vocabulary_) {
        for (std::int64_t i = 0; i < band_vectors; ++i) second[i] = of(label + 1, i);
        TileForm::put(rows + (label + 1) * apart_, second);
      }
      TileForm::put_pairs(pairs_ + label / 2 * lanes, wide_ * lanes, first, second);
    }
    TileForm::multiply(columns_, wide_, width_, pairs_, wide_, band, sums_, band, false);
    for (std::int64_t i = 0; i < band_vectors; ++i) {
      for (std::int64_t column = 0; column < width_; column += lanes) {
        __m512i given[lanes];
        for (std::int64_t c = 0; c < lanes; ++c) given[c] = _mm512_loadu_si512(sums_ + (column + c) * band + i * lanes);
        put_turned(given, {dx_ + (top_ + i * lanes) * width_ + column, width_, false}, of_block_ - i * lanes,
                   width_ - column);
      }
    }
  }

  void finish(float* dweight, bool add) const {
    const std::int64_t steps = TileForm::steps(rows_);
    TileForm::pack(x_, width_, false, rows_, width_, stacked_);
    TileForm::multiply(rows_of_labels_, apart_, vocabulary_, stacked_, steps, width_, dweight, width_, add);
  }

 private:
  std::int64_t vocabulary_, width_, deep_, wide_, apart_;
  bool gradient_;
  const float* x_ = nullptr;
  float* dx_ = nullptr;
  std::int64_t rows_ = 0, top_ = 0, of_block_ = 0;
  float *labels_ = nullptr, *columns_ = nullptr;  // the weight: left-hand rows, and turned
  float *logits_, *inputs_, *pairs_ = nullptr, *rows_of_labels_ = nullptr, *stacked_ = nullptr, *sums_ = nullptr;
};

}  // namespace isoflop::ops::ISOFLOP_ISA

#endif
