"""Published models, and random shapes for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

from isoflop import Shape

LLAMA = {"norm": "rms", "activation": "swiglu", "position": "rope", "bias": False, "tied_embeddings": False}

GPT2 = Shape(n_layer=12, d_model=768, n_head=12, n_ctx=1024, n_vocab=50257)
GPT2_XL = Shape(n_layer=48, d_model=1600, n_head=25, n_ctx=1024, n_vocab=50257)
LLAMA2_7B = Shape(n_layer=32, d_model=4096, n_head=32, n_ctx=4096, n_vocab=32000, d_ff=11008, **LLAMA)
LLAMA3_8B = Shape(n_layer=32, d_model=4096, n_head=32, n_kv_head=8, n_ctx=8192, n_vocab=128256, d_ff=14336, **LLAMA)


@st.composite
def shapes(draw: st.DrawFn, *, largest: int = 1024) -> Shape:
    n_kv_head = draw(st.integers(1, 8))
    return Shape(
        n_layer=draw(st.integers(1, 128)),
        d_model=draw(st.integers(1, largest)),
        n_head=n_kv_head * draw(st.integers(1, 8)),
        n_kv_head=n_kv_head,
        d_head=2 * draw(st.integers(1, 128)),
        d_ff=draw(st.integers(1, 4 * largest)),
        n_ctx=draw(st.integers(1, 4096)),
        n_vocab=draw(st.integers(1, 300_000)),
        norm=draw(st.sampled_from(["layer", "rms"])),
        activation=draw(st.sampled_from(["gelu", "relu2", "swiglu"])),
        position=draw(st.sampled_from(["learned", "rope", "none"])),
        bias=draw(st.booleans()),
        tied_embeddings=draw(st.booleans()),
    )
