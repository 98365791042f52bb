"""Estimates how many samples of a space are refused, and why, without training any."""

from collections.abc import Iterable, Sequence
from random import Random

from runner.engines.engine import Engine
from runner.errors import Refused, message, refusal
from runner.space.sample import DrawError, generator


def refusals(
    engine: Engine, numbers: Iterable[int], seed: int = 0, *, mutated: bool = True
) -> Sequence[str]:
    """Returns the reasons of refused random samples. Each number seeds one sample. If not
    `mutated`, only the space's own code can refuse samples, and no graph is created."""
    found = (_refusal(engine, generator(seed, "refusals", number), mutated) for number in numbers)
    return [message(refused) for refused in found if refused is not None]


def _refusal(engine: Engine, rng: Random, mutated: bool) -> Refused | None:
    try:
        sample = engine.space.random(rng)
    except DrawError as broken:
        if (refused := refusal(broken)) is not None or not mutated:
            return refused
        sample = broken.sample
    try:
        if mutated:
            engine.key(sample)
    except Refused as refused:
        return refused
    return None
