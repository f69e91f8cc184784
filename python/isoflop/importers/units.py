"""What the numbers of a file mean, said by whoever imports it: no default, since a wrong one shows in no plot."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from isoflop.errors import SpecError, nearest

LOSS_UNITS: Mapping[str, tuple[float, bool]] = {
    "nats/token": (1.0, False),
    "bits/token": (math.log(2), False),
    "nats/byte": (1.0, True),
    "bits/byte": (math.log(2), True),
}
"""Nats in one of the unit, and whether it is of a byte, so that the bytes of a token must be known."""

N_CONVENTIONS: Mapping[str, str] = {"non-embedding": "N", "total": "n_params"}
"""The count of a run that N is, by which parameters it counts."""


def nats_per_token(loss_unit: str | None, bytes_per_token: float | None) -> float:
    """The factor from losses in ``loss_unit`` to nats a token.

    Raises:
        SpecError: the unit was not said or is unknown; one of a byte without ``bytes_per_token``, or one of a token
            with it.
    """
    if loss_unit is None:
        raise SpecError(
            "the unit of the losses is not said", hint=f"loss_unit (--loss-unit) is one of {', '.join(LOSS_UNITS)}"
        )
    if loss_unit not in LOSS_UNITS:
        raise SpecError(f"unknown unit of losses {loss_unit!r}", hint=nearest(loss_unit, LOSS_UNITS))
    nats, of_a_byte = LOSS_UNITS[loss_unit]
    if of_a_byte != (bytes_per_token is not None):
        raise SpecError(
            f"losses in {loss_unit} {'need' if of_a_byte else 'take no'} bytes_per_token",
            hint="bytes_per_token (--bytes-per-token) is the mean length of a token of the held-out text, in bytes",
        )
    if bytes_per_token is None:
        return nats
    if not (math.isfinite(bytes_per_token) and bytes_per_token > 0):
        raise SpecError(f"bytes_per_token = {bytes_per_token!r} must be a positive number")
    return nats * bytes_per_token


def count_of_n(n_convention: str | None, targets: Collection[str]) -> str:
    """The count that the column mapped to N is: ``N`` of a store, or ``n_params``.

    Raises:
        SpecError: the convention was not said, is unknown, or makes N the ``n_params`` that has a column of its own.
    """
    if "N" not in targets:
        return "N"
    if n_convention is None:
        raise SpecError(
            "which parameters N counts is not said",
            hint=f"n_convention (--n-convention) is one of {', '.join(N_CONVENTIONS)}",
        )
    if n_convention not in N_CONVENTIONS:
        raise SpecError(f"unknown convention of N {n_convention!r}", hint=nearest(n_convention, N_CONVENTIONS))
    count = N_CONVENTIONS[n_convention]
    if count in targets and count != "N":
        raise SpecError(f"N as {n_convention} parameters is {count}, which has a column of its own")
    return count
