"""Unseen samples: each once, whatever is drawn."""

import pytest

from runner.space.choice import Categorical
from runner.space.sample import generator, sample_key
from runner.space.space import FlatSpace
from runner.strategies.unseen import Unseen


def test_every_sample_is_drawn_once():
    space = FlatSpace([Categorical("a", tuple(range(5))), Categorical("b", tuple(range(4)))])
    unseen, found = Unseen(space), set()
    for number in range(20):
        sample = unseen.draw(generator(0, number))
        unseen.see(sample)
        found.add(sample_key(sample))
    assert len(found) == 20
    with pytest.raises(StopIteration):
        unseen.draw(generator(0, 20))
