"""What an evaluation of a run looks at: the held-out windows, and others where the spec asks for more."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from isoflop.data import Corpus
from isoflop.errors import CorpusError
from isoflop.train.evaluate import HeldOutLoss, held_out_loss
from isoflop.train.measurements.accuracy import accuracy, exact_match
from isoflop.train.measurements.position import loss_by_position
from isoflop.train.spec import TrainSpec
from isoflop.train.step import Step
from isoflop.train.windows import Windows, held_out_windows, trained_windows

Measured = tuple[HeldOutLoss, dict[str, float]]


class Judge:
    """The windows that one run is judged on, and the columns of a point made from their losses.

    Args:
        spec: of the run.
        corpus: that it trains on.
        transfer: those that ``spec.transfer`` names.

    Raises:
        CorpusError: a corpus lacks held-out tokens, or has tokens beyond the vocabulary of the run; others are given
            for transfer than the spec names.
    """

    def __init__(self, spec: TrainSpec, corpus: Corpus, transfer: Sequence[Corpus] = ()) -> None:
        if set(spec.transfer) != (given := {other.fingerprint for other in transfer}):
            raise CorpusError(
                f"the spec measures transfer to {', '.join(spec.transfer) or 'no corpus'}; "
                f"given: {', '.join(sorted(given)) or 'none'}"
            )
        self.spec = spec
        self.held_out = held_out_windows(spec, corpus)
        self.others = {f"val_loss_on_{other.fingerprint}": held_out_windows(spec, other) for other in transfer}
        if "gap" in spec.measurements:
            self.others["trained_loss"] = trained_windows(spec, corpus)


def judge(step: Step, judges: Mapping[int, Judge]) -> dict[int, Measured]:
    """Evaluate the models of ``step`` with these indices: held-out losses, and further columns of their points."""
    if not judges:
        return {}
    held_out = {k: each.held_out for k, each in judges.items()}
    losses = _score(step, step.evaluate, held_out)
    found: dict[int, Measured] = {}
    for k, each in judges.items():
        by_place = loss_by_position(losses[k]) if "position" in each.spec.measurements else {}
        found[k] = held_out_loss(losses[k]), by_place
    if counting := {k: held_out[k] for k, each in judges.items() if each.spec.wants_hits}:
        for k, hits in _score(step, step.hits, counting).items():
            found[k][1].update(exact_match(hits, judges[k].spec.exact_match))
            if "accuracy" in judges[k].spec.measurements:
                found[k][1].update(accuracy(hits))
    for name in dict.fromkeys(name for each in judges.values() for name in each.others):
        asked = {k: each.others[name] for k, each in judges.items() if name in each.others}
        for k, other in _score(step, step.evaluate, asked).items():
            measured = held_out_loss(other)
            found[k][1].update({name: measured.mean, f"{name}_se": measured.standard_error})
    return found


def _score(step: Step, scored: Callable[[Tensor, Tensor], Tensor], windows: Mapping[int, Windows]) -> dict[int, Tensor]:
    """What ``scored`` says of every token of each model's ``windows`` (n, n_ctx + 1): (n, n_ctx), by model."""
    n_ctx = next(iter(windows.values())).shape[1] - 1
    training = step.active.clone()
    tokens, targets = (torch.zeros(len(training), step.eval_batch, n_ctx, dtype=torch.int64) for _ in range(2))
    parts: dict[int, list[Tensor]] = {k: [] for k in windows}
    for start in range(0, max(map(len, windows.values())), step.eval_batch):
        rows = {k: own[start : start + step.eval_batch] for k, own in windows.items() if start < len(own)}
        step.active.fill_(False)
        for k, own in rows.items():
            step.active[k] = True
            tokens.numpy()[k, : len(own)] = own[:, :-1]
            targets.numpy()[k, : len(own)] = own[:, 1:]
        answer = scored(tokens, targets)
        for k, own in rows.items():
            parts[k].append(answer[k, : len(own)].cpu().clone())
    step.active.copy_(training)
    return {k: torch.cat(each) for k, each in parts.items()}
