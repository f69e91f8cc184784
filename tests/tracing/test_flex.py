"""flex_attention: counted where it runs uncompiled, which a trace makes it do."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: isoflop[train] brings it")

from torch.nn.attention.flex_attention import create_block_mask, flex_attention  # noqa: E402

import isoflop as iso  # noqa: E402


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize(("masked", "kept"), [(False, 4), (True, 3)])
def test_flex_attention_keeps_the_blocks_that_its_mask_does_not_skip(masked: bool, kept: int) -> None:
    q = torch.randn(1, 2, 256, 16)
    causal = create_block_mask(lambda b, h, i, j: i >= j, None, None, 256, 256, device="cpu") if masked else None
    with iso.trace() as t:
        flex_attention(q, q, q, block_mask=causal)
    assert t.total.products == 2 * 2 * 256 * 256 * 2 * 16
    assert t.total.kept == t.total.products * kept / 4
    assert t.uncounted == {}


def test_a_full_graph_is_run_eagerly_and_counted() -> None:
    layer = torch.compile(torch.nn.Linear(3, 5), fullgraph=True, backend="eager")
    with iso.trace() as t:
        layer(torch.ones(2, 3))
    assert t.total.products == 2 * 2 * 3 * 5
