"""A declarative runner for neural architecture search on PyTorch.

    run = runner.run(["space=resnet", "budget.trials=8"])
    run = runner.load("outputs/latest")
    with runner.sample({"depth": 3}): model = Net()

Importing this package imports neither torch nor Hydra; the names below do when they are first used.
Must not import `spaces`.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.launch import run
    from runner.nn.values.build import draw, sample
    from runner.results import Run, load

__version__ = "0.1.0"
__all__ = ["Run", "draw", "load", "run", "sample"]

_HOME = {
    "Run": "runner.results",
    "load": "runner.results",
    "run": "runner.launch",
    "draw": "runner.nn.values.build",
    "sample": "runner.nn.values.build",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'runner' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME[name]), name)
