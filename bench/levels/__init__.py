"""The MLP of K models from plain torch to the shipped kernel, one idea a file: docs/kernel-levels.md walks them."""
