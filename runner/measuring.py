"""What is measured of models before they are trained, and which constraints that breaks."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, final

import torch
from torch import Tensor, nn

from runner.config.instantiate import build
from runner.config.settings import Settings
from runner.config.targets import locate
from runner.constraints import Constraint
from runner.data.data import Data
from runner.display.format import NOISE, figure_of
from runner.engines.engine import Engine
from runner.engines.model_space import WITHOUT_VALUES, BuildWay, quiet
from runner.errors import ConfigError, Refused, RunnerError, did_you_mean
from runner.goals import Goals
from runner.measures.measure import Measure
from runner.space.sample import DrawError, Sample
from runner.trial import Metrics

META = torch.device("meta")
log = logging.getLogger(__name__)
Nodes = Mapping[str, Mapping[str, Any]]


def needed(settings: Settings) -> Nodes:
    """Returns the config nodes of the measures that a search needs, by name: those of objectives,
    of constraints, and of `measures`; none if the evaluator looks results up. Raises ConfigError
    for an unknown one."""
    for name in settings.measures:
        if name not in settings.measure:
            raise ConfigError(
                f"measures names {name!r}; there are {', '.join(settings.measure)}."
                f"{did_you_mean(name, settings.measure)}"
            )
    if not getattr(locate(settings.evaluator["_target_"], settings.trust), "trains", True):
        return {}
    wanted = [*Goals.of_settings(settings).metrics, *settings.measures]
    return {name: node for name, node in settings.measure.items() if name in wanted}


@final
class Measures:
    """The measures of a search, and the constraints that models must keep."""

    def __init__(
        self, nodes: Nodes, constraints: Iterable[Constraint], trust: Sequence[str] = ()
    ) -> None:
        self._constraints = [*constraints]
        self._measures: dict[str, Measure] = {
            name: build(node, trust) for name, node in nodes.items()
        }

    def __bool__(self) -> bool:
        return bool(self._measures or self._constraints)

    def exact(self) -> "Measures":
        """Returns those that a model without values tells, and that are constrained."""
        bounded = {constraint.metric for constraint in self._constraints}
        found = Measures({}, self._constraints)
        found._measures = {
            name: measure for name, measure in self._measures.items()
            if measure.exact and name in bounded
        }  # fmt: skip
        return found

    def at_rest(self, model: nn.Module) -> Metrics:
        """Returns the figures that a model has without being run; nothing is checked."""
        return {
            name: float(measure.measure(model, torch.empty(0), META))
            for name, measure in self._measures.items()
            if not measure.runs
        }

    def are_among(self, figures: Metrics) -> bool:
        """Returns whether all of these measures are known."""
        return self._measures.keys() <= figures.keys()

    def of(
        self,
        model: nn.Module,
        again: Callable[[], nn.Module],
        example: Callable[[], Tensor],
        device: torch.device,
        known: Metrics,
    ) -> Metrics:
        """Returns the figures of a model, besides those that are known. Those that run it run one
        that `again` makes, on one `example`. Raises Refused if a constraint is broken."""
        found = dict(known)
        for name, measure in self._measures.items():
            if name in found:
                continue
            shown = (again(), example()) if measure.runs else (model, torch.empty(0))
            found[name] = float(measure.measure(*shown, device))
            if (noise := measure.noise()) is not None:
                found[NOISE.format(name)] = noise
        self.check(found)
        return found

    def check(self, figures: Metrics) -> None:
        """Raises Refused, with the figures, if one of them breaks a constraint."""
        for one in self._constraints:
            if one.metric in figures and one.violation(figures[one.metric]):
                value = figure_of(one.metric, figures)
                raise Refused(f"{one.metric} is {value}, but it must be {one.rule}", figures)


@final
class EarlyMeasures:
    """Measures samples in the driver, without values, so that a refusal costs milliseconds."""

    def __init__(self, engine: Engine, measures: Measures, data: Data) -> None:
        self._engine = engine
        self._measures = measures.exact()
        self._ways: list[BuildWay] = [*WITHOUT_VALUES] if self._measures else []
        self._data = data
        self._known: dict[str, Metrics] = {}
        if self._measures and engine.walked is not None:
            engine.walked.note_figures(self._measures.at_rest)

    def figures(self, sample: Sample, key: str) -> Metrics:
        """Returns what is known of a sample's model before a worker builds it; nothing if that
        needs values. `key` is that of the trial. Raises Refused if a constraint is broken."""
        if key not in self._known:
            self._known[key] = self._measured(sample)
        return self._known[key]

    def _measured(self, sample: Sample) -> Metrics:
        walked = {} if self._engine.walked is None else self._engine.walked.figures(sample)
        if walked and self._measures.are_among(walked):  # the walk has built the model
            self._measures.check(walked)
            return walked
        while self._ways:
            try:
                return self._measured_by(self._ways[0], sample)
            except DrawError:  # the trial will fail, and tell why
                return {}
            except RunnerError:
                raise
            except Exception as error:  # code that reads values; a worker has some
                log.info("A model cannot be measured without values: %s", error)
                del self._ways[0]
        return {}

    def _measured_by(self, way: BuildWay, sample: Sample) -> Metrics:
        recipe = self._engine.recipe_of(sample)
        with quiet():
            with way():
                model = self._engine.build(recipe)
            if not all(t.is_meta for t in (*model.parameters(), *model.buffers())):
                model = model.to(META)
            with META:
                return self._measures.of(model, lambda: model, self._example, META, {})

    def _example(self) -> Tensor:
        found = None
        with suppress(Exception):  # the rehearsal reports it
            found = self._data.first(1)
        example = torch.empty(1, *self._data.shape) if found is None else found[0]
        return example.to(META)
