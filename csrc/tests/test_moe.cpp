#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "op.hpp"

using namespace isoflop::ops;

namespace {

constexpr std::int64_t rows = 7, width = 5, deep = 9, experts = 3, top = 2, capacity = 3;

std::vector<float> numbers(std::size_t count, float slope) {
  std::vector<float> made(count);
  for (std::size_t i = 0; i < count; ++i) made[i] = std::sin(slope * static_cast<float>(i + 1));
  return made;
}

void run(const char* name, Isa isa, std::vector<void*> tensors, const std::vector<std::int64_t>& sizes,
         const std::vector<double>& settings, Context& context) {
  const Op* op = find_op(name, isa);
  REQUIRE(op != nullptr);
  refuse_counts(*op, tensors.size(), sizes.size(), settings.size());
  op->run({tensors.data(), sizes.data(), settings.data()}, context);
  context.scratch.clear();
}

struct Mixture {
  std::vector<float> x = numbers(rows * width, 0.7F), router = numbers(experts * width, 0.9F),
                     w_in = numbers(experts * deep * width, 0.3F), b_in = numbers(experts * deep, 0.4F),
                     w_out = numbers(experts * width * deep, 0.2F), b_out = numbers(experts * width, 0.5F);
  std::vector<float> p = std::vector<float>(rows * experts), gates = std::vector<float>(rows * top), balance{0},
                     outputs = std::vector<float>(rows * top * width), room = std::vector<float>(rows * width),
                     y = std::vector<float>(rows * width);
  std::vector<std::int32_t> chosen = std::vector<std::int32_t>(rows * top), slots = chosen, routes = chosen,
                            totals = std::vector<std::int32_t>(experts),
                            starts = std::vector<std::int32_t>(experts + 1);
  std::int64_t dropped = 0;
  Context context;

  void forward(Isa isa) {
    run("moe_route", isa,
        {x.data(), router.data(), nullptr, p.data(), chosen.data(), gates.data(), slots.data(), routes.data(),
         totals.data(), starts.data(), balance.data(), &dropped},
        {rows, width, experts, top, capacity}, {0}, context);
    run("moe", isa,
        {x.data(), w_in.data(), b_in.data(), w_out.data(), b_out.data(), w_in.data(), nullptr, w_out.data(), nullptr,
         x.data(), gates.data(), slots.data(), routes.data(), starts.data(), outputs.data(), room.data(), y.data()},
        {rows, width, deep, experts, top, 1}, {0}, context);
  }
};

// Gradients of the weights of experts and of the router, added to what stands there or not.
std::vector<float> gradients(Mixture& of, Isa isa, bool accumulate, float before) {
  std::vector<float> dy = numbers(rows * width, 0.6F), dx(rows * width), dw_in(of.w_in.size(), before),
                     db_in(of.b_in.size(), before), dw_out(of.w_out.size(), before), db_out(of.b_out.size(), before),
                     shared_in(deep * width, before), shared_out(deep * width, before), dgates(rows * top),
                     droom(rows * width), by_slot(rows * top * width), dlogits(rows * experts), dbalance{0.5F},
                     drouter(of.router.size(), before);
  of.context.accumulate = accumulate;
  run("moe_backward", isa,
      {dy.data(),        of.x.data(),      of.w_in.data(),    of.b_in.data(), of.w_out.data(),   of.b_out.data(),
       of.w_in.data(),   nullptr,          of.w_out.data(),   nullptr,        of.gates.data(),   of.slots.data(),
       of.routes.data(), of.starts.data(), of.outputs.data(), dx.data(),      dw_in.data(),      db_in.data(),
       dw_out.data(),    db_out.data(),    shared_in.data(),  nullptr,        shared_out.data(), nullptr,
       dgates.data(),    of.room.data(),   droom.data(),      by_slot.data()},
      {rows, width, deep, experts, top, 1}, {0}, of.context);
  run("moe_route_backward", isa,
      {of.x.data(), of.router.data(), nullptr, of.p.data(), of.chosen.data(), of.gates.data(), of.totals.data(),
       dgates.data(), dbalance.data(), dlogits.data(), dx.data(), drouter.data()},
      {rows, width, experts, top}, {0}, of.context);
  for (const auto* each : {&db_in, &dw_out, &db_out, &shared_in, &shared_out, &drouter})
    dw_in.insert(dw_in.end(), each->begin(), each->end());
  return dw_in;
}

}  // namespace

TEST_CASE("each row has the outputs of its experts times their gates, but for those that were full") {
  for (const Isa isa : usable_isas()) {
    Mixture of;
    of.forward(isa);
    CHECK(of.dropped > 0);
    CHECK(of.starts[experts] == rows * top - of.dropped);
    for (std::int64_t row = 0; row < rows; ++row) {
      float mass = 0;
      for (std::int64_t expert = 0; expert < experts; ++expert)
        mass += of.p[static_cast<std::size_t>(row * experts + expert)];
      CHECK(mass == doctest::Approx(1.0F));
    }
    Mixture alone;  // without the routed experts: the residual stream and the one that every row passes
    for (float& each : alone.b_out) each = 0;
    for (float& each : alone.w_out) each = 0;
    alone.forward(isa);
    CHECK(alone.y == of.x);
  }
}

TEST_CASE("gradients of a mixture are added where told so, and those of an expert without rows are nought") {
  for (const Isa isa : usable_isas()) {
    Mixture of;
    of.forward(isa);
    const std::vector<float> fresh = gradients(of, isa, false, 7), more = gradients(of, isa, true, 7);
    for (std::size_t i = 0; i < fresh.size(); ++i) CHECK(more[i] == doctest::Approx(fresh[i] + 7).epsilon(1e-4));
    for (float& each : of.router) each = 0;  // even: the first two experts take as many rows as they can
    of.forward(isa);
    CHECK(of.totals[2] == 0);
    const std::vector<float> none = gradients(of, isa, false, 7);
    for (std::int64_t at = 2 * deep * width; at < 3 * deep * width; ++at)
      CHECK(none[static_cast<std::size_t>(at)] == 0);
  }
}
