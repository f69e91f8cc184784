"""Launchers recorded and run again are the launchers called at once; nothing in planned memory is overwritten."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed: isoflop[train] brings it")

from isoflop.errors import KernelError  # noqa: E402
from isoflop.kernels.native import norm  # noqa: E402
from isoflop.kernels.native.arena import ALIGNMENT, Life, lay_out  # noqa: E402
from isoflop.kernels.native.call import constant  # noqa: E402
from isoflop.kernels.native.program import Program, Stage  # noqa: E402

LIVES = st.lists(
    st.builds(
        lambda size, first, length: Life(size, first, first + length),
        st.integers(1, 1000), st.integers(0, 20), st.integers(0, 8),
    ),
    max_size=30,
)  # fmt: skip


@given(LIVES)
def test_no_two_tensors_that_live_at_once_share_a_byte(lives: list[Life]) -> None:
    offsets, total = lay_out(lives)
    for a, at in zip(lives, offsets, strict=True):
        assert at % ALIGNMENT == 0
        assert at + a.bytes <= total
        for b, other in zip(lives, offsets, strict=True):
            if a is not b and a.first <= b.last and b.first <= a.last:
                assert at + a.bytes <= other or other + b.bytes <= at


@given(LIVES)
def test_tensors_one_after_the_other_take_the_memory_of_the_largest(lives: list[Life]) -> None:
    apart = [Life(life.bytes, index, index) for index, life in enumerate(lives)]
    assert lay_out(apart)[1] == max((-(-life.bytes // ALIGNMENT) * ALIGNMENT for life in apart), default=0)


def normed(x: torch.Tensor, gain: torch.Tensor) -> torch.Tensor:
    """Three norms, one after the other."""
    for _ in range(3):
        x = norm.forward(x, gain, None, kind="layer")[0]
    return x


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_program_gives_the_bits_of_the_launchers(threads: int) -> None:
    models, units, parts, rows, width = 3, 2, 2, 5, 24
    x, gain = torch.randn(models, units, parts, rows, width), torch.rand(models, width)
    out = torch.zeros_like(x)
    row = 4 * rows * width
    stage = Stage(units, parts)
    for tensor in (x, out):
        stage.place(tensor, model=4 * tensor.stride(0), unit=parts * row, part=row)
    stage.place(gain, model=4 * width)
    with stage.recorded():
        made = normed(x[:1, 0, 0], gain[:1])
    stage.move(made, out[:1, 0, 0])
    program = Program([stage], threads=threads)
    assert program.calls == 3
    # Of three results and three pairs of statistics a thread holds at most what two calls write.
    assert program.bytes <= threads * 3 * (row + 512)
    program.run([0, 2])
    expected = normed(x.flatten(1, 3), gain).view_as(x)
    assert torch.equal(out[[0, 2]], expected[[0, 2]])
    assert not out[1].any()
    other = torch.randn_like(x)
    program.replace(x, other, model=4 * x.stride(0), unit=parts * row, part=row)
    program.run([1])
    assert torch.equal(out[1], normed(other.flatten(1, 3), gain).view_as(x)[1])


def test_constants_are_read_where_they_are() -> None:
    x, out = torch.randn(2, 4, 16), torch.zeros(2, 4, 16)
    stage = Stage(1)
    stage.place(x, model=4 * 64)
    stage.place(out, model=4 * 64)
    with stage.recorded():
        gain = constant(torch.rand(1, 16))
        made = norm.forward(x[:1], gain, None, kind="rms")[0]
    stage.move(made, out[:1])
    Program([stage], threads=1).run([0, 1])
    assert torch.equal(out, norm.forward(x, gain.repeat(2, 1), None, kind="rms")[0])


def test_results_are_moved_only_where_they_fit() -> None:
    stage = Stage(1)
    with pytest.raises(KernelError, match=r"shape \(2,\) is moved to \(3,\)"):
        stage.move(torch.zeros(2), torch.zeros(3))


def test_a_forked_process_runs_programs_too() -> None:
    x = torch.randn(4, 1, 8)
    stage = Stage(1)
    stage.place(x, model=32)
    gain, out = torch.ones(1, 8), torch.zeros_like(x)
    stage.place(gain)
    stage.place(out, model=32)
    with stage.recorded():
        made = norm.forward(x[:1], gain, None, kind="rms")[0]
    stage.move(made, out[:1])
    program = Program([stage], threads=2)
    program.run(range(4))
    child = os.fork()
    if child == 0:
        out.zero_()
        program.run(range(4))
        os._exit(0 if out.any() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
