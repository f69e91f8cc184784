"""Kernels of the training ops: one file an op, and the plain definition of each in ``reference``."""

from isoflop.kernels.dispatch import last_dispatch

__all__ = ["last_dispatch"]
