"""What a training measures besides its held-out loss, by name: each adds columns to the points of its run."""

from __future__ import annotations

MEASUREMENTS: dict[str, str] = {
    "accuracy": "the share of held-out tokens that are the likeliest: val_accuracy",
    "cost": "what training took so far, and what evaluations did: seconds, joules where they can be read, "
    "seconds_evaluating",
    "gap": "the loss on what was trained on, as many tokens as are held out: trained_loss, trained_loss_se",
    "noise": "squared gradients of half a batch and of a whole one: grad_square_half, grad_square",
    "position": "the held-out loss at places in the context: val_loss_at_1 ... val_loss_at_N",
}
"""Name -> what it writes. Those of the held-out loss come with each evaluation, the others with every point."""
