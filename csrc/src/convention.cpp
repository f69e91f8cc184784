#include "isoflop/convention.hpp"

#include <stdexcept>
#include <string>

namespace isoflop {

namespace {

std::int64_t charged_params(const Shape& shape, Params params) {
  switch (params) {
    case Params::none: return 0;
    case Params::kaplan: return n_kaplan(shape);
    case Params::total: return n_params(shape);
  }
  return 0;
}

}  // namespace

const Convention& find_convention(std::string_view name) {
  for (const Convention& convention : conventions)
    if (convention.name == name) return convention;
  throw std::invalid_argument("unknown FLOP convention '" + std::string(name) + "'");
}

double forward_flops(const Shape& shape, const Convention& convention, Tokens tokens) {
  double flops = 2.0 * static_cast<double>(charged_params(shape, convention.params)) * tokens.count();
  const Terms terms = forward_terms(shape, tokens, convention.pairs);
  for (std::size_t i = 0; i < terms.size(); ++i)
    if ((convention.terms >> i & 1U) != 0) flops += terms[i];
  return flops;
}

double training_flops(const Shape& shape, const Convention& convention, Tokens tokens) {
  return convention.training_factor * forward_flops(shape, convention, tokens);
}

}  // namespace isoflop
