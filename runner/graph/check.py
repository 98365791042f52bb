"""Checks a conversion: the generated source must compute what the model computes."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from runner.errors import GraphError, one_line
from runner.graph.graph import Graph, Note
from runner.graph.lint import lint
from runner.graph.load import load_source
from runner.graph.reading.convert import check_model, convert
from runner.graph.unit import Grade
from runner.graph.writing.generate import generate

RTOL, ATOL = 1e-4, 1e-5
WAYS = {"as generated": False, "standalone": True}
MODES = {"eval": False, "train": True}
Leaves = dict[str, Any]  # what a model gives: tensors and plain values, by where they stand


@final
@dataclass
class Report:
    """What was compared, and where it differs. Its text is the whole of it."""

    model: str
    compared: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # a sentence for each difference
    grades: Mapping[Grade, int] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)  # what the converter could not read
    sources: dict[str, str] = field(default_factory=dict)  # "as generated", "standalone"

    @property
    def ok(self) -> bool:
        """Whether the source is as good as the model."""
        return not self.problems

    def raise_if_wrong(self) -> None:
        """Raises GraphError, with this report as its text, unless `ok`."""
        if not self.ok:
            raise GraphError(str(self))

    def __str__(self) -> str:
        counts = ", ".join(f"{self.grades.get(g, 0)} {g}" for g in ("graph", "shell", "basic"))
        verdict = "equal" if self.ok else "NOT equal"
        compared = "; ".join(self.compared) or "nothing"
        return "\n".join([
            f"{self.model}: {verdict}. Units: {counts}. Compared: {compared}.",
            *(f"  wrong: {problem}" for problem in self.problems),
            *(f"  note: {note}" for note in self.notes),
        ])  # fmt: skip


def check_conversion(model: nn.Module, *inputs: Any, **kwargs: Any) -> Report:
    """Convert a model, import the source that comes of it, and compare both on these inputs.

    Compared are the names in the state_dict, the outputs in eval and (with one seed) in train mode,
    the gradients of parameters and inputs, inputs that were changed in place, and the buffers after
    training, for source that imports what is unchanged and for standalone source. The model is left
    as it was: mode, buffers, gradients, and the random state. A wrong conversion raises nothing:
    see `Report.ok` and `raise_if_wrong`.
    Raises GraphError when the model itself cannot run on these inputs, or is none.
    """
    check_model(model)
    report = Report(type(model).__name__)
    with torch.random.fork_rng(devices=_devices(model)), _restored(model):
        state = copy.deepcopy(model.state_dict())
        graph = _try(report, "the conversion", lambda: convert(model))
        expected = _expected(model, inputs, kwargs, report)
        if graph is None:
            return report
        _try(report, "the check of the graph", lambda: lint(graph))
        report.grades = graph.grades()
        report.notes += graph.notes
        for way, standalone in WAYS.items():
            twin = _twin(report, graph, way, standalone=standalone)
            if twin is not None:
                twin.to(_device(model))
                _compare(report, way, twin, state, expected, (inputs, kwargs))
    return report


def _try(report: Report, what: str, make: Callable[[], Any]) -> Any:
    """What `make` gives; None, and a problem in the report, when it raises."""
    try:
        return make()
    except Exception as error:
        report.problems.append(f"{what} failed: {one_line(error)}")
        return None


def _twin(report: Report, graph: Graph, way: str, *, standalone: bool) -> nn.Module | None:
    """The model that the source makes."""

    def make() -> nn.Module:
        text = report.sources[way] = generate(graph, standalone=standalone)
        built: nn.Module = load_source(text, graph.tensors).build()
        return built

    twin: nn.Module | None = _try(report, f"{way}, the source", make)
    return twin


# Running


@final
@dataclass
class _Run:
    """What came of running a model in one mode."""

    outputs: Leaves
    gradients: Leaves
    buffers: Leaves


def _expected(
    model: nn.Module, inputs: Sequence[Any], kwargs: Mapping[str, Any], report: Report
) -> dict[str, _Run]:
    """How the model itself runs, in the modes in which it does."""
    runs = {}
    for mode, training in MODES.items():
        try:
            with _restored(model):
                runs[mode] = _run(model, inputs, kwargs, training=training)
        except Exception as error:
            if not training:
                raise GraphError(
                    f"{report.model} itself does not run on these inputs: {one_line(error)}"
                ) from error
            text = f"Not compared in train mode, where it does not run: {one_line(error)}"
            report.notes.append(Note("", report.model, text))
    return runs


def _run(
    model: nn.Module, inputs: Sequence[Any], kwargs: Mapping[str, Any], *, training: bool
) -> _Run:
    """Run a model on copies of the inputs, with a seed of its own."""
    model.train(training)
    given = copy.deepcopy((tuple(inputs), dict(kwargs)))
    starts = {n: x for n, x in _leaves(given, "input") if training and _takes_gradient(x)}
    for start in starts.values():
        start.requires_grad_()
    with torch.set_grad_enabled(training):
        args, named = tree_map_only(Tensor, torch.clone, given)  # which may be changed in place
        torch.manual_seed(0)
        outputs = dict(_leaves(model(*args, **named))) | dict(_leaves((args, named), "input"))
    gradients = _gradients(model, starts, outputs) if training else {}
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    return _Run({name: _detached(leaf) for name, leaf in outputs.items()}, gradients, buffers)


def _takes_gradient(leaf: Any) -> bool:
    return isinstance(leaf, Tensor) and leaf.is_floating_point()


def _gradients(model: nn.Module, starts: Leaves, outputs: Leaves) -> Leaves:
    """The gradients of parameters and inputs, for a fixed random weighting of the outputs."""
    parameters = starts | {n: p for n, p in model.named_parameters() if p.requires_grad}
    generator = torch.Generator().manual_seed(0)
    total = None
    for leaf in outputs.values():
        if _takes_gradient(leaf) and leaf.requires_grad:
            weights = torch.randn(leaf.shape, generator=generator).to(leaf)
            part = (leaf * weights).mean().float()
            total = part if total is None else total + part
    if total is None or not parameters:
        return {}
    found = torch.autograd.grad(total, [*parameters.values()], allow_unused=True)
    return dict(zip(parameters, found, strict=True))


def _leaves(thing: Any, path: str = "output") -> Iterator[tuple[str, Any]]:
    """Tensors and plain values in an output, and where they stand."""
    if isinstance(thing, Mapping):
        for key, item in thing.items():
            yield from _leaves(item, f"{path}[{key!r}]")
    elif isinstance(thing, list | tuple):
        yield f"len({path})", len(thing)
        named = hasattr(thing, "_fields")  # a list for a torch.Size is what TorchScript makes
        yield f"type({path})", type(thing).__name__ if named else "plain"
        for i, item in enumerate(thing):
            yield from _leaves(item, f"{path}[{i}]")
    else:
        yield path, thing


def _detached(leaf: Any) -> Any:
    return leaf.detach().clone() if isinstance(leaf, Tensor) else leaf


# Comparing


def _compare(
    report: Report,
    way: str,
    twin: nn.Module,
    state: Mapping[str, Tensor],
    expected: Mapping[str, _Run],
    given: tuple[Sequence[Any], Mapping[str, Any]],
) -> None:
    if (names := [*twin.state_dict()]) != [*state]:
        report.problems.append(f"{way}: {_other_names(names, [*state])}")
        return
    for mode, run in expected.items():
        what = f"{way}, {mode} mode"
        report.compared.append(what)

        def again(mode: str = mode) -> _Run:
            twin.load_state_dict(state)
            with _restored(twin):
                return _run(twin, *given, training=MODES[mode])

        found: _Run | None = _try(report, f"{what}: running", again)
        if found is not None:
            pairs = [
                (found.outputs, run.outputs, ""),
                (found.gradients, run.gradients, "gradient "),
                (found.buffers, run.buffers, "buffer "),
            ]
            for ours, theirs, kind in pairs:
                difference = _difference(ours, theirs, kind)
                if difference:
                    report.problems.append(f"{what}: {difference}")


def _other_names(ours: list[str], theirs: list[str]) -> str:
    missing = [name for name in theirs if name not in ours]
    extra = [name for name in ours if name not in theirs]
    if not missing and not extra:
        return "the state_dict has its names in another order."
    return f"the state_dict lacks {missing[:3]} and has {extra[:3]} instead."


def _difference(ours: Leaves, theirs: Leaves, kind: str) -> str:
    """The first difference as a sentence, and how many there are; empty when there is none."""
    if ours.keys() != theirs.keys():
        return f"{kind}names differ: {sorted(ours.keys() ^ theirs.keys())[:4]}."
    wrong = [text for name in theirs if (text := _unlike(ours[name], theirs[name], kind + name))]
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return f"{wrong[0]}{more}." if wrong else ""


def _unlike(one: Any, other: Any, name: str) -> str:
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return "" if _plainly_equal(one, other) else f"{name} is {one!r:.80}, not {other!r:.80}"
    if one.shape != other.shape or one.dtype != other.dtype:
        return f"{name} is {_kind(one)}, not {_kind(other)}"
    if one.is_sparse or one.is_quantized or one.is_nested:
        one, other = one.to_dense(), other.to_dense()
    if not (one.is_floating_point() or one.is_complex()):
        return "" if torch.equal(one, other) else f"{name} has other values"
    if torch.allclose(one, other, rtol=RTOL, atol=ATOL, equal_nan=True):
        return ""
    return f"{name} is off by {(one - other).abs().max():.3g}"


def _plainly_equal(one: Any, other: Any) -> bool:
    plain = (bool, int, float, str, type(None))
    if isinstance(other, plain) or isinstance(one, plain):
        return type(one) is type(other) and (one == other or one != one)
    return type(one).__name__ == type(other).__name__


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')}{[*tensor.shape]}"


# Leaving the model as it was


OWN = frozenset(vars(nn.Module())) - {"training"}  # what every module has, and no forward sets


@contextmanager
def _restored(model: nn.Module) -> Iterator[None]:
    """Put back modes, buffers, plain attributes and gradients of a model afterwards."""
    modules = [*model.modules()]
    plain = [{k: v for k, v in vars(m).items() if k not in OWN} for m in modules]
    filled = [
        (v, copy.copy(v)) for own in plain for v in own.values() if isinstance(v, list | dict)
    ]
    buffers = [(m, n, b, b.detach().clone()) for m in modules for n, b in m._buffers.items()
               if b is not None]  # fmt: skip
    gradients = [(p, p.grad) for p in model.parameters()]
    try:
        yield
    finally:
        for module, attributes in zip(modules, plain, strict=True):
            for name in [k for k in vars(module) if k not in OWN and k not in attributes]:
                del module.__dict__[name]
            module.__dict__.update(attributes)
        for container, content in filled:
            container.clear()
            (container.extend if isinstance(container, list) else container.update)(content)
        with torch.no_grad():
            for module, name, buffer, value in buffers:
                module._buffers[name] = buffer.copy_(value)
        for parameter, gradient in gradients:
            parameter.grad = gradient


def _device(model: nn.Module) -> torch.device:
    tensors = (*model.parameters(), *model.buffers())
    return tensors[0].device if tensors else torch.device("cpu")


def _devices(model: nn.Module) -> list[int]:
    """The CUDA devices whose random state must be kept."""
    tensors = (*model.parameters(), *model.buffers())
    return sorted({t.device.index for t in tensors if t.is_cuda and t.device.index is not None})
