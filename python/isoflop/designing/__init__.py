"""What to run next: the runs that make a prediction surest for their FLOPs. numpy only, from a published set."""

from __future__ import annotations

from isoflop.designing.candidates import Space
from isoflop.designing.design import design
from isoflop.designing.designed import Aim, ChosenRun, Design
from isoflop.designing.machine import Machine

__all__ = ["Aim", "ChosenRun", "Design", "Machine", "Space", "design"]
