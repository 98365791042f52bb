"""What a trial's model starts from: planned in the driver, carried by the recipe, done in the
worker."""

import json
import logging
from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict, final

from safetensors import safe_open
from torch import Tensor, default_generator, nn
from torch.random import fork_rng

from runner.errors import GraphError
from runner.graph.graph import Graph
from runner.graph.inheriting.apply import start_identities, take_over
from runner.graph.inheriting.plan import Plan, inheritance
from runner.graph.inheriting.report import Gift, report, share
from runner.graph.tracks import Tracks
from runner.graph.widths.source import Source
from runner.graph.widths.tracking import tracks
from runner.nn.build import sample as building
from runner.targets import build
from runner.trial import WEIGHTS, Metrics, trial_folder
from runner.walk import Sample

log = logging.getLogger(__name__)

INHERITED = "inherited"  # the metric: the share of a model's parameters that were taken over
REPORT = "inherited.txt"  # the report, in the folder of a trial
SEED = 0  # of the base model's first values, where it has no weights of its own
KEPT = 2  # state_dicts of base models that a worker remembers

State = Mapping[str, Tensor]
Widths = Mapping[str, Sequence[Source]]  # what sets a width, by the label of its choice
_states: OrderedDict[str, State] = OrderedDict()


class Parent(TypedDict):
    """The trained trial that a model starts from."""

    trial: int  # whose weights they are
    plan: Plan


class Heritage(TypedDict):
    """The part of a recipe that says what its model inherits; plain JSON."""

    space: Mapping[str, Any]  # what builds the base model
    trust: list[str]
    sample: Sample  # of the inline choices
    seed: int
    plan: Plan  # from the base model
    parent: NotRequired[Parent]


@final
class Tracked:
    """A graph whose units know their origin, and the tracks that were asked for."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._known: dict[Hashable, Tracks] = {}

    def plan(self, new: "Tracked") -> Plan:
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


def inherit(heritage: Heritage, model: nn.Module, folder: Path, trial: int) -> Metrics:
    """Give a model what it inherits, and leave a report in its trial's folder.

    First from the base model, then from its trained parent, so that it has of the base model what
    its parent does not have. A parent whose weights are gone leaves all to the base model.
    """
    gifts = [Gift("the base model", take_over(model, heritage["plan"], _base_state(heritage)))]
    identities, notes = start_identities(model, heritage["plan"]), []
    if "parent" in heritage:
        parent, name = heritage["parent"], f"trial {heritage['parent']['trial']}"
        state = _trained(trial_folder(folder, parent["trial"]) / WEIGHTS)
        if state is None:
            notes.append(f"The weights of its parent, {name}, were not kept.")
        else:
            notes.append(f"Its parent is {name}; of the base model it has what that does not have.")
            gifts.append(Gift(name, take_over(model, parent["plan"], state)))
    place = trial_folder(folder, trial)
    place.mkdir(parents=True, exist_ok=True)
    (place / REPORT).write_text(report(model, gifts, identities, notes), encoding="utf-8")
    return {INHERITED: share(model, gifts)}


def _base_state(heritage: Heritage) -> State:
    """The weights of the base model, the same in each worker, also where they are drawn."""
    made = (heritage["space"], heritage["sample"], heritage["seed"])
    key = json.dumps(made, sort_keys=True)
    if key not in _states:
        with fork_rng([]), building(heritage["sample"]):
            default_generator.manual_seed(heritage["seed"])
            model: nn.Module = build(heritage["space"], heritage["trust"])
        _states[key] = model.state_dict()
        if len(_states) > KEPT:
            _states.popitem(last=False)
    return _states[key]


def _trained(path: Path) -> State | None:
    """The weights that a trial left, tied ones under all their names; None where it left none."""
    try:
        with safe_open(str(path), framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            names = file.metadata() or {}
    except FileNotFoundError:
        return None
    return state | {name: state[kept] for name, kept in names.items() if kept in state}
