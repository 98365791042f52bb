"""Converts a model to its graph: read, grade, build, initialize."""

from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

from runner.errors import GraphError, one_line
from runner.graph.frontend.build_graph import build
from runner.graph.frontend.frontends import AUTO, FRONTENDS, usable
from runner.graph.frontend.grades import compiled_by, grade
from runner.graph.frontend.initialize import initialize
from runner.graph.frontend.live_modules.kept_modules import Keep
from runner.graph.frontend.reading.opaque import is_opaque
from runner.graph.frontend.reading.readings import Readings
from runner.graph.ir.graph import Graph, Note
from runner.graph.ir.unused import drop_unused_functions, drop_unused_tensors
from runner.nn.recording.construction_record import update_records


def convert(model: nn.Module, keep: Keep | None = None, frontend: str = AUTO) -> Graph:
    """Returns the graph of a model; its `notes` list the parts that are missing. `keep` are modules
    to keep as they are, and readings not to use. `frontend` is the front end, or "auto" for each
    that this Python supports, in their order.

    Raises GraphError for another front end, and for a model whose parameters have no shapes or
    whose buffers have no values.
    """
    frontends = {name: FRONTENDS[name] for name in usable(frontend)}
    check_model(model)
    update_records()
    _check_tensors(model)
    try:
        graded = grade(Readings(model, frontends), keep or Keep())
        graph = build(graded)
        initialize(graph, graded)
    except GraphError:
        raise
    except Exception as error:
        raise GraphError(
            f"{type(model).__name__} cannot be converted: {one_line(error)}. Decorate the class of "
            "the module that causes this with @basic_unit, or run with engine=py."
        ) from error
    drop_unused_functions(graph)
    drop_unused_tensors(graph)
    graph.frontend = frontend
    graph.notes += _from_main(graph)
    return graph


def check_model(model: Any) -> None:
    """Raises GraphError for anything but a module that can be converted."""
    if isinstance(model, type):
        raise GraphError(f"{model.__name__} is a class; pass an instance: {model.__name__}().")
    if not isinstance(model, nn.Module):
        raise GraphError(f"{model!r:.80} is not a model; pass a torch.nn.Module.")
    if by := compiled_by(model):
        raise GraphError(
            f"This model is compiled by {by}; pass the original model, and compile the one that "
            "the generated source builds."
        )


def _check_tensors(model: nn.Module) -> None:
    """Raises GraphError for parameters without a shape, and for buffers without a value."""
    for path, module in model.named_modules():
        place = f"{path} ({type(module).__name__})" if path else type(module).__name__
        tensors = [*module._parameters.values(), *module._buffers.values()]
        if any(is_lazy(tensor) for tensor in tensors):
            raise GraphError(
                f"{place} has no shapes yet; run the model on an example first (in a space, at "
                "the end of its __init__), or use a layer with explicit sizes."
            )
        for name, buffer in module._buffers.items():
            if buffer is not None and buffer.is_meta and not is_opaque(module):
                raise GraphError(
                    f"{place}: the buffer {name!r} has no value on the meta device; build the "
                    "model on another one."
                )


def _from_main(graph: Graph) -> Iterator[Note]:
    """Yields a note for each name that generated source has to import from `__main__`."""
    said: set[str] = set()
    for path, unit in graph.root.walk():
        targets = [node.target for f in unit.functions.values() for node in f.nodes]
        if unit.grade in ("shell", "basic") or unit.inherits:
            targets.append(unit.cls.target)
        for target in targets:
            if target.startswith("__main__:") and target not in said:
                said.add(target)
                name = target.partition(":")[2]
                text = f"{name} is imported from __main__, which differs between programs"
                yield Note(path, unit.name, f"{text}. Define it in a module of its own.")
