"""What validation costs: its share of a default search with engine=base, and of converting a
ResNet-18. Run as a program, it is such a search, with its validation timed."""

import importlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from report import Target

ROOT = Path(__file__).resolve().parents[1]
LIMIT = 10.0  # percent of a search
TIMED = (  # what validates, where it is called from
    ("runner.engines.symbolic_graph", "validate"),
    ("runner.engines.symbolic_graph:SymbolicGraph", "_agrees"),
    ("runner.graph.validation.in_place_effects:EffectsValidation", "validate"),
    ("runner.engines.inheritance", "_compared"),
)
RESNET = {
    "space": {"_target_": "torchvision.models.resnet18"},
    "shape": [3, 224, 224],
}  # fmt: skip


class Clock:
    """CPU seconds that functions take, those of one inside another counted once."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._running = False

    def time(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, timed."""

        @wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._running:
                return function(*args, **kwargs)
            self._running, begun = True, time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self._running = False
                self.seconds += time.process_time() - begun

        return timed

    def install(self) -> None:
        """Time all that validates from here on."""
        for place, name in TIMED:
            module, _, cls = place.partition(":")
            holder = importlib.import_module(module)
            holder = getattr(holder, cls) if cls else holder
            setattr(holder, name, self.time(getattr(holder, name)))


def costs(*, quick: bool) -> list[Target]:
    """The share of validation in the CPU time of a search, and of a conversion."""
    trials = "3" if quick else "20"
    searched = _run("search", trials)
    converted = _run("convert", "1")
    return [
        Target(f"validation, share of {what}", 100 * found["validation"] / found["all"], limit, "%")
        for what, found, limit in (
            (f"a search of {trials} trials", searched, LIMIT),
            ("the conversion of ResNet-18", converted, 100.0),
        )
    ]


def _run(what: str, amount: str) -> dict[str, float]:
    """CPU seconds of a program of its own, by what they were for."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "seconds.json"
        command = [sys.executable, __file__, what, amount, str(Path(folder) / "run"), str(file)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"The {what} failed: {done.stderr[-2000:]}")
        found: dict[str, float] = json.loads(file.read_text())
    return found


def _search(trials: str, folder: str) -> None:
    """A search as the config has it, with engine=base, in this process."""
    from runner.__main__ import main

    settings = ["engine=base", "training=inline", f"budget.trials={trials}"]
    try:
        main([*settings, f"hydra.run.dir={folder}"])
    except SystemExit as end:
        if end.code:
            raise


def _convert(amount: str, folder: str) -> None:
    """A ResNet-18 on its way to source, as `engine=base` does it."""
    from shim import import_torchvision

    from runner.engines.compiler import Compiler

    import_torchvision()
    compiler = Compiler(RESNET["space"], (), ["torchvision"], RESNET["shape"])
    compiler.source({})


def _program(what: str, amount: str, folder: str, file: str) -> None:
    import torch

    torch.set_num_threads(1)
    clock = Clock()
    clock.install()
    begun = time.process_time()
    {"search": _search, "convert": _convert}[what](amount, folder)
    seconds = {"validation": clock.seconds, "all": time.process_time() - begun}
    Path(file).write_text(json.dumps(seconds))


if __name__ == "__main__":
    _program(*sys.argv[1:])
