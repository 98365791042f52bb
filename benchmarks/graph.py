"""What the graph compiler costs: converting a model, and getting from a sample to its source.

    python benchmarks/graph.py [--quick] [--json FILE]

CPU seconds and milliseconds of one thread. Conversion of torchvision's ResNet-18 takes turns with
`torch.jit.script` of the same model, each on a fresh type store; the figure is the median of the
ratios. A sample is decided on a copy of the space's graph, checked and written as source. Memory is
what Python's allocator holds for it.
"""

import gc
import statistics
import time
import tracemalloc
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, final

import torch
from report import Target, as_figures, console, options, target_table, write
from rich.table import Table
from shim import import_torchvision

from runner.engines.compiler import Compiler
from runner.graph import convert, generate, lint
from runner.nn.recording.construction_record import recording
from runner.space.sample import Sample, generator

SPACES = {
    "ResNet-18-like": {
        "_target_": "spaces.resnet.ResNet", "shape": [3, 224, 224], "stem_width": 64,
        "stem_stride": 4, "widths": [64, 96], "strides": [1, 2, 2, 2], "depths": [2, 3],
    },
    "NASNet-like, 20 cells": {
        "_target_": "spaces.cell.CellNet", "shape": [3, 32, 32], "width": 36, "stages": 3,
        "cells": 6, "nodes": 5,
    },
}  # fmt: skip
KEPT = 20  # so many graphs at once, to weigh one
LIMITS = {"ResNet-18-like": 15.0, "NASNet-like, 20 cells": 60.0}  # milliseconds a sample


@final
@dataclass(frozen=True)
class SampleCost:
    """What one more sample of a space costs, medians."""

    samples: int
    convert: float  # seconds, once
    decide: float  # milliseconds
    lint: float
    generate: float
    total: float
    memory: float  # MB of one sample's graph
    growth: float  # MB behind the first tenth of the samples


def cpu(work: Callable[[], Any]) -> float:
    """CPU seconds of a piece of work, the garbage of the work before not counted."""
    gc.collect()
    begun = time.process_time()
    work()
    return time.process_time() - begun


def conversion(rounds: int) -> tuple[float, float, float]:
    """CPU seconds of converting and of scripting a ResNet-18, and the median of their ratios."""
    torchvision = import_torchvision()
    times = []
    for _ in range(rounds + 1):
        plain = torchvision.models.resnet18()  # without records, which scripting would walk
        with recording():
            model = torchvision.models.resnet18()
        _forget()
        scripted = cpu(lambda plain=plain: torch.jit.script(plain))
        _forget()
        times.append((cpu(lambda model=model: convert(model)), scripted))
    times = times[1:]  # the first round fills caches of both
    converted, scripted = (statistics.median(column) for column in zip(*times, strict=True))
    return converted, scripted, statistics.median(a / b for a, b in times)


def _forget() -> None:
    """Have TorchScript begin with no types known, as in a new process."""
    store = torch.jit._recursive.concrete_type_store
    store.type_store.clear()
    store.methods_compiled.clear()


def sampling(node: dict[str, Any], samples: int) -> SampleCost:
    """What one more sample of a space costs."""
    compiler = Compiler(node, (), (), None)
    drawn = [compiler.model_space.random(generator(0, i)) for i in range(samples)]
    once = cpu(lambda: compiler.unmutated(drawn[0]))
    parts = [_sample(compiler, sample) for sample in drawn]
    decide, checked, written = (1e3 * statistics.median(c) for c in zip(*parts, strict=True))
    total = 1e3 * statistics.median(map(sum, parts))
    memory, growth = _memory(compiler, drawn)
    return SampleCost(samples, once, decide, checked, written, total, memory, growth)


def _sample(compiler: Compiler, sample: Sample) -> tuple[float, float, float]:
    """CPU seconds of deciding, checking and writing a sample."""
    begun = time.process_time()
    graph = compiler.unmutated(sample)
    decided = time.process_time()
    lint(graph, decided=True)
    linted = time.process_time()
    generate(graph)
    return decided - begun, linted - decided, time.process_time() - linted


def _memory(compiler: Compiler, drawn: Sequence[Sample]) -> tuple[float, float]:
    """MB of one sample's graph, and MB that all samples behind the first tenth leave behind."""
    tracemalloc.start()
    tenth = len(drawn) // 10
    for sample in drawn[:tenth]:
        _sample(compiler, sample)
    before = _traced()
    for sample in drawn[tenth:]:
        _sample(compiler, sample)
    growth = _traced() - before
    before = _traced()
    kept = [compiler.unmutated(sample) for sample in drawn[:KEPT]]
    memory = (_traced() - before) / len(kept)
    tracemalloc.stop()
    return memory, growth


def _traced() -> float:
    gc.collect()
    return tracemalloc.get_traced_memory()[0] / 1e6


def measure(
    rounds: int, samples: int, spaces: dict[str, dict[str, Any]]
) -> tuple[tuple[float, float, float], dict[str, SampleCost]]:
    """Conversion (seconds, seconds of scripting, ratio), and what a sample of each space costs."""
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
    torch.set_num_threads(1)
    return conversion(rounds), {name: sampling(node, samples) for name, node in spaces.items()}


def targets(ratio: float, costs: dict[str, SampleCost]) -> list[Target]:
    """What was promised, beside what was measured."""
    found = [Target("conversion of ResNet-18 / torch.jit.script of it", ratio, 1.3, "")]
    for name, cost in costs.items():
        found.append(Target(f"a new sample, {name}", cost.total, LIMITS[name], "ms"))
        found.append(Target(f"memory of a sample's graph, {name}", cost.memory, 1.0, "MB"))
        leak = 1000 * cost.growth / cost.samples
        found.append(Target(f"memory 1,000 samples leave behind, {name}", leak, 1.0, "MB"))
    return found


def cost_table(costs: dict[str, SampleCost]) -> Table:
    """One row for each space."""
    table = Table(title="From a sample to its source, medians, CPU")
    table.add_column("space", no_wrap=True)
    names = ("samples", "convert, s", "decide, ms", "lint, ms", "write, ms", "all, ms", "graph, MB")
    for name in names:
        table.add_column(name, justify="right")
    for name, cost in costs.items():
        parts = (cost.decide, cost.lint, cost.generate, cost.total)
        table.add_row(
            name, f"{cost.samples:,}", f"{cost.convert:.2f}", *(f"{part:.1f}" for part in parts),
            f"{cost.memory:.3f}",
        )  # fmt: skip
    return table


def main() -> None:
    """Measure, print the tables, and write the figures where asked to."""
    given = options(__doc__, "few samples and cells").parse_args()
    small = {
        name: node | ({"cells": 1} if "cells" in node else {}) for name, node in SPACES.items()
    }
    amount = (1, 5, small) if given.quick else (9, 1000, SPACES)
    (converted, scripted, ratio), costs = measure(*amount)
    found = targets(ratio, costs)
    shown = console()
    shown.print(f"ResNet-18: converted in {converted:.3f} s, scripted in {scripted:.3f} s of CPU")
    shown.print(cost_table(costs), target_table(found))
    figures = {
        "conversion": {"convert": converted, "script": scripted, "ratio": ratio},
        "costs": {name: asdict(cost) for name, cost in costs.items()},
        "targets": as_figures(found),
    }
    write(given.json, ("torch",), figures)


if __name__ == "__main__":
    main()
