"""Members of a fused group are stopped early: they stay as they were, others go on as before."""

from collections.abc import Collection, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import final

import torch
from cgo_cases import BATCH, CASES, Candidates, Case
from device_equality import set_tf32
from device_models import examples
from device_task import NO_TIME, Row, Task, checked, claimed, noted, skipped
from torch import Tensor, nn

from runner.data.data import SearchData
from runner.evaluators.evaluator import TrainingRun
from runner.trial import Gain, Metrics

SIZE, EPOCH = 8, 3
# Places of the models that are stopped after so many epochs; one alone, then two, so many that the
# others are fused anew.
STOPPED = ([2], [2, 5])
NEAR = 1e-6  # relative error of the others, in float64, in which the smaller group only rounds
State = dict[str, Tensor]


@final
class Outcome:
    """A training of a group, in which some members are stopped."""

    def __init__(self, case: Case, task: Task, stopped: Sequence[int] = ()) -> None:
        device = torch.device(task.device)
        candidates = Candidates(case)
        candidates.plan()
        self.models: list[nn.Module] = [model.double() for model in candidates.models()]
        self.reports: list[Sequence[Metrics]] = []
        self.gain = Gain(0)
        self.at_stop: dict[int, State] = {}

        def report(metrics: Sequence[Metrics]) -> Collection[int]:
            self.reports.append(metrics)
            if len(self.reports) != EPOCH:
                return ()
            self.at_stop = {i: deepcopy(self.models[i].state_dict()) for i in stopped}
            return stopped

        def tell(gain: Gain) -> None:
            self.gain = gain

        epochs = 6 if task.quick else 10
        recipes = [replace(piece, epochs=epochs) for piece in candidates.pieces()]
        seeds = [trial.seed for trial in candidates.trials]
        run = TrainingRun(device, seeds, report, recipes, candidates.programs(), tell)
        count = BATCH * (8 if task.quick else 40)
        parts = (examples(count, case.shape, seed, torch.float64) for seed in (0, 1))
        recipes[0].evaluate(self.models, SearchData(*parts), run)


def run(task: Task) -> Iterator[Row]:
    """Train groups without and with members that are stopped."""
    set_tf32(False)
    names = ("tiny MLP, 16 rates", "small CNN")[: 1 if task.quick else 2]
    for case in [replace(case, size=SIZE) for case in CASES if case.name in names]:
        whole = Outcome(case, task)
        for stopped in STOPPED[1:] if task.quick else STOPPED:
            if task.left < 0:
                yield skipped(f"{case.name}, {len(stopped)} stopped", NO_TIME)
                continue
            cut = Outcome(case, task, stopped)
            yield from _compared(f"{case.name}, {len(stopped)} stopped", stopped, whole, cut)


def _compared(name: str, stopped: Sequence[int], whole: Outcome, cut: Outcome) -> Iterator[Row]:
    equal = all(
        torch.equal(value, cut.models[place].state_dict()[key])
        for place, state in cut.at_stop.items()
        for key, value in state.items()
    )
    yield claimed(f"{name}: they keep their weights", equal, "they differ")
    later = [report[place] for report in cut.reports[EPOCH:] for place in stopped]
    yield claimed(f"{name}: they report no more", not any(later), f"{later}")
    others = [place for place in range(SIZE) if place not in stopped]
    pairs = [(cut.models[i].state_dict(), whole.models[i].state_dict()) for i in others]
    yield checked(f"{name}: weights of the others", max(_apart(*two) for two in pairs), NEAR)
    last, first = cut.reports[-1], whole.reports[-1]
    apart = max(abs(last[i]["val/loss"] / first[i]["val/loss"] - 1) for i in others)
    yield checked(f"{name}: last losses of the others", apart, NEAR)
    gain = cut.gain
    how = gain.why or f"trained as one, {gain.speedup:.1f} times as fast"
    yield noted(f"{name}, of {gain.models}: {how}.")


def _apart(ours: State, theirs: State) -> float:
    errors = [
        (ours[key].double() - value.double()).norm() / value.double().norm().clamp(min=1e-9)
        for key, value in theirs.items()
    ]
    return float(torch.stack(errors).max())
