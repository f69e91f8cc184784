#include "isoflop/shape.hpp"

#include "bind.hpp"

using isoflop::Shape;

namespace {

Shape make_shape(std::int64_t n_layer, std::int64_t d_model, std::int64_t n_head, std::int64_t n_kv_head,
                 std::int64_t d_head, std::int64_t d_ff, std::int64_t n_ctx, std::int64_t n_vocab, bool gated, bool rms,
                 bool learned_position, bool bias, bool tied) {
  return {n_layer, d_model, n_head, n_kv_head, d_head, d_ff, n_ctx, n_vocab, gated, rms, learned_position, bias, tied};
}

}  // namespace

void register_shape(py::module_& module) {
  py::class_<Shape>(module, "Shape", "A resolved Transformer shape; isoflop.Shape validates and builds it.")
      .def(py::init(&make_shape), py::kw_only(), "n_layer"_a, "d_model"_a, "n_head"_a, "n_kv_head"_a, "d_head"_a,
           "d_ff"_a, "n_ctx"_a, "n_vocab"_a, "gated"_a, "rms"_a, "learned_position"_a, "bias"_a, "tied"_a)
      .def_property_readonly("d_attn", &isoflop::d_attn)
      .def_property_readonly("n_kaplan", &isoflop::n_kaplan)
      .def_property_readonly("n_embedding", &isoflop::n_embedding)
      .def_property_readonly("n_nonembedding", &isoflop::n_nonembedding)
      .def_property_readonly("n_params", &isoflop::n_params);
}
