"""Engine `py`: any Python, walked without memory, and what that Python may get wrong."""

import logging
from typing import ClassVar

import pytest
import torch
import toy

from runner.engines.py import PyEngine
from runner.errors import SampleError, SpaceError
from runner.space.sample import DrawError, generator


def space(name):
    return PyEngine(space={"_target_": f"toy.{name}"}, trust=["toy"]).space


def test_a_walk_asks_what_the_code_asks_in_its_order():
    asked = []
    sample = space("Net").draw(lambda choice: asked.append(choice.label) or choice.values()[-1])
    assert asked == ["width", "depth", "skip", "kernel"]
    assert sample == {"width": 3, "depth": 2, "skip": True, "kernel": 7}


def test_a_choice_behind_an_if_is_asked_only_there():
    assert space("Net").default() == {"width": 1, "depth": 1, "skip": False}


def test_a_walk_allocates_nothing(monkeypatch):
    class Watching(torch.nn.Linear):
        seen: ClassVar = []

        def __init__(self):
            super().__init__(10, 10)
            self.seen.append(self.weight.device.type)

    monkeypatch.setattr(toy, "Net", Watching)
    monkeypatch.setattr(Watching, "__module__", "toy")
    space("Net").default()
    assert Watching.seen == ["meta"]


class ReadsWeights(toy.nn.Module):
    """Looks at the initial value of a weight."""

    devices: ClassVar = []

    def __init__(self) -> None:
        super().__init__()
        self.n = toy.nn.ValueChoice([2, 3], label="n")
        self.layer = torch.nn.Linear(1, self.n)
        self.devices.append(self.layer.weight.device.type)
        self.sign = self.layer.weight[0].item() > 0


def test_code_that_looks_at_weights_is_walked_on_the_cpu_and_that_is_said(caplog):
    ReadsWeights.devices.clear()
    looks = PyEngine(space={"_target_": f"{__name__}.ReadsWeights"}, trust=[__name__]).space
    with caplog.at_level(logging.INFO):
        assert [looks.random(generator(0, i))["n"] for i in range(3)]
    assert sum("cannot be built on meta" in record.message for record in caplog.records) == 1
    assert ReadsWeights.devices == ["meta", "meta", "cpu", "cpu", "cpu"]


def test_code_that_looks_at_other_values_allocates_no_weights(caplog, monkeypatch):
    devices = []

    class Rates(toy.Looks):
        def __init__(self) -> None:
            super().__init__()
            torch.nn.init.normal_(self.layer.weight)
            self.buffer = torch.ones(3).fill_(2.0)
            devices.append((self.layer.weight.device.type, self.buffer.sum().item()))

    monkeypatch.setattr(toy, "Net", Rates)
    monkeypatch.setattr(Rates, "__module__", "toy")
    with caplog.at_level(logging.INFO):
        assert [space("Net").random(generator(0, i))["n"] for i in range(3)]
    assert not caplog.records
    assert devices == [("meta", 6.0)] * 3


def test_each_label_is_asked_once_also_when_a_walk_starts_again_on_the_cpu():
    asked = []
    space("Looks").draw(lambda choice: asked.append(choice.label) or choice.default)
    assert asked == ["n"]


def test_code_that_raises_tells_what_was_decided_so_far():
    fragile = space("Fragile")
    assert fragile.draw(lambda choice: 3) == {"a": 3}
    with pytest.raises(DrawError, match=r"toy\.Fragile raised ValueError: no such net") as error:
        fragile.draw(lambda choice: 2)
    assert error.value.sample == {"a": 2}


def test_what_a_chooser_raises_is_not_blamed_on_the_space():
    with pytest.raises(ZeroDivisionError):
        space("Net").draw(lambda choice: 1 // 0)


def test_one_label_for_two_choices_is_an_error_that_shows_both():
    with pytest.raises(SpaceError, match=r"'width' is used by two choices: 1, 2; and 1, 3"):
        space("Clash").default()


def test_an_unknown_value_is_an_error_that_shows_the_candidates():
    recipe = {"space": {"_target_": "toy.Fragile"}, "trust": ["toy"], "sample": {"a": 9}}
    with pytest.raises(SampleError, match=r"'a' was given 9; its candidates are 1, 2, 3"):
        PyEngine.build(recipe)
