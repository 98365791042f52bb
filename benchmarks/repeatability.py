"""Is a trial the same when it runs again, and a training when it was killed in between?

    python benchmarks/repeatability.py [--quick] [--json FILE] [--only replay,retrain]

`replay`: searches of several kinds in worker processes; each of their trials is run again, in
another process, and compared report by report. `retrain`: trainings with checkpoints are killed
(SIGKILL) at moments spread over their course, resumed, and compared with one that was not.
"""

import argparse
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from report import Target, as_figures, console, options, target_table, write
from rich.table import Table
from safetensors.torch import load_file

import runner
from runner.errors import RunnerError
from runner.trial import CHECKPOINT, WEIGHTS, trial_folder

CPU = ["training.device=cpu", "export.top=0", "evaluator.epochs=3"]
KINDS: Mapping[str, Sequence[str]] = {
    "py, MLPs": ["space=mlp", "strategy=random"],
    "py, learning rates too": [
        "space=mlp", "strategy=tpe", "search={evaluator.lr: {low: 1e-4, high: 1e-1, log: true}}",
    ],
    "base, MLPs": ["space=mlp", "strategy=evolution", "engine=base"],
    "base, mutated, inheriting": [
        "engine=base", "space=mutate", "space.model._target_=spaces.mlp.MLP",
        "space.model.activations=[relu]", "space.model.depths=[2]", "space.weights=inherit",
        "space.mutators=[{class: ReLU, replace: [ReLU, GELU, SiLU]}]", "export.keep_weights=null",
        "strategy=evolution", "strategy.population_size=4", "strategy.sample_size=2",
    ],
    "rungs": [
        "space=mlp", "strategy=asha", "fidelity={key: evaluator.epochs, min: 1, max: 4, eta: 2}",
    ],
}  # fmt: skip
TRIALS = 20  # of each kind
KILLS, EPOCHS = 8, 60


def replays(folder: Path, trials: int) -> Iterator[tuple[str, int, int, float]]:
    """For each kind: its name, the trials that ran again, those that were equal, and seconds."""
    for name, overrides in KINDS.items():
        place = folder / name.replace(" ", "-").replace(",", "")
        searched([*CPU, *overrides, f"budget.trials={trials}"], place)
        own = [t.number for t in runner.load(place).trials if t.duplicate_of is None and t.step]
        begun = time.perf_counter()
        equal = sum(is_equal(place, number) for number in own)
        yield name, len(own), equal, (time.perf_counter() - begun) / len(own)


def searched(overrides: Sequence[str], place: Path) -> None:
    with redirect_stdout(io.StringIO()):
        runner.run([*overrides], place)


def is_equal(folder: Path, number: int) -> bool:
    """Whether a trial comes out as it is recorded."""
    said = io.StringIO()
    again = ["task=replay", f"run={folder}", f"trial={number}", "training=inline",
             "training.device=cpu"]  # fmt: skip
    try:
        with redirect_stdout(said):
            runner.run(again)
    except RunnerError as error:
        print(f"{folder.name}, trial {number}: {error}", file=sys.stderr)
        return False
    return "equal bit by bit" in " ".join(said.getvalue().split())


def retrained(folder: Path, kills: int, epochs: int) -> tuple[int, int]:
    """How many of some killed trainings were killed before their end, and how many of those equal
    the one that was not."""
    searched([*CPU, "space=mlp", "strategy=random", "budget.trials=1"], folder / "run")
    whole = folder / "whole"
    begun = time.perf_counter()
    retraining(folder / "run", whole, epochs).wait()
    took = time.perf_counter() - begun
    cut = equal = 0
    for kill in range(kills):
        place = folder / f"cut{kill}"
        process = retraining(folder / "run", place, epochs)
        checkpoint = trial_folder(place, 0) / CHECKPOINT
        deadline = time.monotonic() + 20 * took
        while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(kill / kills * 0.1 * took)
        os.killpg(process.pid, signal.SIGKILL)
        if process.wait() == 0:
            continue
        cut += 1
        resume = [sys.executable, "-m", "runner", f"resume={place}"]
        subprocess.run(resume, check=True, stdout=subprocess.DEVNULL)
        equal += same(whole, place)
    return cut, equal


def retraining(run: Path, to: Path, epochs: int) -> subprocess.Popen[bytes]:
    line = [sys.executable, "-m", "runner", "task=retrain", f"run={run}", f"hydra.run.dir={to}",
            "training.device=cpu", "training.workers=1", f"evaluator.epochs={epochs}",
            "evaluator.checkpoint={every: 2}", "export.top=1"]  # fmt: skip
    return subprocess.Popen(line, stdout=subprocess.DEVNULL, start_new_session=True)


def same(one: Path, other: Path) -> bool:
    """Whether two trainings reported the same, and left the same weights."""
    a, b = (runner.load(place).trials[0] for place in (one, other))
    x, y = (load_file(trial_folder(place, 0) / WEIGHTS) for place in (one, other))
    alike = x.keys() == y.keys() and all(torch.equal(x[name], y[name]) for name in x)
    return alike and a.metrics == b.metrics and a.step == b.step


def main() -> None:
    parser = options(__doc__ or "", "a few trials and one kill")
    parser.add_argument("--only", default="replay,retrain", metavar="PARTS")
    given: argparse.Namespace = parser.parse_args()
    parts, screen = given.only.split(","), console()
    figures: dict[str, Any] = {}
    targets: list[Target] = []
    with TemporaryDirectory() as name:
        if "replay" in parts:
            table = Table(title="Trials that ran again")
            for head in ("kind", "trials", "equal bit by bit", "seconds each"):
                table.add_column(head, justify="left" if head == "kind" else "right")
            rows = [*replays(Path(name), 2 if given.quick else TRIALS)]
            for kind, trials, equal, seconds in rows:
                table.add_row(kind, str(trials), str(equal), f"{seconds:.2f}")
            figures["replay"] = [
                dict(zip(("kind", "trials", "equal", "seconds"), row, strict=True)) for row in rows
            ]
            share = 100 * sum(row[2] for row in rows) / sum(row[1] for row in rows)
            targets.append(Target("trials that come out equal", share, 100, "%", at_least=True))
            screen.print(table)
        if "retrain" in parts:
            kills = 1 if given.quick else KILLS
            cut, equal = retrained(Path(name), kills, 20 if given.quick else EPOCHS)
            figures["retrain"] = {"killed": cut, "equal": equal}
            screen.print(f"{cut} trainings were killed and resumed; {equal} equal the whole one.")
            share = 100 * equal / cut if cut else 0.0
            targets.append(Target("killed trainings that end equal", share, 100, "%", True))
    screen.print(target_table(targets))
    write(given.json, ["torch"], {**figures, "targets": as_figures(targets)})


if __name__ == "__main__":
    main()
