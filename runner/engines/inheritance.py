"""Weight inheritance: planned in the driver, sent in a recipe, applied in the worker."""

import json
import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict, final

from safetensors import safe_open
from torch import Tensor, default_generator, nn
from torch.random import fork_rng

from runner.engines.bounded_cache import BoundedCache
from runner.engines.model_space import build_sample
from runner.errors import GraphError, one_line
from runner.graph.channels.channel_tracking import tracks
from runner.graph.channels.tracks import Tracks
from runner.graph.codegen.load import load_file
from runner.graph.ir.graph import Graph
from runner.graph.ir.width_source import Source
from runner.graph.weight_transfer.apply import narrowed, start_identities, take_over
from runner.graph.weight_transfer.comparison import NotCompared, Verdict, compared, outputs
from runner.graph.weight_transfer.identity_init import NEITHER
from runner.graph.weight_transfer.plan import TransferPlan, inheritance
from runner.graph.weight_transfer.report import Claim, Gift, report, share
from runner.space.sample import Sample
from runner.trial import MODEL, WEIGHTS, Metrics, trial_folder
from runner.weights import check_weights

log = logging.getLogger(__name__)

INHERITED = "inherited"  # the metric: the fraction of parameters that were inherited
PRESERVED = "preserved"  # the metric: whether outputs were preserved, 1 or 0
REPORT = "inherited.txt"  # the report, in the folder of a trial
SEED = 0  # of the base model's initial values, if it has no weights of its own
KEPT = 2  # base models cached by a worker

StateDict = Mapping[str, Tensor]
Widths = Mapping[str, Sequence[Source]]  # the sources of a width, by the label of its choice


class Parent(TypedDict):
    """The trained trial that a model starts from."""

    trial: int  # the owner of the weights
    plan: TransferPlan


@final
class WeightOrigin:
    """A model that others inherit from: its name, its weights, and its outputs."""

    def __init__(self, name: str, state: StateDict, made: Callable[[], nn.Module]) -> None:
        """Takes the weights of a model, and `made`, which builds the model with them."""
        self.name, self.state, self._made = name, state, made
        self._known: dict[tuple[int, ...] | None, list[Tensor]] = {}

    def outputs(self, shape: Sequence[int] | None) -> list[Tensor]:
        """Returns its outputs for an example. Raises NotCompared."""
        key = None if shape is None else tuple(shape)
        if key not in self._known:
            try:
                self._known[key] = outputs(self._made(), shape)
            except NotCompared as why:
                raise NotCompared(f"{self.name}: {why}") from why
        return self._known[key]


class Heritage(TypedDict):
    """The part of a recipe that describes inheritance, as plain JSON."""

    space: Mapping[str, Any]  # builds the base model
    trust: list[str]
    sample: Sample  # of the choices of the model's own code
    seed: int
    example: list[int] | None  # its shape, without the batch
    plan: TransferPlan  # from the base model
    parent: NotRequired[Parent]


@final
class Tracked:
    """A graph with unit origins, and the channel tracks computed for it."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._known: dict[Hashable, Tracks] = {}

    def plan(self, new: "Tracked") -> TransferPlan:
        """Returns the plan for a model to inherit from the model of this graph."""
        widths = new.graph.widths
        return inheritance(self.graph, self._tracks(widths), new.graph, new._tracks(widths))

    def _tracks(self, widths: Widths) -> Tracks:
        """Returns the channels of the graph's tensors for some widths; empty if unknown."""
        own = {label: self.graph.widths.get(label, sources) for label, sources in widths.items()}
        key = tuple((label, *sources) for label, sources in own.items())
        if key not in self._known:
            try:
                self._known[key] = tracks(self.graph, own) if own else {}
            except GraphError as error:
                log.warning("Layers whose width changes inherit nothing: %s", error)
                self._known[key] = {}
        return self._known[key]


@final
class BaseModels:
    """The base models most recently built by a worker. They are the same in each worker, even if
    their weights are random."""

    def __init__(self) -> None:
        self._recent: BoundedCache[WeightOrigin] = BoundedCache(KEPT)

    def get(self, heritage: Heritage) -> WeightOrigin:
        """Returns the base model of a heritage."""
        space, sample, seed = heritage["space"], heritage["sample"], heritage["seed"]

        def make() -> WeightOrigin:
            with fork_rng([]):
                default_generator.manual_seed(seed)
                model = build_sample(space, heritage["trust"], sample)
            return WeightOrigin("the base model", model.state_dict(), lambda: model)

        return self._recent.get(json.dumps((space, sample, seed), sort_keys=True), make)


def inherit(
    heritage: Heritage, model: nn.Module, folder: Path, trial: int, bases: BaseModels
) -> Metrics:
    """Copies inherited weights into a model, compares its outputs with those of its origin, and
    writes a report to its trial's folder.

    Weights of the base model come first, then those of the trained parent override them where the
    parent has them. If the parent's weights are gone, the base model's remain.
    """
    base, notes = bases.get(heritage), list[str]()
    gifts = [Gift(base.name, take_over(model, heritage["plan"], base.state))]
    identities = start_identities(model, heritage["plan"])
    origin, plan = base, heritage["plan"]
    if "parent" in heritage:
        parent, name = heritage["parent"], f"trial {heritage['parent']['trial']}"
        place = trial_folder(folder, parent["trial"])
        state = _trained_weights(place / WEIGHTS)
        if state is None:
            notes.append(f"The weights of its parent, {name}, were not kept.")
        else:
            notes.append(f"Its parent is {name}; what the parent lacks comes from the base model.")
            gifts.append(Gift(name, take_over(model, parent["plan"], state)))
            origin, plan = _trial(place, name, state), parent["plan"]
    verdict = _compared(model, origin, heritage["example"])
    claim = Claim(origin.name, verdict, _explanations(model, plan, origin.state, identities))
    place = trial_folder(folder, trial)
    place.mkdir(parents=True, exist_ok=True)
    text = report(model, gifts, identities, notes, claim)
    (place / REPORT).write_text(text, encoding="utf-8")
    metrics = {INHERITED: share(model, gifts, whole=claim.failed)}
    return metrics if verdict.off is None else {**metrics, PRESERVED: float(verdict.equal)}


def _compared(model: nn.Module, origin: WeightOrigin, example: Sequence[int] | None) -> Verdict:
    """Compares the outputs of a model with those of its origin."""
    try:
        return compared(outputs(model, example), origin.outputs(example))
    except NotCompared as why:
        return Verdict(None, why=str(why))


def _explanations(
    model: nn.Module, plan: TransferPlan, state: StateDict, identities: Mapping[str, str]
) -> Sequence[str]:
    """Returns the mutations that explain a difference between a model and its origin."""
    inserted = [f"{path} is {how}" for path, how in identities.items()
                if how == NEITHER and path in plan["identity"]]  # fmt: skip
    smaller = [f"{name} is smaller" for name in narrowed(model, plan, state)]
    return [*plan["changes"], *inserted, *smaller]


def _trial(place: Path, name: str, state: StateDict) -> WeightOrigin:
    """Returns a trained trial, built from the source in its folder."""

    def made() -> nn.Module:
        try:
            with fork_rng([]):
                model: nn.Module = load_file(place / MODEL).build()
            model.load_state_dict(state, strict=False)
        except Exception as error:
            raise NotCompared(f"it cannot be rebuilt: {one_line(error)}") from error
        return model

    return WeightOrigin(name, state, made)


def _trained_weights(path: Path) -> StateDict | None:
    """Returns the weights of a trial, tied ones under all their names; None if it has none. Raises
    WeightsError if they are damaged."""
    if not path.is_file():
        return None
    check_weights(path)
    with safe_open(str(path), framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        names = file.metadata() or {}
    return state | {name: state[kept] for name, kept in names.items() if kept in state}
