"""How many samples of a space have no model, and why: some are drawn, and none is trained."""

from collections.abc import Iterable, Sequence
from random import Random

from runner.engines.engine import Engine
from runner.errors import Refused, message, refusal
from runner.space.sample import DrawError, generator


def refusals(
    engine: Engine, numbers: Iterable[int], seed: int = 0, *, mutated: bool = True
) -> Sequence[str]:
    """Why random samples are refused: a text for each of them that is. One sample is drawn for
    each number, which decides what it is. Without mutations (`mutated`) only the space's own code
    refuses any, and no graph is made."""
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
