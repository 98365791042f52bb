"""Whole searches with engine=py and engine=cgo, which take turns: wall clock and best accuracy."""

import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import final

from rich.table import Table

from runner.store import read

ROOT = Path(__file__).resolve().parents[1]
ENGINES = {"py": ("engine=py",), "cgo": ("engine=cgo", "engine.group=32")}
RANGE = "{low: 1e-4, high: 1e-1, log: true}"
RATES = f"search={{evaluator.lr: {RANGE}, evaluator.optimizer.weight_decay: {RANGE}}}"
SEARCHES = {
    "architectures": (),  # of MLPs, as the space comes
    "rates of one MLP": (
        "space.depths=[2]", "space.widths=[64]", "space.activations=[relu]", "space.norms=[layer]",
        "space.dropouts=[0.0]", RATES,
    ),
}  # fmt: skip


@final
@dataclass(frozen=True)
class Search:
    """Of each engine, round by round: seconds, and the best accuracy on the validation split."""

    name: str
    trials: int
    epochs: int
    seconds: dict[str, list[float]]
    best: dict[str, list[float]]

    @property
    def speedup(self) -> float:
        """The median over the rounds."""
        pairs = zip(*(self.seconds[name] for name in ENGINES), strict=True)
        return statistics.median(py / cgo for py, cgo in pairs)


def searches(folder: Path, trials: int, rounds: int) -> list[Search]:
    """Evolution on digits, with another seed in each round; runs lie in the folder."""
    cases = [(name, 8) for name in SEARCHES]
    if rounds > 1:
        cases += [(name, 40) for name in SEARCHES]
    return [_search(folder, name, trials, epochs, rounds) for name, epochs in cases]


def _search(folder: Path, what: str, trials: int, epochs: int, rounds: int) -> Search:
    seconds: dict[str, list[float]] = {name: [] for name in ENGINES}
    best: dict[str, list[float]] = {name: [] for name in ENGINES}
    for seed in range(rounds):
        for name, engine in ENGINES.items():
            place = folder / f"{what.replace(' ', '-')}-{epochs}-{name}-{seed}"
            settings = (*engine, *SEARCHES[what], f"evaluator.epochs={epochs}", f"seed={seed}")
            seconds[name].append(_run(settings, place, trials))
            scores = [trial.score for trial in read(place).trials if trial.score is not None]
            best[name].append(max(scores))
    return Search(what, trials, epochs, seconds, best)


def _run(settings: tuple[str, ...], folder: Path, trials: int) -> float:
    """The seconds a search takes, the start of the program and the export of the best included."""
    command = [
        sys.executable, "-m", "runner", "space=mlp", "strategy=evolution", "data=digits",
        "training.device=cpu", f"budget.trials={trials}", f"hydra.run.dir={folder}", *settings,
    ]  # fmt: skip
    start = time.perf_counter()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"A search with {settings[0]} failed: {done.stderr[-2000:]}")
    return time.perf_counter() - start


def search_table(found: list[Search]) -> Table:
    """One row for each search and engine."""
    table = Table(title=f"Searches of {found[0].trials} trials by evolution: MLPs on digits")
    table.add_column("searched", no_wrap=True)
    table.add_column("engine", no_wrap=True)
    for name in ("epochs", "seconds, wall clock", "median", "best accuracy"):
        table.add_column(name, justify="right")
    for search in found:
        for name in ENGINES:
            seconds = search.seconds[name]
            table.add_row(
                search.name, name, str(search.epochs),
                ", ".join(f"{value:.1f}" for value in seconds),
                f"{statistics.median(seconds):.1f}",
                ", ".join(f"{value:.4f}" for value in search.best[name]),
            )  # fmt: skip
    return table
