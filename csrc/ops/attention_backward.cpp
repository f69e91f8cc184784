// Gradients of attention: 32 keys at a time against the queries that see any of them, weights computed again.
//
//   p_ij = 2^(s_ij - lse_i),   dv_j = sum_i p_ij dy_i,   ds_ij = scale p_ij (dy_i v_j - dy_i y_i)
//   dk_j = sum_i ds_ij q_i,    dq_i = sum_j ds_ij k_j
//
// Where chance drops weights, those in dv and the products dy_i v_j are what it leaves of them.
//
// Scores stand with keys as rows, so that weights are left-hand rows of the sums over queries as they are computed; for
// the gradients of queries they are, in tiles, also written as right-hand pairs, and those gradients turned at the end.
#include "attention.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

namespace {

template <class Form>
struct AttentionBackward {
  AttentionSizes sizes;
  Chance chance;
  std::int64_t across, deep;                                  // queries, and elements of a row of C
  float *keys, *values, *key_columns;                         // of a head of keys
  float *queries, *gradients, *query_rows, *gradient_rows;    // of a head of queries
  float *lse, *deltas, *sums;                                 // deltas: dy y; sums: gradients of queries as columns
  float *scores, *products, *weights, *slopes, *slope_pairs;  // of 32 keys

  AttentionBackward(const AttentionSizes& of, const Chance& drop, Context& context)
      : sizes(of), chance(drop), across(padded(of.seq)), deep(Form::steps(of.width)) {
    const std::int64_t rows = RightRows<Form>::floats(sizes.seq, sizes.width);
    for (float** each : {&keys, &values, &queries, &gradients}) *each = take_floats(context, across * deep);
    for (float** each : {&query_rows, &gradient_rows}) *each = take_floats(context, rows);
    for (float** each : {&lse, &deltas}) *each = take_floats(context, across);
    for (float** each : {&scores, &products}) *each = take_floats(context, band * across);
    for (float** each : {&weights, &slopes}) *each = take_floats(context, band * Form::steps(across));
    key_columns = take_floats(context, rounded_up(sizes.width, band) * across);
    sums = take_floats(context, rounded_up(sizes.width, band) * across);
    slope_pairs = take_floats(context, 16 * across);
  }

  void read_keys(const float* k, const float* v) const {
    Form::read_rows(k, sizes.seq, sizes.width, keys);
    Form::read_rows(v, sizes.seq, sizes.width, values);
#if defined(__AMX_BF16__)
    if constexpr (Form::turned_sums) turn_into_pairs(k, sizes.width, sizes.seq, sizes.width, across / 2, key_columns);
#endif
  }

  void read_queries(const float* q, const float* y, const float* dy, const float* of_lse) const {
    Form::pack(q, sizes.width, true, sizes.width, sizes.seq, queries);
    Form::pack(dy, sizes.width, true, sizes.width, sizes.seq, gradients);
    for (std::int64_t row = 0; row < sizes.seq; ++row) {
      Vector total{};
      each_vector(sizes.width, [&](std::int64_t column, std::int64_t count) {
        const std::int64_t at = row * sizes.width + column;
        total += load(dy + at, count) * load(y + at, count);
      });
      deltas[row] = sum(total);
      lse[row] = of_lse[row];
    }
    for (std::int64_t row = sizes.seq; row < across; ++row) deltas[row] = lse[row] = 0;
  }

  // Weights and slopes of keys `column` + row and of the next, of all queries [first, end) of head `index`.
  void weigh(std::int64_t index, std::int64_t column, std::int64_t row, std::int64_t first, std::int64_t end) const {
    const float in_bits = sizes.scale * log2_e;
    for (std::int64_t query = first; query < end; query += band) {
      BandVectors weight[2], slope[2];
      for (std::int64_t r = 0; r < 2; ++r) {
        const std::int64_t key = column + row + r, at = (row + r) * across + query;
        const bool there = key < sizes.seq;
        const std::int64_t from = there ? sizes.first_query(key) : end, to = there ? sizes.end_query(key) : end;
        for (std::int64_t i = 0; i < band_vectors; ++i) {
          const std::int64_t shift = i * lanes;
          const Vector p = exp2(load(scores + at + shift) * in_bits - load(lse + query + shift));
          Vector left = p, growth = load(products + at + shift);
          if (chance.drops()) {
            const Words element = numbers(index, query + shift, key);
            left = chance.drop(left, element), growth = chance.drop(growth, element);
          }
          weight[r][i] = within(left, query + shift, from, to);
          const Vector ds = p * (growth - load(deltas + query + shift)) * sizes.scale;
          slope[r][i] = within(ds, query + shift, from, to);
        }
        const std::int64_t place = (row + r) * Form::steps(across) + Form::steps(query);
        Form::put(weights + place, weight[r]);
        Form::put(slopes + place, slope[r]);
      }
#if defined(__AMX_BF16__)
      if constexpr (Form::turned_sums)
        Form::put_pairs(slope_pairs + query * 16 + row / 2 * 16, 16 * 16, slope[0], slope[1]);
#endif
    }
  }

  // Of the weights of one key and of queries from `query` on.
  Words numbers(std::int64_t index, std::int64_t query, std::int64_t key) const {
    return (Words)lane_numbers() * static_cast<std::uint32_t>(sizes.seq) +
           (sizes.weight_number(index * sizes.seq + query) + static_cast<std::uint32_t>(key));
  }

#if defined(__AMX_BF16__)
  void turn_sums(float* dq) const {
    for (std::int64_t row = 0; row < sizes.seq; row += 16, dq += 16 * sizes.width) {
      for (std::int64_t column = 0; column < sizes.width; column += 16) {
        __m512i given[16];
        alignas(64) float turned[tile_floats];
        for (std::int64_t i = 0; i < 16; ++i) given[i] = _mm512_loadu_si512(sums + (column + i) * across + row);
        transpose(given, turned);
        for (std::int64_t i = 0; i < least(16, sizes.seq - row); ++i)
          store(dq + i * sizes.width + column, load(turned + 16 * i), least(16, sizes.width - column));
      }
    }
  }
#endif

  // The part of 32 keys in all gradients; dk and dv are added to where `add`, dq always.
  void keys_of_head(std::int64_t index, std::int64_t column, const float* k, const RightRows<Form>& q_rows,
                    const RightRows<Form>& dy_rows, float* dq, float* dk, float* dv, bool add) const {
    const std::int64_t rows = least(band, sizes.seq - column);
    const std::int64_t first = sizes.first_query(column) / band * band,
                       end = padded(sizes.end_query(column + rows - 1));
    const std::int64_t count = end - first, there = least(count, sizes.seq - first);
    Form::multiply(keys + column * deep, deep, rows, queries + first * deep, deep, there, scores + first, across,
                   false);
    Form::multiply(values + column * deep, deep, rows, gradients + first * deep, deep, there, products + first, across,
                   false);
    for (std::int64_t row = 0; row < (Form::turned_sums ? band : rows); row += 2) weigh(index, column, row, first, end);
    const std::int64_t apart = Form::steps(across), from = Form::steps(first), at = column * sizes.width;
    dy_rows.multiply(weights + from, apart, rows, first, count, dv + at, add);
    q_rows.multiply(slopes + from, apart, rows, first, count, dk + at, add);
    if constexpr (Form::turned_sums) {
      Form::multiply(key_columns + column / 2, across / 2, sizes.width, slope_pairs + first * 16, 16, count,
                     sums + first, across, true);
    } else {
      Form::pack(k + at, sizes.width, false, rows, sizes.width, key_columns);
      multiply_panels<Floats, true>({slopes + from, 1, apart}, there, key_columns, rows, sizes.width,
                                    dq + first * sizes.width, sizes.width, true);
    }
  }

  void head(std::int64_t index, const float* k, const float* q, const float* dy, float* dq, float* dk, float* dv,
            bool add) const {
    const RightRows<Form> q_rows(q, sizes.seq, sizes.width, query_rows);
    const RightRows<Form> dy_rows(dy, sizes.seq, sizes.width, gradient_rows);
    if constexpr (Form::turned_sums) fill_noughts(sums, sizes.width * across);
    else fill_noughts(dq, sizes.head_floats());
    for (std::int64_t column = 0; column < sizes.seq; column += band)
      keys_of_head(index, column, k, q_rows, dy_rows, dq, dk, dv, add);
#if defined(__AMX_BF16__)
    if constexpr (Form::turned_sums) {
      turn_sums(dq);
    }
#endif
  }
};

}  // namespace

// tensors: dy, q (B, H, T, C), k, v (B, G, T, C), y (B, H, T, C), lse (B, H, T), dq, dk, dv, then the four of Chance;
// sizes and settings as of attention.
void attention_backward(const Arguments& arguments, Context& context) {
  const AttentionSizes sizes(arguments);
  const float *dy = arguments.tensor(0), *q = arguments.tensor(1), *k = arguments.tensor(2), *v = arguments.tensor(3),
              *y = arguments.tensor(4), *lse = arguments.tensor(5);
  float *dq = arguments.tensor(6), *dk = arguments.tensor(7), *dv = arguments.tensor(8);
  with_form(context.products, [&]<class Form>() {
    Form::begin();
    const AttentionBackward<Form> backward(sizes, Chance(arguments, 9, arguments.settings[3]), context);
    const std::int64_t floats = sizes.head_floats();
    for (std::int64_t key = 0; key < sizes.batch * sizes.key_heads; ++key) {
      const std::int64_t of_key = key * floats;
      backward.read_keys(k + of_key, v + of_key);
      for (std::int64_t member = 0; member < sizes.group(); ++member) {
        const std::int64_t head = key * sizes.group() + member, at = head * floats;
        backward.read_queries(q + at, y + at, dy + at, lse + head * sizes.seq);
        backward.head(head, k + of_key, q + at, dy + at, dq + at, dk + of_key, dv + of_key, member > 0);
      }
    }
  });
}

}  // namespace isoflop::ops::ISOFLOP_ISA
