"""The training step of K models of one shape, written once over the ops of a backend."""
