"""What `task=describe` costs: builds and seconds per space, beside one build for each value.

    python benchmarks/describe.py [--quick] [--json FILE]

Spaces are NAS-Bench-201 and ProxylessNAS as published, whose users build every candidate and set
all weights. "One at a time" is what was done before: each value of each choice is varied alone, on
the CPU. Seconds are CPU time of this process, which has imported torch; the command adds its start.
"""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, final

import torch
from describe_spaces import NasBench201, ProxylessNas
from report import Target, as_figures, console, options, target_table, write
from rich.table import Table

from runner import nn
from runner.engines.model_space import ModelSpace
from runner.space.structure import Structure

LIMIT = 5.0  # seconds for NAS-Bench-201
SPACES: Mapping[str, tuple[type[nn.Module], dict[str, Any]]] = {
    "NAS-Bench-201": (NasBench201, {"cells": 1}),
    "ProxylessNAS": (ProxylessNas, {"stages": [[32, 2, 2], [56, 1, 2]]}),
}


@final
@dataclass(frozen=True)
class Cost:
    """What the description of a space took."""

    choices: int
    architectures: float
    builds: int
    seconds: float
    one_build: float  # seconds of one on the CPU
    before: float  # seconds of one build on the CPU for each value and each check


def described(kind: type[nn.Module], arguments: Mapping[str, Any]) -> Cost:
    """Describes a space as `task=describe engine=py` does."""
    builds = 0

    def count(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        nonlocal builds
        builds += 1
        made(self, *args, **kwargs)

    made = kind.__init__
    node = {"_target_": f"describe_spaces.{kind.__name__}", **arguments}
    try:
        kind.__init__ = count  # type: ignore[method-assign]
        start = time.process_time()
        space = ModelSpace(node, ["describe_spaces"])
        space.default()
        structure = space.describe()
        seconds = time.process_time() - start
    finally:
        kind.__init__ = made  # type: ignore[method-assign]
    alone = _one_build(kind, arguments)
    return Cost(
        choices=len(structure.parts),
        architectures=float(structure.count),
        builds=builds,
        seconds=seconds,
        one_build=alone,
        before=alone * _one_at_a_time(structure),
    )


def _one_build(kind: type[nn.Module], arguments: Mapping[str, Any]) -> float:
    start = time.process_time()
    kind(**arguments)
    return time.process_time() - start


def _one_at_a_time(structure: Structure) -> int:
    """Returns the number of builds if each value is tried alone, and 64 random walks check that."""
    return 1 + sum(int(part.choice.size) - 1 for part in structure.parts) + 64


def cost_table(costs: Mapping[str, Cost]) -> Table:
    """One row per space."""
    table = Table(title="Describing a space, engine=py")
    table.add_column("space", no_wrap=True)
    for name in ("choices", "architectures", "builds", "s", "one at a time, s"):
        table.add_column(name, justify="right")
    for name, cost in costs.items():
        figures = f"{cost.choices}", f"{cost.architectures:.3g}", f"{cost.builds}"
        table.add_row(name, *figures, f"{cost.seconds:.2f}", f"{cost.before:.1f}")
    return table


def main() -> None:
    """Measures all spaces."""
    parser = options(__doc__ or "", "smaller versions of the spaces")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    costs = {
        name: described(kind, quick if chosen.quick else {})
        for name, (kind, quick) in SPACES.items()
    }
    proxyless = costs["ProxylessNAS"]
    targets = [
        Target("NAS-Bench-201 described", costs["NAS-Bench-201"].seconds, LIMIT, "s"),
        Target(
            "ProxylessNAS, share of one at a time", proxyless.seconds / proxyless.before, 0.5, "x"
        ),
    ]
    out = console()
    out.print(cost_table(costs))
    out.print(target_table(targets))
    write(
        chosen.json,
        ["torch"],
        {
            "costs": {name: asdict(cost) for name, cost in costs.items()},
            "targets": as_figures(targets),
        },
    )


if __name__ == "__main__":
    main()
