"""Resizes layers, and finds everything else that has to be resized with them."""

from typing import Any, final

import torch

from runner.errors import GraphError
from runner.graph.channels.fit import Fit, Wanted
from runner.graph.channels.recorded_run import RecordedRun
from runner.graph.channels.resizing_interpreter import NeedsInlining, ResizingInterpreter
from runner.graph.channels.width_origin import NoSource, Sources
from runner.graph.interpreter.meta_interpreter import Stopped, on_meta
from runner.graph.interpreter.shape_propagation import EXAMPLES
from runner.graph.ir.argument import Spec
from runner.graph.ir.graph import Graph
from runner.graph.ir.unit import Unit
from runner.graph.ir.width_source import Source
from runner.nn.recording.tensor_history import tensors_in

PASSES = 40  # maximum number of runs until no further width has to change


@final
class Resizing:
    """Analysis of the widths of a graph. Raises GraphError for a graph without an example, or that
    does not accept it."""

    @torch.no_grad()
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._inputs = [on_meta(Spec((EXAMPLES, *graph.shape())))]
        self._inlined: set[Unit] = set()
        self.unchanged = self._run({}, None)

    @torch.no_grad()
    def sources(self, path: str) -> list[Source]:
        """Returns the source of the number of output channels of the layer at a path: a number of
        its constructor, or nothing if its input sets it, or if it is not a layer."""
        return Sources(self.unchanged).of_layer(self.graph.unit(path))

    def coupled(self, source: Source) -> list[Source]:
        """Returns all sources that have to change together with a source, itself included. Raises
        GraphError if that would change the inputs or outputs of the model."""
        return [*self.fit({source: 2 * source.size}).wanted]

    @torch.no_grad()
    def fit(self, wanted: Wanted) -> Fit:
        """Computes the widths of everything that depends on sources, for other sizes of these.
        Raises GraphError if sizes conflict."""
        wanted = {source: size for source, size in wanted.items() if size != source.size}
        for _ in range(PASSES):
            interpreter = self._run(wanted, self.unchanged.recorded)
            more = self._more(interpreter, wanted)
            if not more:
                break
            wanted = {**wanted, **more}
        else:
            raise GraphError(
                f"{len(wanted)} widths constrain each other; no sizes that satisfy all constraints "
                f"were found in {PASSES} passes."
            )
        _check_result(self.unchanged.result, interpreter.result)
        return interpreter.fit

    def _more(self, interpreter: ResizingInterpreter, wanted: Wanted) -> dict[Source, int]:
        """Returns further sources to resize, with their sizes, for the conflicts of a run."""
        sources = Sources(interpreter)
        more: dict[Source, int] = {}
        for conflict in interpreter.conflicts:
            try:
                found = sources.of(conflict.tensor, conflict.dim)
            except NoSource as error:
                raise GraphError(f"{conflict.what}; {error}.") from error
            for source in found:
                size = conflict.change.of(source.size)
                known = {**wanted, **more}.get(source, size)
                if size is None or known != size:
                    raise GraphError(
                        f"{conflict.what}; {source} would have to be "
                        f"{float(source.size * conflict.change.ratio):g}"
                        f"{'' if size is None else f' and {known} at once'}."
                    )
                more[source] = size
        if interpreter.conflicts and not more.keys() - wanted.keys():
            raise GraphError(f"{interpreter.conflicts[0].what}.")
        return {source: size for source, size in more.items() if source not in wanted}

    def _run(self, wanted: Wanted, before: RecordedRun | None) -> ResizingInterpreter:
        """Runs the graph on the example. Layers that cannot be resized as a whole are inlined."""
        while True:
            try:
                with torch.device("meta"):
                    interpreter = ResizingInterpreter(self.graph, wanted, before, self._inlined)
                    interpreter.run(*self._inputs)
                return interpreter
            except Stopped as stopped:
                text = f"Widths cannot be tracked where tensor values decide: {stopped}"
                raise GraphError(text) from stopped
            except NeedsInlining as needed:
                self._inlined.add(needed.unit)
                self.unchanged = self._run({}, None)
                before = self.unchanged.recorded


def _check_result(before: Any, now: Any) -> None:
    pairs = zip(tensors_in(before), tensors_in(now), strict=False)
    for one, other in pairs:
        if one.shape != other.shape:
            raise GraphError(f"The model would return {[*other.shape]} instead of {[*one.shape]}.")
