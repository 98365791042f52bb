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
ENGINES = ("py", "cgo")


@final
@dataclass(frozen=True)
class Search:
    """Of each engine, round by round: seconds, and the best accuracy on the validation split."""

    trials: int
    seconds: dict[str, list[float]]
    best: dict[str, list[float]]

    @property
    def speedup(self) -> float:
        """The median over the rounds."""
        pairs = zip(*(self.seconds[name] for name in ENGINES), strict=True)
        return statistics.median(py / cgo for py, cgo in pairs)


def searches(folder: Path, trials: int, rounds: int) -> Search:
    """Evolution of MLPs on digits, with another seed in each round; runs lie in the folder."""
    seconds: dict[str, list[float]] = {name: [] for name in ENGINES}
    best: dict[str, list[float]] = {name: [] for name in ENGINES}
    for seed in range(rounds):
        for name in ENGINES:
            place = folder / f"{name}{seed}"
            seconds[name].append(_run(name, place, trials, seed))
            scores = [trial.score for trial in read(place).trials if trial.score is not None]
            best[name].append(max(scores))
    return Search(trials, seconds, best)


def _run(engine: str, folder: Path, trials: int, seed: int) -> float:
    """The seconds a search takes."""
    settings = (
        "space=mlp", "strategy=evolution", "data=digits", "training.device=cpu",
        f"engine={engine}", f"budget.trials={trials}", f"seed={seed}", f"hydra.run.dir={folder}",
    )  # fmt: skip
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "runner", *settings], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"The search with engine={engine} failed: {done.stderr[-2000:]}")
    return time.perf_counter() - start


def search_table(search: Search) -> Table:
    """One row for each engine."""
    table = Table(title=f"A search of {search.trials} trials: evolution of MLPs on digits")
    table.add_column("engine", no_wrap=True)
    for name in ("seconds, wall clock", "median", "best accuracy"):
        table.add_column(name, justify="right")
    for name in ENGINES:
        seconds = search.seconds[name]
        table.add_row(
            name, ", ".join(f"{value:.1f}" for value in seconds),
            f"{statistics.median(seconds):.1f}",
            ", ".join(f"{value:.4f}" for value in search.best[name]),
        )  # fmt: skip
    return table
