"""What early stopping saves: epochs, against the best accuracy of training every trial to its end.

    python benchmarks/stopping.py [--quick] [--json FILE]

Random search over MLPs and learning rates on digits, with several seeds, as real searches: all
trials trained to their end, and then `stopper=asha` with a third of those epochs as its budget, for
which it tries more samples. The first trials have the same samples, seeds and learning curves in
both. So what each stopper does with them is also shown, on the curves of the first search, without
training again; for asha, that must be what the second search did with them.
"""

import contextlib
import io
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import final

import yaml
from report import Target, as_figures, console, options, target_table, write
from rich.table import Table

import runner
from runner.config.instantiate import build
from runner.config.settings import conf_folder
from runner.goals import Goals, Objective
from runner.stoppers.stopper import Stopper
from runner.store import Store
from runner.trial import State, Trial

GOALS = Goals((Objective("val/accuracy", "max"),))
SHOWN = ("asha", "hyperband", "median", "percentile", "patience", "wilcoxon")
REAL = "asha, a third of the epochs"
PROCESSES = 2
WITHIN, SHARE = 0.5, 40.0  # points of accuracy, and percent of the epochs
Curves = Sequence[Sequence[float]]


@final
@dataclass(frozen=True)
class Size:
    """How much is searched, and with how many seeds."""

    seeds: int
    trials: int
    epochs: int


@final
@dataclass(frozen=True)
class Outcome:
    """Of one seed: the best accuracy of a finished trial, in percent, and the epochs trained."""

    best: float
    epochs: int


def main() -> None:
    parser = options(__doc__, "two seeds of four short trials")
    given = parser.parse_args()
    size = Size(2, 4, 9) if given.quick else Size(10, 12, 27)
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        found = [*pool.map(partial(outcomes, size), range(size.seeds))]
    targets = targets_of(found)
    console().print(outcome_table(found, size), target_table(targets))
    figures = {
        "size": asdict(size),
        "seeds": [{name: asdict(one) for name, one in seed.items()} for seed in found],
        "targets": as_figures(targets),
    }
    write(given.json, ("torch", "optuna"), figures)


def outcomes(size: Size, seed: int) -> Mapping[str, Outcome]:
    """Returns what each stopper reaches with a seed."""
    with tempfile.TemporaryDirectory() as place:
        curves = searched(Path(place) / "none", size, seed, "none")
        real = searched(Path(place) / "asha", size, seed, "asha")
    cut = {name: stopped_by(name, curves) for name in SHOWN}
    both = min(len(real), len(curves))
    if cut["asha"][:both] != real[:both]:
        raise AssertionError(f"seed {seed}: asha was to train {cut['asha']}, and trained {real}")
    found = {"none": curves, **cut, REAL: real}
    return {name: outcome(kept, size.epochs) for name, kept in found.items()}


def searched(folder: Path, size: Size, seed: int, stopper: str) -> list[Sequence[float]]:
    """Runs a search and returns the learning curve of each of its trials."""
    whole = size.trials * size.epochs
    budget = (size.trials, whole) if stopper == "none" else (whole, whole // 3)
    settings = (
        *("space=mlp", "data=digits", "strategy=random", "training=inline", "training.device=cpu"),
        *("export.top=0", "export.keep_weights=0", f"stopper={stopper}", f"seed={seed}"),
        f"budget.trials={budget[0]}", f"budget.epochs={budget[1]}",
        f"evaluator.epochs={size.epochs}",
        "search={evaluator.lr: {low: 1e-4, high: 3e-2, log: true}}",
    )  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        runner.run(settings, folder)
    curves: dict[int, list[float]] = {}
    with Store(folder, GOALS) as store:
        for trial in store.replay():
            curve = curves.setdefault(trial.number, [])
            if trial.running and trial.step:
                curve.append(trial.metrics["val/accuracy"])
    return [curve for curve in curves.values() if curve]


def outcome(curves: Curves, epochs: int) -> Outcome:
    """Returns what trials with these curves have cost and brought."""
    finished = [curve[-1] for curve in curves if len(curve) == epochs]
    return Outcome(100 * max(finished, default=0.0), sum(map(len, curves)))


def stopped_by(name: str, curves: Curves) -> list[Sequence[float]]:
    """Returns the curves up to where a stopper ends the trials, one after another."""
    node = yaml.safe_load((conf_folder() / "stopper" / f"{name}.yaml").read_text())
    stopper: Stopper = build(node, (), goals=GOALS)
    return [_cut(stopper, number, curve) for number, curve in enumerate(curves)]


def _cut(stopper: Stopper, number: int, curve: Sequence[float]) -> Sequence[float]:
    trial = Trial(number, {}, seed=0)
    stopper.observe(trial)
    for step, value in enumerate(curve, start=1):
        trial = replace(trial, step=step, metrics={"val/accuracy": value}, started_at=0.0)
        stopper.observe(trial)
        if step < len(curve) and stopper.should_stop(trial):
            stopper.observe(replace(trial, state=State.STOPPED))
            return curve[:step]
    stopper.observe(replace(trial, state=State.FINISHED, scores=(curve[-1],)))
    return curve


def targets_of(found: Sequence[Mapping[str, Outcome]]) -> list[Target]:
    """Returns the targets: how much worse the best may be, and what share of the epochs is left."""
    lost, share = _lost(found, REAL), _share(found, REAL)
    return [
        Target("asha: best accuracy lost, mean over seeds", lost, WITHIN, "points"),
        Target("asha: epochs, of those of full training", share, SHARE, "%"),
    ]


def _lost(found: Sequence[Mapping[str, Outcome]], name: str) -> float:
    return statistics.mean(seed["none"].best - seed[name].best for seed in found)


def _share(found: Sequence[Mapping[str, Outcome]], name: str) -> float:
    whole = sum(seed["none"].epochs for seed in found)
    return 100 * sum(seed[name].epochs for seed in found) / whole


def outcome_table(found: Sequence[Mapping[str, Outcome]], size: Size) -> Table:
    """One row per stopper."""
    table = Table(
        title=f"{size.trials} trials of {size.epochs} epochs, MLPs on digits, {len(found)} seeds"
    )
    table.add_column("stopper", no_wrap=True)
    for head in ("epochs", "best accuracy, mean", "lost, mean", "lost, worst seed"):
        table.add_column(head, justify="right")
    for name in found[0]:
        best = statistics.mean(seed[name].best for seed in found)
        worst = max(seed["none"].best - seed[name].best for seed in found)
        row = (f"{_share(found, name):.0f} %", f"{best:.2f} %", f"{_lost(found, name):.2f}")
        table.add_row(name, *row, f"{worst:.2f}")
    return table


if __name__ == "__main__":
    main()
