"""Mutation: what is known of a child before its walk."""

from runner.errors import SampleError
from runner.space.choice import key
from runner.space.sample import DrawError, generator, sample_key
from runner.strategies.mutation import keeping, mutated


def test_a_walk_that_keeps_a_mutated_sample_ends_there_without_random_numbers(space):
    ended = 0
    for seed in range(200):
        rng = generator(seed)
        parent = space.walk(lambda choice, rng=rng: choice.random(rng))
        if parent.broken is not None:
            continue
        child = mutated(parent, rng)
        assert sum(key(child[label]) != key(value) for label, value in parent.sample.items()) == 1
        before = rng.getstate()
        walk = space.walk(keeping(child, rng))
        if sample_key(walk.sample) == sample_key(child):
            assert rng.getstate() == before
            ended += walk.broken is None
        else:
            assert not _is_sample(space, child)
    assert ended > 20


def _is_sample(space, values) -> bool:
    try:
        return space.contains(values)
    except (SampleError, DrawError):
        return False
