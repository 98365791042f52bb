"""Several objectives on NAS-Bench-201: accuracy, latency and parameters of its package's table."""

import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from typing import Any

import optuna
from tabular import CELL, CELL_OPERATIONS, EDGES, cells, drive, make_strategy

from runner.config.instantiate import build
from runner.goals import Goals, Objective
from runner.ranking import hypervolume

EVALUATIONS = 200
GOALS = Goals((
    Objective("val/accuracy", "max"), Objective("latency", "min"), Objective("params", "min"),
))  # fmt: skip


@cache
def box() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The worst and the best score of the table in each objective."""
    table = cells(None).table
    points = [
        GOALS.scores(table.look_up(CELL.format(*ops), 0).search)
        for ops in product(CELL_OPERATIONS, repeat=len(EDGES))
    ]
    axes = [*zip(*points, strict=True)]
    return tuple(map(min, axes)), tuple(map(max, axes))


def hypervolume_of(node: Mapping[str, Any], by_optuna: bool, seed: int) -> list[float]:
    """The volume that a search dominates, as a fraction of the table's box."""
    points = _points_of_optuna(node, seed) if by_optuna else _points(node, seed)
    worst, best = box()
    unit = {
        tuple((p - low) / (high - low) for p, low, high in zip(point, worst, best, strict=True))
        for point in points
    }
    return [hypervolume([*unit], (0.0,) * len(worst))]


def _points(node: Mapping[str, Any], seed: int) -> Sequence[tuple[float, ...]]:
    benchmark = cells(None)
    strategy = make_strategy(node, benchmark, seed, GOALS)
    trials = drive(strategy, benchmark, seed=seed, evaluations=EVALUATIONS, goals=GOALS)
    return [trial.scores for trial in trials]


def _points_of_optuna(node: Mapping[str, Any], seed: int) -> Sequence[tuple[float, ...]]:
    """As Optuna's users would write it: the same sampler, as many trials."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = build(node["sampler"], ())(seed=seed)
    modes = [f"{one.mode}imize" for one in GOALS.objectives]
    study = optuna.create_study(directions=modes, sampler=sampler)
    table, points = cells(None).table, []
    for _ in range(EVALUATIONS):
        asked = study.ask()
        ops = [asked.suggest_categorical(edge, CELL_OPERATIONS) for edge in EDGES]
        metrics = table.look_up(CELL.format(*ops), 0).search
        study.tell(asked, [metrics[one.metric] for one in GOALS.objectives])
        points.append(GOALS.scores(metrics))
    return points
