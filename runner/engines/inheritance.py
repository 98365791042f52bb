"""What a trial's model starts from: planned in the driver, carried by the recipe, done in the
worker."""

import json
import logging
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict, final

from safetensors import safe_open
from torch import Tensor, default_generator, nn
from torch.random import fork_rng

from runner.engines.model_space import build_sample
from runner.engines.recent import Recent
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

INHERITED = "inherited"  # the metric: the share of a model's parameters that were taken over
PRESERVED = "preserved"  # the metric: 1 where outputs were compared and are equal, 0 where not
REPORT = "inherited.txt"  # the report, in the folder of a trial
SEED = 0  # of the base model's first values, where it has no weights of its own
KEPT = 2  # base models that a worker remembers

StateDict = Mapping[str, Tensor]
Widths = Mapping[str, Sequence[Source]]  # what sets a width, by the label of its choice


class Parent(TypedDict):
    """The trained trial that a model starts from."""

    trial: int  # whose weights they are
    plan: TransferPlan


@final
class Giver:
    """A model that others start from: what it is called, its weights, and what it gives."""

    def __init__(self, name: str, state: StateDict, made: Callable[[], nn.Module]) -> None:
        """`made` gives the model, with these weights."""
        self.name, self.state, self._made = name, state, made
        self._known: dict[tuple[int, ...] | None, list[Tensor]] = {}

    def outputs(self, shape: Sequence[int] | None) -> list[Tensor]:
        """What it gives for an example. Raises NotCompared."""
        key = None if shape is None else tuple(shape)
        if key not in self._known:
            try:
                self._known[key] = outputs(self._made(), shape)
            except NotCompared as why:
                raise NotCompared(f"{self.name}: {why}") from why
        return self._known[key]


class Heritage(TypedDict):
    """The part of a recipe that says what its model inherits; plain JSON."""

    space: Mapping[str, Any]  # what builds the base model
    trust: list[str]
    sample: Sample  # of the inline choices
    seed: int
    example: list[int] | None  # its shape, without the batch
    plan: TransferPlan  # from the base model
    parent: NotRequired[Parent]


@final
class Tracked:
    """A graph whose units know their origin, and the tracks that were asked for."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._known: dict[Hashable, Tracks] = {}

    def plan(self, new: "Tracked") -> TransferPlan:
        """What a model takes over of the one of this graph."""
        widths = new.graph.widths
        return inheritance(self.graph, self._tracks(widths), new.graph, new._tracks(widths))

    def _tracks(self, widths: Widths) -> Tracks:
        """The channels at each place of its tensors, for the widths of some graph; none where they
        cannot be told."""
        own = {label: self.graph.widths.get(label, sources) for label, sources in widths.items()}
        key = tuple((label, *sources) for label, sources in own.items())
        if key not in self._known:
            try:
                self._known[key] = tracks(self.graph, own) if own else {}
            except GraphError as error:
                log.warning("Of layers that change their width, nothing is inherited: %s", error)
                self._known[key] = {}
        return self._known[key]


@final
class BaseModels:
    """The base models that a worker has built last; the same in each worker, even if their weights
    are random."""

    def __init__(self) -> None:
        self._recent: Recent[Giver] = Recent(KEPT)

    def get(self, heritage: Heritage) -> Giver:
        """Returns the base model of a heritage."""
        space, sample, seed = heritage["space"], heritage["sample"], heritage["seed"]

        def make() -> Giver:
            with fork_rng([]):
                default_generator.manual_seed(seed)
                model = build_sample(space, heritage["trust"], sample)
            return Giver("the base model", model.state_dict(), lambda: model)

        return self._recent.get(json.dumps((space, sample, seed), sort_keys=True), make)


def inherit(
    heritage: Heritage, model: nn.Module, folder: Path, trial: int, bases: BaseModels
) -> Metrics:
    """Give a model what it inherits, compare what it computes with what it was made of, and leave
    a report in its trial's folder.

    First from the base model, then from its trained parent, so that it has of the base model what
    its parent does not have. A parent whose weights are gone leaves all to the base model.
    """
    base, notes = bases.get(heritage), list[str]()
    gifts = [Gift(base.name, take_over(model, heritage["plan"], base.state))]
    identities = start_identities(model, heritage["plan"])
    giver, plan = base, heritage["plan"]
    if "parent" in heritage:
        parent, name = heritage["parent"], f"trial {heritage['parent']['trial']}"
        place = trial_folder(folder, parent["trial"])
        state = _trained(place / WEIGHTS)
        if state is None:
            notes.append(f"The weights of its parent, {name}, were not kept.")
        else:
            notes.append(f"Its parent is {name}; of the base model it has what that does not have.")
            gifts.append(Gift(name, take_over(model, parent["plan"], state)))
            giver, plan = _trial(place, name, state), parent["plan"]
    verdict = _compared(model, giver, heritage["example"])
    claim = Claim(giver.name, verdict, _reasons(model, plan, giver.state, identities))
    place = trial_folder(folder, trial)
    place.mkdir(parents=True, exist_ok=True)
    text = report(model, gifts, identities, notes, claim)
    (place / REPORT).write_text(text, encoding="utf-8")
    metrics = {INHERITED: share(model, gifts, whole=claim.failed)}
    return metrics if verdict.off is None else {**metrics, PRESERVED: float(verdict.equal)}


def _compared(model: nn.Module, giver: Giver, example: Sequence[int] | None) -> Verdict:
    """How what a model gives compares to what the one gives that it started from."""
    try:
        return compared(outputs(model, example), giver.outputs(example))
    except NotCompared as why:
        return Verdict(None, why=str(why))


def _reasons(
    model: nn.Module, plan: TransferPlan, state: StateDict, identities: Mapping[str, str]
) -> Sequence[str]:
    """What makes it no wonder that a model computes something else than what it started from."""
    inserted = [f"{path} is {how}" for path, how in identities.items()
                if how == NEITHER and path in plan["identity"]]  # fmt: skip
    smaller = [f"{name} is smaller" for name in narrowed(model, plan, state)]
    return [*plan["changes"], *inserted, *smaller]


def _trial(place: Path, name: str, state: StateDict) -> Giver:
    """A trained trial, by the source in its folder."""

    def made() -> nn.Module:
        try:
            with fork_rng([]):
                model: nn.Module = load_file(place / MODEL).build()
            model.load_state_dict(state, strict=False)
        except Exception as error:
            raise NotCompared(f"it cannot be built again: {one_line(error)}") from error
        return model

    return Giver(name, state, made)


def _trained(path: Path) -> StateDict | None:
    """The weights that a trial left, tied ones under all their names; None where it left none.
    Raises WeightsError where they were damaged."""
    if not path.is_file():
        return None
    check_weights(path)
    with safe_open(str(path), framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        names = file.metadata() or {}
    return state | {name: state[kept] for name, kept in names.items() if kept in state}
