"""Random search: no repeats, all of a small space, no end of a continuous one."""

from runner.space.choice import Categorical, Numeric
from runner.space.sample import sample_key
from runner.space.space import FlatSpace
from runner.strategies.random import Random
from runner.trial import Trial


def search(strategy, limit=10_000):
    found = []
    try:
        while len(found) < limit:
            sample = strategy.propose(len(found))
            strategy.observe(Trial(len(found), sample, seed=0))
            found.append(sample)
    except StopIteration:
        pass
    return found


def keys(samples):
    return sorted(map(sample_key, samples))


def test_every_sample_comes_exactly_once():
    space = FlatSpace([Categorical(f"c{i}", (1, 2, 3, 4)) for i in range(4)])
    found = search(Random(space, 0))
    assert len(found) == 256
    assert keys(found) == keys(space.enumerate())


def test_a_sample_that_is_almost_never_drawn_comes_too(space_of):
    def rare(ask):
        for i in range(12):
            if ask(Categorical(f"stop{i}", (True, False, 0, ""))) is not False:
                return

    found = search(Random(space_of(rare), 0))
    assert keys(found) == keys(space_of(rare).enumerate())


def test_more_samples_than_are_listed_at_once_all_come(space_of, monkeypatch):
    monkeypatch.setattr("runner.strategies.unseen._LISTED", 5)
    monkeypatch.setattr("runner.strategies.unseen._DRAWS", 1)
    space = FlatSpace([Categorical(f"c{i}", (1, 2, 3)) for i in range(4)])
    assert keys(search(Random(space, 0))) == keys(space.enumerate())


def test_the_last_samples_come_in_random_order():
    space = FlatSpace([Categorical("c", tuple(range(30)))])
    orders = [[sample["c"] for sample in search(Random(space, seed))] for seed in (0, 1)]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(30))
    assert orders[0] != orders[1]


def test_a_space_with_a_rare_continuous_choice_never_ends(space_of, monkeypatch):
    monkeypatch.setattr("runner.strategies.unseen._DRAWS", 2)

    def mixed(ask):
        if ask(Categorical("kind", tuple(range(20)))) == 19:
            ask(Numeric("rate", 0.0, 1.0))

    found = search(Random(space_of(mixed), 0), limit=60)
    assert len(set(keys(found))) == 60


def test_samples_that_cannot_be_built_are_proposed_once(space_of, drive):
    def broken(ask):
        ask(Categorical("by", (1 // ask(Categorical("n", (0, 1, 2))), 7)))

    events = drive(Random(space_of(broken), 0), lambda sample: None, trials=50)
    assert keys(e.sample for e in events if e.running) == keys(
        [{"n": 0}, {"n": 1, "by": 1}, {"n": 1, "by": 7}, {"n": 2, "by": 0}, {"n": 2, "by": 7}]
    )


def test_values_are_uniform():
    space = FlatSpace([Categorical("c", ("a", "b")), Numeric("x", 0.0, 1.0)])
    found = search(Random(space, 0), limit=2000)
    assert 900 < sum(sample["c"] == "a" for sample in found) < 1100
    assert 900 < sum(sample["x"] < 0.5 for sample in found) < 1100
