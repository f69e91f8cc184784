"""Activations of a hidden tile and their gradients: device code for kernels that fuse them.

    gelu       z Phi(z),                             slope Phi(z) + z exp(-z^2/2)/sqrt(2 pi)
    gelu_tanh  z s,  s = sigmoid(2 c (z + b z^3)),   slope s + z s (1 - s) 2 c (1 + 3 b z^2)
    relu2      max(z, 0)^2,                          slope 2 max(z, 0)
    swiglu     g s v,  s = sigmoid(g),               slopes v (s + g s (1 - s)) and g s

with c = sqrt(2/pi), b = 0.044715. A gated activation has the gate g and the value v, the others have z alone.
"""

from __future__ import annotations

import triton
import triton.language as tl

from isoflop.kernels.signatures import ACTIVATIONS as KINDS
from isoflop.kernels.signatures import GATED

__all__ = ["GATED", "KINDS", "activate", "activation_gradient", "sigmoid"]


@triton.jit
def sigmoid(t):
    """(s, s (1 - s)), each to its own last digits however large ``t`` is."""
    e = tl.exp(-tl.abs(t))
    share = 1.0 / (1.0 + e)
    return tl.where(t >= 0.0, share, e * share), e * share * share


@triton.jit
def activate(z, value, KIND: tl.constexpr):
    """The activation of ``z``, the gate of ``value`` where KIND is gated."""
    if KIND == "gelu":
        return 0.5 * z * (1.0 + tl.math.erf(z * 0.7071067811865476))
    if KIND == "gelu_tanh":
        return z * sigmoid(1.5957691216057308 * (z + 0.044715 * z * z * z))[0]
    if KIND == "relu2":
        return tl.maximum(z, 0.0) * tl.maximum(z, 0.0)
    return z * sigmoid(z)[0] * value


@triton.jit
def activation_gradient(z, value, da, KIND: tl.constexpr):
    """(dz, dvalue) from ``da``; dvalue is dz where KIND is not gated."""
    if KIND == "gelu":
        normal = 0.5 * (1.0 + tl.math.erf(z * 0.7071067811865476))
        dz = da * (normal + z * 0.3989422804014327 * tl.exp(-0.5 * z * z))
        return dz, dz
    if KIND == "gelu_tanh":
        s, slope = sigmoid(1.5957691216057308 * (z + 0.044715 * z * z * z))
        dz = da * (s + z * slope * 1.5957691216057308 * (1.0 + 0.134145 * z * z))
        return dz, dz
    if KIND == "relu2":
        dz = da * 2.0 * tl.maximum(z, 0.0)
        return dz, dz
    s, slope = sigmoid(z)
    return da * value * (s + z * slope), da * z * s
