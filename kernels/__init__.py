"""Kernels of the training ops: one file an op, and the plain definition of each in ``reference``."""
