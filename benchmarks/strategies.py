"""How good strategies are on published tables, beside figures to reach; resumable.

    python benchmarks/strategies.py [--quick] [--json FILE] [--state FILE] [--table FILE]

NAS-Bench-201: a search sees the validation accuracy after 12 epochs; the figure is the test
accuracy after 200 epochs of the best so far, after 50, 100 and 200 evaluations. NAS-Bench-Graph:
2 % of the space, led by the test accuracy as published, and by the validation accuracy. Several
objectives: the hypervolume of accuracy, latency and parameters after 200 evaluations. What is
measured is kept in --state, so that a run that was stopped goes on; delete it to start again.
"""

import json
import math
import statistics
import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, final

from report import Target, as_figures, console, options, target_table, write
from rich.table import Table
from strategies_cost import evaluation_seconds, refusal_milliseconds
from strategies_front import hypervolume_of
from tabular import CSV, ROOT, cells, drive, graphs, incumbents, make_strategy, strategy_node

from runner.goals import Goals, Objective

AFTER = (50, 100, 200)
BARS: Mapping[str, Sequence[float]] = {  # of NAS-Bench-201, after so many evaluations
    "random": (93.46, 93.74, 93.90),
    "evolution": (93.63, 94.04, 94.21),
    "local_search": (93.78, 94.07, 94.27),
    "rl": (93.58, 93.81, 93.96),
    "tpe": (93.94, 94.16, 94.28),
    "nsga2": (93.53, 93.76, 93.94),
}
BEST = {100: 94.20, 200: 94.33}  # of the best strategy; 94.37 is the ceiling of the reward
PUBLISHED = {  # the best published row of each graph
    "cora": 82.27, "citeseer": 70.89, "pubmed": 77.96, "cs": 91.04, "physics": 92.48,
    "photo": 92.44, "computers": 84.90, "arxiv": 72.13,
}  # fmt: skip
SMALL = {"population_size": 20, "sample_size": 5}
CHANGES: Mapping[str, Mapping[str, Any]] = {"evolution": SMALL}
NOT_SUITED = {"given", "grid", "asha", "hyperband"}  # an order of its own; rungs of epochs
SLOW = {"gp": 10}  # seeds
GRAPH_EVALUATIONS = 524  # 2 % of the space
SEEDS = {"own": 300, "optuna": 60, "graph": 50, "front": 100}
CHUNK = 10  # seeds between two writes of the state
FRONTS = ("random", "nsga2", "tpe", "nsga2, Optuna's loop", "tpe, Optuna's loop")


@final
@dataclass(frozen=True)
class Cell:
    """One search that is repeated under many seeds."""

    name: str
    measure: Callable[..., list[float]]
    arguments: tuple[Any, ...]
    seeds: int

    def run(self, seed: int) -> list[float]:
        return self.measure(*self.arguments, seed)


def on_cells(table: Path, node: Mapping[str, Any], seed: int) -> list[float]:
    """The test accuracies of a search of NAS-Bench-201."""
    benchmark = cells(table)
    strategy = make_strategy(node, benchmark, seed)
    trials = drive(strategy, benchmark, seed=seed, evaluations=AFTER[-1])
    return incumbents(trials, benchmark, AFTER)


def on_graph(dataset: str, protocol: Any, node: Mapping[str, Any], seed: int) -> list[float]:
    """The test accuracy of a search of NAS-Bench-Graph."""
    metric = "test/accuracy" if protocol == "paper" else "val/accuracy"
    goals, benchmark = Goals((Objective(metric, "max"),)), graphs(dataset)
    strategy = make_strategy(node, benchmark, seed, goals)
    trials = drive(strategy, benchmark, seed=seed, evaluations=GRAPH_EVALUATIONS, goals=goals,
                   protocol=protocol)  # fmt: skip
    return incumbents(trials, benchmark, (GRAPH_EVALUATIONS,))


def strategies() -> list[str]:
    """All that conf/strategy has and that suit a table; those with figures to reach first."""
    found = {path.stem for path in (ROOT / "conf" / "strategy").glob("*.yaml")}
    return [*(name for name in BARS if name in found), *sorted(found - NOT_SUITED - {*BARS})]


def planned(table: Path, *, quick: bool) -> list[Cell]:
    """What is measured, in this order."""
    count = dict.fromkeys(SEEDS, 2) if quick else SEEDS
    found = {}
    for name in strategies():
        node = strategy_node(name, CHANGES.get(name, {}))
        seeds = SLOW.get(name, count["optuna" if "sampler" in node else "own"])
        found[name] = Cell(f"201/{name}", on_cells, (table, node), seeds)
    first = [cell for name, cell in found.items() if name in BARS]
    others = [cell for name, cell in found.items() if name not in BARS]
    for protocol in ("paper", "validation"):
        for dataset in [*PUBLISHED][: 1 if quick else None]:
            given = (dataset, protocol, strategy_node("evolution", SMALL))
            name = f"graph/{protocol}/{dataset}"
            first.append(Cell(name, on_graph, given, count["graph"]))
    for name in FRONTS:
        given = (strategy_node(name.partition(",")[0], {}), "Optuna" in name)
        first.append(Cell(f"front/{name}", hypervolume_of, given, count["front"]))
    return [*first, *(cell for cell in others if not quick)]


def chunks(cells: Sequence[Cell]) -> list[tuple[Cell, Sequence[int]]]:
    """The seeds of each cell in parts; cells of fronts, which are compared, take turns."""
    parts = [
        (cell, range(at, min(at + CHUNK, cell.seeds)))
        for cell in cells for at in range(0, cell.seeds, CHUNK)
    ]  # fmt: skip
    order = {cell.name: place for place, cell in enumerate(cells)}
    last = min((order[c.name] for c in cells if c.name.startswith("front/")), default=0)
    turns = {cell.name: cell.name.startswith("front/") for cell in cells}

    def rank(part: tuple[Cell, range]) -> tuple[int, int, int]:
        cell, seeds = part
        place = order[cell.name]
        return (last, seeds[0], place) if turns[cell.name] else (place, seeds[0], 0)

    return sorted(parts, key=rank)


def measured(
    cells: Sequence[Cell], file: Path, workers: int, minutes: float
) -> dict[str, list[list[float]]]:
    """The figures of each cell, by seed; those in the file are not measured again."""
    state: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    for cell in cells:
        about = json.dumps(cell.arguments, default=str)
        if state.get(cell.name, {}).get("about") != about:  # new, or of another config
            state[cell.name] = {"about": about, "seeds": {}, "seconds": 0.0}
    until = time.monotonic() + 60 * minutes
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        for cell, seeds in chunks(cells):
            known, start = state[cell.name], time.perf_counter()
            left = [seed for seed in seeds if str(seed) not in known["seeds"]]
            if not left or time.monotonic() > until:
                continue
            for seed, figures in zip(left, pool.map(cell.run, left), strict=True):
                known["seeds"][str(seed)] = figures
            known["seconds"] += time.perf_counter() - start
            file.parent.mkdir(parents=True, exist_ok=True)
            new = file.with_suffix(".new")
            new.write_text(json.dumps(state))
            new.replace(file)
    found = {cell.name: state[cell.name]["seeds"] for cell in cells}
    counts = {cell.name: cell.seeds for cell in cells}
    return {
        name: [seeds[str(seed)] for seed in range(counts[name]) if str(seed) in seeds]
        for name, seeds in found.items() if len(seeds) > 1
    }  # fmt: skip


@final
@dataclass(frozen=True)
class Mean:
    """A mean over seeds and its standard error."""

    mean: float
    error: float
    seeds: int

    @classmethod
    def of(cls, figures: Sequence[float]) -> "Mean":
        error = statistics.stdev(figures) / math.sqrt(len(figures))
        return cls(statistics.mean(figures), error, len(figures))

    def __str__(self) -> str:
        return f"{self.mean:.2f} ± {self.error:.2f}"


def means(found: Mapping[str, list[list[float]]], prefix: str) -> dict[str, list[Mean]]:
    """The means of the cells of a group, without its prefix."""
    return {
        name.removeprefix(prefix): [Mean.of(column) for column in zip(*rows, strict=True)]
        for name, rows in found.items() if name.startswith(prefix)
    }  # fmt: skip


def cell_targets(found: Mapping[str, list[Mean]]) -> list[Target]:
    """A strategy passes with a mean that is at most two standard errors below the figure."""
    targets = []
    for name, row in found.items():
        for count, mean, bar in zip(AFTER, row, BARS.get(name, ()), strict=name in BARS):
            least = round(bar - 2 * mean.error, 3)
            targets.append(Target(f"{name}, N = {count}", mean.mean, least, "%", at_least=True))
    for count, bar in BEST.items():
        best = max(row[AFTER.index(count)].mean for row in found.values())
        targets.append(Target(f"the best, N = {count}", best, bar, "%", at_least=True))
    return targets


def front_targets(found: Mapping[str, list[list[float]]]) -> list[Target]:
    """Over random, with the interval of the difference; and over Optuna's loop within noise."""
    ours = {name: [row[0] for row in found.get(f"front/{name}", [])] for name in FRONTS}
    count = min(map(len, ours.values()))
    ours = {name: figures[:count] for name, figures in ours.items()}  # of the same seeds
    targets: list[Target] = []
    if not count:
        return targets
    for name in ("nsga2", "tpe"):
        over = Mean.of([a - b for a, b in zip(ours[name], ours["random"], strict=True)])
        theirs = ours[f"{name}, Optuna's loop"]
        beside = Mean.of([a - b for a, b in zip(ours[name], theirs, strict=True)])
        targets += [
            Target(f"{name} over random, lower end", 100 * (over.mean - 1.96 * over.error), 0.0,
                   "% of volume", at_least=True),
            Target(f"{name} over Optuna's loop, upper end",
                   100 * (beside.mean + 1.96 * beside.error), 0.0, "% of volume", at_least=True),
        ]  # fmt: skip
    return targets


def tables(found: Mapping[str, list[list[float]]]) -> list[Table]:
    """What was measured, as tables."""
    cells = Table(title="NAS-Bench-201: test accuracy, %")
    for head in ("strategy", "seeds", *(f"N = {count}" for count in AFTER), "to reach"):
        cells.add_column(head, justify="left" if head == "strategy" else "right", no_wrap=True)
    for name, row in means(found, "201/").items():
        bar = " / ".join(f"{one:.2f}" for one in BARS.get(name, ()))
        cells.add_row(name, str(row[0].seeds), *map(str, row), bar)
    graph = Table(title="NAS-Bench-Graph: test accuracy of evolution, %")
    for head in ("graph", "seeds", "led by test", "led by validation", "best published"):
        graph.add_column(head, justify="left" if head == "graph" else "right", no_wrap=True)
    validated = means(found, "graph/validation/")
    for name, [mean] in means(found, "graph/paper/").items():
        other = str(validated[name][0]) if name in validated else ""
        graph.add_row(name, str(mean.seeds), str(mean), other, f"{PUBLISHED[name]:.2f}")
    front = Table(title="NAS-Bench-201: hypervolume, % of the table's box, N = 200")
    for head in ("strategy", "seeds", "mean", "95 % interval"):
        front.add_column(head, justify="left" if head == "strategy" else "right", no_wrap=True)
    for name, [mean] in means(found, "front/").items():
        low, high = (100 * (mean.mean + side * 1.96 * mean.error) for side in (-1, 1))
        front.add_row(name, str(mean.seeds), f"{100 * mean.mean:.2f}", f"{low:.2f} to {high:.2f}")
    return [cells, graph, front]


def cost_targets(table: Path, *, quick: bool) -> list[Target]:
    """The cost of looking up, and of refusing."""
    targets = [
        Target(f"1,000 evaluations, {name}, CPU", seconds, 5.0, "s")
        for name, seconds in evaluation_seconds(table, strategies(), 50 if quick else 1000).items()
    ]
    for name, cost in refusal_milliseconds(samples=5 if quick else 100).items():
        targets.append(Target(f"a refusal by params, {name}", cost, 5.0, "ms"))
    return targets


def arguments() -> Namespace:
    parser = options(str(__doc__), "two seeds, one graph")
    state = Path("outputs/strategies.json")
    parser.add_argument("--state", type=Path, default=state, help="what is measured so far")
    parser.add_argument("--table", type=Path, default=CSV, help="the CSV file of NAS-Bench-201")
    parser.add_argument("--minutes", type=float, default=math.inf, help="then, what there is")
    parser.add_argument("--workers", type=int, default=2, help="processes")
    return parser.parse_args()


def main() -> None:
    given = arguments()
    cells = planned(given.table, quick=given.quick)
    found = measured(cells, given.state, given.workers, given.minutes)
    targets = cell_targets(means(found, "201/"))
    for name, [mean] in means(found, "graph/paper/").items():
        limit = PUBLISHED[name]
        targets.append(Target(f"evolution on {name}", mean.mean, limit, "%", at_least=True))
    targets += [*front_targets(found), *cost_targets(given.table, quick=given.quick)]
    shown = console()
    for one in [*tables(found), target_table(targets)]:
        shown.print(one)
    write(given.json, ["optuna", "torch"], {"cells": found, "targets": as_figures(targets)})


if __name__ == "__main__":
    main()
