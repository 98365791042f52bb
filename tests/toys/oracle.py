"""Whether what the compiler makes of a model computes what its Python computes.

An oracle of its own, which shares no code with the checks of the compiler itself.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import final

from oracle_runs import Call as Call
from oracle_runs import Calls as Calls
from oracle_runs import Running, twin_of
from torch import Tensor, nn

from runner.errors import RunnerError, one_line
from runner.graph import Graph, Unit, generate
from runner.graph.transforms.mutator import drop_placeholders

SECONDS = 5  # that one call may take
ACTIVATIONS = ("ReLU", "Tanh", "GELU", "LeakyReLU", "SiLU", "Sigmoid", "ReLU6", "Hardswish", "ELU")


@final
@dataclass
class Finding:
    """What became of a model.

    `verdict`: "equal", "differs" (silently: the worst), "error" (an exception that says nothing to
    a user, or source that raises where Python does not), "unraised" (source that goes on where
    Python raises), "refused" (with a reason), or "discarded" (Python itself does not run it).
    """

    name: str
    verdict: str = "equal"
    detail: str = ""
    way: str = ""  # as it was written: "import", "standalone", and " mutated" behind them
    units: int = 0  # written by the user
    kept: list[str] = field(default_factory=list)  # those of them that are kept whole
    noted: int = 0  # of those, how many a note speaks of
    mutated: bool = False  # whether there was an activation to be replaced by its twin
    source: str = ""  # what was generated, where something is wrong

    @property
    def graph(self) -> bool:
        """Whether it is graph throughout."""
        return self.verdict in ("equal", "differs", "unraised") and not self.kept


def examine(
    name: str,
    make: Callable[[], nn.Module],
    graph: Callable[[], Graph],
    calls: Calls,
    seconds: int = SECONDS,
) -> Finding:
    """Run a model as Python has it, and as its graph is written: as source that imports and as
    source that stands alone, each as it is and with all activations replaced by their twins. A
    model of which Python takes longer than so many seconds for a call is discarded."""
    found = Finding(name)
    try:
        model = make()
    except Exception as error:
        return _ended(found, "discarded", one_line(error))
    running = Running(calls, seconds)
    try:
        runs = {place: running.eager(model, *place) for place in running.places()}
    except TimeoutError as error:
        return _ended(found, "discarded", str(error))
    expected = {place: run for place, run in runs.items() if isinstance(run, dict)}
    if not expected:
        return _ended(found, "discarded", "Python does not run it")
    try:
        read = graph()
        if lost := [note for note in read.notes if note.lost]:
            return _ended(found, "refused", str(lost[0]))
        texts = dict(_written(read, found))
    except RunnerError as error:
        return _ended(found, "refused", one_line(error))
    except Exception as error:
        return _ended(found, "error", one_line(error))
    errors = {place: error for place, error in runs.items() if isinstance(error, Exception)}
    for way, (text, tensors) in texts.items():
        try:
            twin = twin_of(model, text, tensors)
            difference = running.difference(twin, expected)
        except Exception as error:
            return _ended(found, "error", one_line(error), way, text)
        if difference:
            return _ended(found, "differs", difference, way, text)
        if found.verdict == "equal" and (missing := running.unraised(twin, errors)):
            _ended(found, "unraised", missing, way, text)
    return found


def _ended(found: Finding, verdict: str, detail: str, way: str = "", source: str = "") -> Finding:
    found.verdict, found.detail, found.way, found.source = verdict, detail, way, source
    return found


def _written(graph: Graph, found: Finding) -> Iterator[tuple[str, tuple[str, dict[str, Tensor]]]]:
    """The sources of a graph, by how they were written; of equal ones the first."""
    plain = graph.copy()
    drop_placeholders(plain)
    _count(plain, found)
    twin = plain.copy()
    found.mutated = replace_activations(twin)
    seen = set()
    for word, each in (("", plain), *([(" mutated", twin)] if found.mutated else ())):
        for way in ("import", "standalone"):
            text = generate(each, standalone=way == "standalone")
            if text not in seen:
                yield way + word, (text, each.tensors)
            seen.add(text)


def _count(graph: Graph, found: Finding) -> None:
    noted = {note.path for note in graph.notes}
    for path, unit in graph.units():
        if not unit.cls.target.startswith(("torch.", "runner.")):
            found.units += 1
            if unit.grade in ("shell", "basic"):
                found.kept.append(path or unit.name)
                found.noted += path in noted


def replace_activations(graph: Graph) -> bool:
    """Put another unit, made by the same call, in the place of each activation: a mutation that
    changes nothing but that all classes on the way are written out. False where there is none."""
    paths = [
        path
        for path, unit in graph.units()
        if path and unit.cls.module.startswith("torch.nn") and unit.name in ACTIVATIONS
        if unit.call is not None
    ]
    for path in paths:
        call = graph.unit(path).call
        graph.replace(path, Unit.of(call.target, *call.args, **call.kwargs))
    return bool(paths)


def forget(module: str) -> None:
    """Drop an imported module."""
    sys.modules.pop(module, None)
