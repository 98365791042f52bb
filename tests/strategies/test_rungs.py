"""Rungs: samples that differ in how far they are trained."""

import pytest
from functions import FunctionSpace

from runner.fidelity import Fidelity
from runner.space.choice import Categorical
from runner.space.sample import DrawError, generator
from runner.space.space import FlatSpace, JointSpace
from runner.strategies.rungs import Rungs

FIDELITY = Fidelity("rung", 1, 9, 3)
SPACE = JointSpace([FlatSpace([Categorical("a", (1, 2, 3))]), FIDELITY.space])


def test_a_sample_is_new_once_whatever_its_rung():
    rungs, found = Rungs(SPACE, FIDELITY), []
    for number, rung in enumerate((0, 2, 1)):
        found.append(rungs.new(rung, generator(0, number)))
        rungs.see(found[-1])
    assert [sample["rung"] for sample in found] == [1, 9, 3]
    assert sorted(sample["a"] for sample in found) == [1, 2, 3]
    with pytest.raises(StopIteration):
        rungs.new(0, generator(0, 3))


def test_a_sample_on_another_rung_lies_in_the_space_and_has_the_same_key():
    rungs = Rungs(SPACE, FIDELITY)
    sample = rungs.new(0, generator(0, 0))
    higher = rungs.at(sample, 2)
    assert higher == sample | {"rung": 9} and SPACE.contains(higher)
    assert rungs.key(higher) == rungs.key(sample) and rungs.rung(higher) == 2


def test_a_sample_that_cannot_be_drawn_has_no_rung():
    def broken(ask):
        ask(Categorical("b", (8 // ask(Categorical("a", (0,))),)))

    rungs = Rungs(JointSpace([FunctionSpace(broken), FIDELITY.space]), FIDELITY)
    with pytest.raises(DrawError) as error:
        rungs.new(1, generator(0, 0))
    assert error.value.sample == {"a": 0} and rungs.rung(error.value.sample) == 0
