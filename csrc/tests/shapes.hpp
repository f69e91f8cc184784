// Published models that several tests count.
#pragma once

#include "isoflop/shape.hpp"

namespace shapes {

inline constexpr isoflop::Shape gpt2{.n_layer = 12,
                                     .d_model = 768,
                                     .n_head = 12,
                                     .n_kv_head = 12,
                                     .d_head = 64,
                                     .d_ff = 3072,
                                     .n_ctx = 1024,
                                     .n_vocab = 50257};

inline constexpr isoflop::Shape gpt2_xl{.n_layer = 48,
                                        .d_model = 1600,
                                        .n_head = 25,
                                        .n_kv_head = 25,
                                        .d_head = 64,
                                        .d_ff = 6400,
                                        .n_ctx = 1024,
                                        .n_vocab = 50257};

inline constexpr isoflop::Shape llama2_7b{.n_layer = 32,
                                          .d_model = 4096,
                                          .n_head = 32,
                                          .n_kv_head = 32,
                                          .d_head = 128,
                                          .d_ff = 11008,
                                          .n_ctx = 4096,
                                          .n_vocab = 32000,
                                          .gated = true,
                                          .rms = true,
                                          .learned_position = false,
                                          .bias = false,
                                          .tied = false};

inline constexpr isoflop::Shape llama3_8b{.n_layer = 32,
                                          .d_model = 4096,
                                          .n_head = 32,
                                          .n_kv_head = 8,
                                          .d_head = 128,
                                          .d_ff = 14336,
                                          .n_ctx = 8192,
                                          .n_vocab = 128256,
                                          .gated = true,
                                          .rms = true,
                                          .learned_position = false,
                                          .bias = false,
                                          .tied = false};

}  // namespace shapes
