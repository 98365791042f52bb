"""What tests of the primitives share: a space from a factory, and all models of it."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from runner import nn
from runner.nn.recording.construction_record import record_of
from runner.nn.values.build import is_leaf
from runner.nn.values.expression import is_symbolic, replace_symbolic
from runner.space.sample import Chooser, Sample
from runner.space.space import Space


class FactorySpace(Space):
    """What a function that builds something asks for."""

    def __init__(self, factory: Callable[[], Any]) -> None:
        self.factory = factory

    def draw(self, choose: Chooser) -> Sample:
        with nn.draw(choose) as sample:
            self.factory()
        return sample


@pytest.fixture
def space_of() -> Callable[[Callable[[], Any]], Space]:
    return FactorySpace


@pytest.fixture
def samples() -> Callable[[Callable[[], Any]], list[Sample]]:
    """All samples of a factory, in order."""
    return lambda factory: [*FactorySpace(factory).enumerate()]


@pytest.fixture
def built() -> Callable[[Callable[[], Any]], Iterator[Any]]:
    """What a factory builds for each of its samples, in order."""

    def build(factory: Callable[[], Any]) -> Iterator[Any]:
        for values in FactorySpace(factory).enumerate():
            with nn.sample(values, strict=True):
                yield factory()

    return build


class Decided:
    """A symbolic model decided by a sample the plain way, module by module: what the graph engines
    must come to. `asked` are the labels that were needed, in order."""

    def __init__(self, model: torch.nn.Module, values: Sample) -> None:
        self.values = values
        self.asked: dict[str, None] = {}
        self.model = self._module(model)

    def _ask(self, choice):
        self.asked[choice.label] = None
        return choice.check(self.values[choice.label])

    def _value(self, value):
        return replace_symbolic(value, lambda inner: inner.resolve(self._ask))

    def _module(self, module: torch.nn.Module) -> torch.nn.Module:
        record = record_of(module)
        given = None if record is None else (record.args, record.kwargs)
        if is_symbolic(given) and is_leaf(type(module)):
            return type(module)(*self._value(record.args), **self._value(record.kwargs))
        decide = {
            "LayerChoice": self._layer,
            "Repeat": self._repeat,
            "InputChoice": self._inputs,
            "Cell": self._cell,
        }.get(getattr(module, "kind", ""), self._composite)
        return decide(module)

    def _composite(self, module):
        twin = copy.copy(module)
        twin.__dict__.update({name: self._value(value) for name, value in vars(module).items()})
        children = module._modules.items()
        twin._modules = {name: child and self._module(child) for name, child in children}
        return twin

    def _layer(self, module):
        choice = module.facts()["choice"]
        return self._module([*module.children()][choice.index(self._ask(choice))])

    def _repeat(self, module):
        depth = module.facts()["depth"].resolve(self._ask)
        return torch.nn.Sequential(*map(self._module, [*module.children()][:depth]))

    def _inputs(self, module):
        facts = module.facts()
        chosen = self._ask(facts["choice"])
        return nn.ChosenInputs(facts["n_candidates"], chosen, facts["reduction"])

    def _cell(self, module):
        facts = module.facts()
        twin = copy.copy(module)
        twin.__class__ = nn.Cell
        twin._modules = {name: child and self._module(child) for name, child in
                         module._modules.items() if name != "ops"}  # fmt: skip
        twin.inputs, twin.ops = [], torch.nn.ModuleList()
        for node in facts["nodes"]:
            twin.inputs.append([self._ask(slot["input"])[0] for slot in node])
            places = [slot["op"].index(self._ask(slot["op"])) for slot in node]
            paths = [
                slot["variants"][place, state]
                for slot, place, state in zip(node, places, twin.inputs[-1], strict=True)
            ]
            ops = [self._module(module.get_submodule(path)) for path in paths]
            twin.ops.append(torch.nn.ModuleList(ops))
        outputs = module.output_node_indices
        twin.output_node_indices = self._value(outputs)
        return twin


@pytest.fixture
def decided() -> Callable[[torch.nn.Module, Sample], Decided]:
    return Decided
