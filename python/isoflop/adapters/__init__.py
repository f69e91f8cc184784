"""Recorders for other trainers: ``from isoflop.adapters import huggingface`` loads its library, this package none.

All of them record through :class:`isoflop.Recorder`, take shapes and parameter counts from the model, and count
training FLOPs by tracing it.
"""
