"""Walks that are remembered: each sample's own, and only the latest ones."""

from runner.space.choice import Categorical
from runner.space.sample import lookup
from runner.strategies.walks import Walks


def test_a_walk_is_made_again_only_if_others_were_asked_for_since(space_of):
    made = []

    def counted(ask):
        made.append(ask(Categorical("a", (0, 1, 2))))
        ask(Categorical(f"b{made[-1]}", ("x", "y")))

    space = space_of(counted)
    samples = [{"a": a, f"b{a}": "y"} for a in range(3)]
    walks = Walks(space, 2)
    for place in (0, 1, 0, 1, 2, 1, 0, 2):
        found = walks.of(samples[place])
        assert found.sample == samples[place]
        assert found.choices == space.walk(lookup(samples[place])).choices
        made.pop()  # of that walk
    assert made == [0, 1, 2, 0, 2]
