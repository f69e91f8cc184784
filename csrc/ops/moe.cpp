// A mixture of experts whose rows are routed: y = sum over choices of gate MLP_expert(x), and MLPs that every row
// passes.
//
// The rows of an expert are gathered, and pass the MLP of csrc/ops/mlp.cpp as those of a dense model do; what comes out
// lies by slot, expert after expert, and is added up by row in the order of its choices: the same bits every time.
#include "activation.hpp"
#include "products.hpp"
#include "rows.hpp"

namespace isoflop::ops::ISOFLOP_ISA {

namespace {

// Weights, biases where there are any, or the gradients of either, one expert's behind the other's.
struct Weights {
  float *w_in, *b_in, *w_out, *b_out;
};

Weights weights_of(const Arguments& arguments, std::size_t first) {
  return {arguments.tensor(first), arguments.tensor(first + 1), arguments.tensor(first + 2),
          arguments.tensor(first + 3)};
}

struct Form {
  std::int64_t width, deep;
  double kind;

  std::int64_t halves() const { return kind == static_cast<double>(Activation::swiglu) ? 2 : 1; }
  std::int64_t into() const { return halves() * deep * width; }

  Weights of(const Weights& all, std::int64_t expert) const {
    const auto moved = [&](float* first, std::int64_t size) {
      return first == nullptr ? first : first + expert * size;
    };
    return {moved(all.w_in, into()), moved(all.b_in, halves() * deep), moved(all.w_out, width * deep),
            moved(all.b_out, width)};
  }

  std::byte* take_packed(bool backward, Context& context) const {
    const Products products = context.products;
    const auto many = static_cast<std::size_t>(halves());
    return context.scratch.take<std::byte>(
        backward ? (many + 1) * packed_bytes(width, deep, products) + packed_bytes(halves() * deep, width, products)
                 : many * packed_bytes(width, deep, products) + packed_bytes(deep, width, products));
  }

  void forward(const Weights& expert, const float* x, std::int64_t rows, float* y, Context& context) const {
    const Scratch::Loan loan(context.scratch);
    void* const tensors[] = {const_cast<float*>(x), nullptr,      nullptr, expert.w_in, expert.b_in,
                             expert.w_out,          expert.b_out, y,       nullptr,     take_packed(false, context)};
    run(mlp, tensors, rows, context);
  }

  void backward(const Weights& expert, const float* dy, const float* x, std::int64_t rows, float* dx, const Weights& to,
                Context& context) const {
    const Scratch::Loan loan(context.scratch);
    void* const tensors[] = {const_cast<float*>(dy),
                             const_cast<float*>(x),
                             nullptr,
                             nullptr,
                             expert.w_in,
                             expert.b_in,
                             expert.w_out,
                             expert.b_out,
                             dx,
                             to.w_in,
                             to.b_in,
                             to.w_out,
                             to.b_out,
                             nullptr,
                             nullptr,
                             nullptr,
                             take_packed(true, context)};
    run(mlp_backward, tensors, rows, context);
  }

  // Gradients of an expert that no row came to.
  void clear(const Weights& to) const {
    const auto zero = [](float* at, std::int64_t count) {
      if (at != nullptr) __builtin_memset(at, 0, static_cast<std::size_t>(count) * sizeof(float));
    };
    zero(to.w_in, into()), zero(to.b_in, halves() * deep), zero(to.w_out, width * deep), zero(to.b_out, width);
  }

 private:
  // Packed anew: experts take turns in one room, which stays in cache.
  void run(Run op, void* const* tensors, std::int64_t rows, Context& context) const {
    const std::int64_t sizes[] = {rows, width, deep};
    const double settings[] = {kind, 0, 0, 0};  // no norm, nothing added
    const bool first = context.first;
    context.first = true;
    op({tensors, sizes, settings}, context);
    context.first = first;
  }
};

// Of moe_route.
struct Routes {
  const float* gates;
  const std::int32_t *slots, *routes, *starts;
  std::int64_t rows, choices;

  // The rows of an expert, times their gates where `gated`, side by side; how many there are.
  std::int64_t gather(std::int64_t expert, const float* from, std::int64_t width, bool gated, float* to) const {
    for (std::int64_t slot = starts[expert]; slot < starts[expert + 1]; ++slot, to += width) {
      const std::int64_t choice = routes[slot];
      const float *row = from + choice / choices * width, gate = gated ? gates[choice] : 1.0F;
      each_vector(width,
                  [&](std::int64_t at, std::int64_t count) { store(to + at, gate * load(row + at, count), count); });
    }
    return starts[expert + 1] - starts[expert];
  }

  // y = others + what lies in the slots of each row, times their gates where `gated`.
  void add_up(const float* by_slot, std::int64_t width, bool gated, const float* others, float* y) const {
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int32_t* const of_row = slots + row * choices;
      each_vector(width, [&](std::int64_t at, std::int64_t count) {
        Vector total{};
        for (std::int64_t j = 0; j < choices; ++j)
          if (of_row[j] >= 0)
            total += (gated ? gates[row * choices + j] : 1.0F) * load(by_slot + of_row[j] * width + at, count);
        if (others != nullptr) total += load(others + row * width + at, count);
        store(y + row * width + at, total, count);
      });
    }
  }
};

Routes routes_of(const Arguments& arguments, std::size_t first) {
  const auto numbers = [&](std::size_t at) { return arguments.tensor<const std::int32_t>(first + at); };
  return {arguments.tensor(first), numbers(1), numbers(2), numbers(3), arguments.sizes[0], arguments.sizes[4]};
}

Form form_of(const Arguments& arguments) { return {arguments.sizes[1], arguments.sizes[2], arguments.settings[0]}; }

}  // namespace

// tensors: x (M, D), experts: w_in (E, F, D) or (E, 2 F, D), b_in?, w_out (E, D, F), b_out (E, D)?, the same of N
// experts that every row passes?, residual (M, D)?, gates, slots, routes, starts of moe_route, outputs (M J, D) by
// slot, room (as many rows as an expert takes, M where every row passes one, D), y (M, D); sizes: M, D, F, E, J, N;
// settings: the number of the kind.
void moe(const Arguments& arguments, Context& context) {
  const float* x = arguments.tensor(0);
  const Weights experts = weights_of(arguments, 1), shared = weights_of(arguments, 5);
  const Routes routes = routes_of(arguments, 10);
  float *const outputs = arguments.tensor(14), *const room = arguments.tensor(15), *const y = arguments.tensor(16);
  const Form form = form_of(arguments);
  for (std::int64_t expert = 0; expert < arguments.sizes[3]; ++expert)
    if (const std::int64_t rows = routes.gather(expert, x, form.width, false, room); rows > 0)
      form.forward(form.of(experts, expert), room, rows, outputs + routes.starts[expert] * form.width, context);
  routes.add_up(outputs, form.width, true, arguments.tensor(9), y);
  for (std::int64_t expert = 0; expert < arguments.sizes[5]; ++expert) {
    form.forward(form.of(shared, expert), x, routes.rows, room, context);
    add_rows(y, routes.rows, form.width, nullptr, room);
  }
}

// tensors: dy (M, D), x, experts and shared ones as above, gates, slots, routes, starts, outputs, dx (M, D), gradients
// of the experts, of the shared ones, dgates (M, J), room as above, twice, gradients by slot (M J, D); sizes and
// settings as above.
void moe_backward(const Arguments& arguments, Context& context) {
  const float *dy = arguments.tensor(0), *x = arguments.tensor(1), *outputs = arguments.tensor(14);
  const Weights experts = weights_of(arguments, 2), shared = weights_of(arguments, 6);
  const Weights to_experts = weights_of(arguments, 16), to_shared = weights_of(arguments, 20);
  const Routes routes = routes_of(arguments, 10);
  float *const dx = arguments.tensor(15), *const dgates = arguments.tensor(24);
  float *const room = arguments.tensor(25), *const droom = arguments.tensor(26), *const by_slot = arguments.tensor(27);
  const Form form = form_of(arguments);
  const std::int64_t width = form.width;
  for (std::int64_t choice = 0; choice < routes.rows * routes.choices; ++choice) {
    Vector totals{};
    if (const std::int64_t slot = routes.slots[choice]; slot >= 0)
      each_vector(width, [&](std::int64_t at, std::int64_t count) {
        totals += load(dy + choice / routes.choices * width + at, count) * load(outputs + slot * width + at, count);
      });
    dgates[choice] = sum(totals);
  }
  for (std::int64_t expert = 0; expert < arguments.sizes[3]; ++expert) {
    const Weights to = form.of(to_experts, expert);
    if (const std::int64_t rows = routes.gather(expert, x, width, false, room); rows > 0) {
      routes.gather(expert, dy, width, true, droom);
      form.backward(form.of(experts, expert), droom, room, rows, by_slot + routes.starts[expert] * width, to, context);
    } else if (!context.accumulate) {
      form.clear(to);
    }
  }
  routes.add_up(by_slot, width, false, nullptr, dx);
  for (std::int64_t expert = 0; expert < arguments.sizes[5]; ++expert) {
    form.backward(form.of(shared, expert), dy, x, routes.rows, room, form.of(to_shared, expert), context);
    add_rows(dx, routes.rows, width, nullptr, room);
  }
}

}  // namespace isoflop::ops::ISOFLOP_ISA
