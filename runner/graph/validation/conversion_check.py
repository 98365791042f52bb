"""Checks a conversion: generated source must compute what the model computes."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import torch
from torch import Tensor, nn

from runner.errors import GraphError, one_line
from runner.graph.codegen.generate import generate
from runner.graph.codegen.load import load_source
from runner.graph.frontend.convert import check_model, convert
from runner.graph.frontend.frontends import AUTO, usable
from runner.graph.ir.graph import Graph, Note
from runner.graph.ir.lint import lint
from runner.graph.ir.unit import Grade
from runner.graph.validation.equivalence import (
    CannotRun,
    ModelRun,
    all_differences,
    in_each_mode,
    restored,
    run,
    seeded,
)

FORMS = {"as generated": False, "standalone": True}


@final
@dataclass
class Report:
    """The result of a check: what was compared, and where it differs. `str(report)` is the full
    text."""

    model: str
    compared: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # a sentence for each difference
    grades: Mapping[Grade, int] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)  # limitations of the conversion
    sources: dict[str, str] = field(default_factory=dict)  # "as generated", "standalone"

    @property
    def ok(self) -> bool:
        """Whether the source is equivalent to the model."""
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


def check_conversion(model: nn.Module, *inputs: Any, frontend: str = AUTO, **kwargs: Any) -> Report:
    """Converts a model, imports the generated source, and compares both on these inputs.

    Compares the names in the state_dict, outputs in eval and (with a fixed seed) in train mode,
    gradients of parameters and inputs, inputs modified in place, and buffers after training, both
    for source that imports unchanged classes and for standalone source. The mode, buffers and
    gradients of the model and the global random state are preserved. `frontend` is as for
    `convert`. A wrong conversion does not raise: see `Report.ok` and `raise_if_wrong`. Raises
    GraphError for an unknown front end, and if the model itself does not run on these inputs, or is
    not a module.
    """
    usable(frontend)
    check_model(model)
    report = Report(type(model).__name__)
    with seeded(), restored(model):
        state = copy.deepcopy(model.state_dict())
        graph = _try(report, "the conversion", lambda: convert(model, frontend=frontend))
        expected = _expected(model, inputs, kwargs, report)
        if graph is None:
            return report
        _try(report, "the check of the graph", lambda: lint(graph))
        report.grades = graph.grades()
        report.notes += graph.notes
        for form, standalone in FORMS.items():
            generated = _generated_model(report, graph, form, standalone=standalone)
            if generated is not None:
                generated.to(_device(model))
                _compare(report, form, generated, state, expected, (inputs, kwargs))
    return report


def _try(report: Report, what: str, make: Callable[[], Any]) -> Any:
    """Returns `make()`; None, after adding a problem to the report, if it raises."""
    try:
        return make()
    except Exception as error:
        report.problems.append(f"{what} failed: {one_line(error)}")
        return None


def _generated_model(
    report: Report, graph: Graph, form: str, *, standalone: bool
) -> nn.Module | None:
    """Builds the model from the generated source."""

    def make() -> nn.Module:
        text = report.sources[form] = generate(graph, standalone=standalone)
        built: nn.Module = load_source(text, graph.tensors).build()
        return built

    generated: nn.Module | None = _try(report, f"{form}, the source", make)
    return generated


# Comparing


def _expected(
    model: nn.Module, inputs: Sequence[Any], kwargs: Mapping[str, Any], report: Report
) -> dict[str, ModelRun]:
    """Runs the model itself in each mode in which it runs."""
    try:
        runs, why = in_each_mode(model, lambda mode: run(model, inputs, kwargs, mode=mode))
    except CannotRun as error:
        raise GraphError(f"{report.model} itself does not run on these inputs: {error}") from error
    if why:
        text = f"Not compared in train mode, where it does not run: {why}"
        report.notes.append(Note("", report.model, text))
    return runs


def _compare(
    report: Report,
    form: str,
    generated: nn.Module,
    state: Mapping[str, Tensor],
    expected: Mapping[str, ModelRun],
    given: tuple[Sequence[Any], Mapping[str, Any]],
) -> None:
    if (names := [*generated.state_dict()]) != [*state]:
        report.problems.append(f"{form}: {_other_names(names, [*state])}")
        return
    for mode, theirs in expected.items():
        what = f"{form}, {mode} mode"
        report.compared.append(what)

        def again(mode: str = mode) -> ModelRun:
            generated.load_state_dict(state)
            with restored(generated):
                return run(generated, *given, mode=mode)

        ours: ModelRun | None = _try(report, f"{what}: running", again)
        if ours is not None:
            report.problems += [f"{what}: {text}" for text in all_differences(ours, theirs)]


def _other_names(ours: list[str], theirs: list[str]) -> str:
    missing = [name for name in theirs if name not in ours]
    extra = [name for name in ours if name not in theirs]
    if not missing and not extra:
        return "the state_dict has its names in another order."
    return f"the state_dict lacks {missing[:3]} and has {extra[:3]} instead."


def _device(model: nn.Module) -> torch.device:
    tensors = (*model.parameters(), *model.buffers())
    return tensors[0].device if tensors else torch.device("cpu")
