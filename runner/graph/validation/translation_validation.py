"""Translation validation (Pnueli et al. 1998): each conversion is checked by running it.

The generated standalone source runs beside the original model in eval and in train mode, with the
same weights and random seed. The outputs of the model and of every unit inside, gradients, buffers
and random numbers must agree. A difference is traced to the smallest unit that computes something
else on the same inputs.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, final

from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from runner.errors import GraphError, one_line
from runner.graph.codegen.generate import generate
from runner.graph.codegen.load import load_source
from runner.graph.ir.graph import Graph
from runner.graph.transforms.mutator import drop_placeholders
from runner.graph.validation.equivalence import (
    CannotRun,
    ModelRun,
    NamedLeaves,
    detached,
    difference,
    in_each_mode,
    leaves,
    restored,
    run,
    seeded,
    unlike_leaves,
)
from runner.unsaved_state import unsaved_difference

REPLAYED = 3  # calls of each unit that are replayed


@final
@dataclass(frozen=True)
class UnitMismatch:
    """The smallest unit that computes something else than its module: its path, and the
    difference."""

    path: str
    text: str


@final
@dataclass
class ValidationOutcome:
    """The result of validating a graph against its model; `skipped` is why a mode was not
    compared."""

    graph: Graph
    model: nn.Module
    mismatches: list[UnitMismatch] = field(default_factory=list)
    skipped: str = ""


Given = tuple[Sequence[Any], Mapping[str, Any]]
ObservedCall = tuple[str, NamedLeaves]  # the path of a unit, and its output


@final
@dataclass
class ObservedCalls:
    """The outputs of units, call by call: as copies, and as live tensors to differentiate."""

    calls: list[ObservedCall] = field(default_factory=list)
    living: NamedLeaves = field(default_factory=dict)


Reference = dict[str, tuple[ModelRun, ObservedCalls]]  # by mode


def validate(
    graph: Graph, model: nn.Module, *inputs: Any, same_buffers: bool = False, **kwargs: Any
) -> ValidationOutcome:
    """Validates a graph without symbolic choices against its model on an example.

    The model is restored. With `same_buffers`, buffers that are not saved may have other initial
    values. Raises CannotRun if the model itself does not run in eval mode.
    """
    given = inputs, kwargs
    with seeded(), restored(model):
        try:
            reference, skipped = _reference(graph, model, given)
        except CannotRun as error:
            if not _runs(graph, model, given):
                raise
            text = f"it raises {error}, but the generated source does not"
            return ValidationOutcome(graph, model, [UnitMismatch("", text)])
        found = _compared(graph, model, given, reference, same_buffers=same_buffers)
    return ValidationOutcome(graph, model, found, skipped)


def _compared(
    graph: Graph, model: nn.Module, given: Given, reference: Reference, *, same_buffers: bool
) -> list[UnitMismatch]:
    """Compares the source of a graph with its model: standalone source in all modes, then the
    source for a trial, which may import classes whose attributes were changed."""
    for standalone in (True, False):
        try:
            generated = _generated_model(
                graph, model, standalone=standalone, same_buffers=same_buffers
            )
        except Exception as error:  # generated source may raise anything
            return [UnitMismatch("", f"the generated source fails: {one_line(error)}")]
        for mode in reference if standalone else ("eval",):
            if text := _unlike(graph, generated, given, mode, reference[mode]):
                whole = UnitMismatch("", _told(mode, text, model, generated))
                return _localized(graph, model, generated, given, mode) or [whole]
    return []


# Running both


def _reference(graph: Graph, model: nn.Module, given: Given) -> tuple[Reference, str]:
    """Runs the model in each mode in which it runs; also returns why it does not run in another."""

    def observed(mode: str) -> tuple[ModelRun, ObservedCalls]:
        with _observed(graph, model) as seen:
            found = run(model, *given, mode=mode, inner=seen.living)
        seen.living = {}
        return found, seen

    reference, why = in_each_mode(model, observed)
    return reference, f"it does not run in train mode: {why}" if why else ""


def _runs(graph: Graph, model: nn.Module, given: Given) -> bool:
    """Returns whether the generated model runs although the original does not."""
    try:
        generated = _generated_model(graph, model, standalone=True, same_buffers=True)
        run(generated, *given, mode="eval")
    except Exception:  # like the model
        return False
    return True


def _generated_model(
    graph: Graph, model: nn.Module, *, standalone: bool, same_buffers: bool
) -> nn.Module:
    """Builds the generated model with the weights of another."""
    plain = graph.copy()
    drop_placeholders(plain)
    with seeded():
        generated: nn.Module = load_source(
            generate(plain, standalone=standalone, carries=False), plain.tensors
        ).build()
    state = model.state_dict()
    if [*generated.state_dict()] != [*state]:
        other = sorted(generated.state_dict().keys() ^ state.keys())
        raise GraphError(f"the state_dict has other names: {other[:4]}")
    generated.load_state_dict(state)
    if same_buffers:
        _copy_buffers(model, generated)
    return generated


def _copy_buffers(model: nn.Module, generated: nn.Module) -> None:
    values = dict(model.named_buffers())
    for name, buffer in generated.named_buffers():
        if name in values and values[name].shape == buffer.shape:
            buffer.copy_(values[name])


def _unlike(
    graph: Graph,
    generated: nn.Module,
    given: Given,
    mode: str,
    expected: tuple[ModelRun, ObservedCalls],
) -> str:
    """Returns the difference of the generated model as a sentence; "" if there is none."""
    theirs, reference = expected
    try:
        with restored(generated), _observed(graph, generated) as seen:
            ours = run(generated, *given, mode=mode, inner=seen.living)
    except Exception as error:  # generated source may raise anything
        return f"it fails: {one_line(error)}"
    return difference(ours, theirs) or _unlike_calls(seen.calls, reference.calls)


def _unlike_calls(ours: Sequence[ObservedCall], theirs: Sequence[ObservedCall]) -> str:
    """Returns the first difference between the outputs of inner calls; "" if there is none."""
    if [path for path, _ in ours] != [path for path, _ in theirs]:
        return "it calls other modules, or in another order"
    for (path, mine), (_, other) in zip(ours, theirs, strict=True):
        if text := unlike_leaves(mine, other):
            return f"{path or 'the model'}: {text}"
    return ""


@contextmanager
def _observed(graph: Graph, model: nn.Module) -> Iterator[ObservedCalls]:
    """Records the outputs of each unit that has code of its own."""
    seen = ObservedCalls()

    def noting(path: str) -> Callable[..., None]:
        def note(module: nn.Module, args: Any, output: Any) -> None:
            found = dict(leaves(output))
            place = f"{path}, call {len(seen.calls)}: "
            seen.living |= {place + name: leaf for name, leaf in found.items()}
            seen.calls.append((path, {name: detached(leaf) for name, leaf in found.items()}))

        return note

    with ExitStack() as hooks:
        for path, module in _parts(graph, model, ("graph", "shell")):
            hooks.callback(module.register_forward_hook(noting(path)).remove)
        yield seen


def _parts(
    graph: Graph, model: nn.Module, grades: Sequence[str] = ("graph", "shell", "basic")
) -> Iterator[tuple[str, nn.Module]]:
    """Yields (path, module) of a model for the units of these grades."""
    modules = dict(model.named_modules())
    for path, unit in graph.root.walk():
        if unit.grade in grades and path in modules:
            yield path, modules[path]


# Localizing a difference


def _localized(
    graph: Graph, model: nn.Module, generated: nn.Module, given: Given, mode: str
) -> list[UnitMismatch]:
    """Returns the smallest units that differ on the inputs that the model passes to them."""
    calls = _calls(graph, model, given, mode)
    generated_modules = dict(generated.named_modules())
    wrong: dict[str, str] = {}
    for path, module in reversed([*_parts(graph, model)]):  # children before their parents
        if any(inner.startswith(f"{path}." if path else "") for inner in wrong):
            continue
        for args in calls[path]:
            if path in generated_modules and (
                text := _replayed(module, generated_modules[path], args, mode)
            ):
                wrong[path] = _told(mode, text, module, generated_modules[path])
                break
    return [UnitMismatch(path, text) for path, text in reversed(wrong.items())]


def _told(mode: str, text: str, module: nn.Module, generated: nn.Module) -> str:
    """Returns a difference in a mode, with state that differs since no weights hold it."""
    why = unsaved_difference(module, generated)
    return f"in {mode} mode, {text.rstrip('.')}{'; ' if why else ''}{why}"


def _calls(graph: Graph, model: nn.Module, given: Given, mode: str) -> dict[str, list[Given]]:
    """Returns the arguments of the first calls of each unit in a run of the model, by path."""
    calls: dict[str, list[Given]] = defaultdict(list)

    def noting(path: str) -> Callable[..., None]:
        def note(module: nn.Module, args: Any, kwargs: Any) -> None:
            if len(calls[path]) < REPLAYED:
                calls[path].append(tree_map_only(Tensor, detached, (args, kwargs)))

        return note

    with ExitStack() as stack:
        for path, module in _parts(graph, model):
            handle = module.register_forward_pre_hook(noting(path), with_kwargs=True)
            stack.callback(handle.remove)
        with restored(model):
            run(model, *given, mode=mode)
    return calls


def _replayed(module: nn.Module, generated: nn.Module, given: Given, mode: str) -> str:
    """Returns how a unit differs from its module on the same inputs; "" if it does not."""
    try:
        with restored(module):
            theirs = run(module, *given, mode=mode)
    except Exception:  # it may depend on its context; its parent is replayed, too
        return ""
    try:
        with restored(generated):
            return difference(run(generated, *given, mode=mode), theirs)
    except Exception as error:  # generated source may raise anything
        return f"it fails: {one_line(error)}"
