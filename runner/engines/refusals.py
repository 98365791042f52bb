"""How many samples of a space have no model, and why: some are drawn, and none is trained."""

from collections.abc import Iterable, Sequence

from runner.engines.engine import Engine
from runner.errors import Refused
from runner.walk import DrawError, generator


def refusals(engine: Engine, numbers: Iterable[int], seed: int = 0) -> Sequence[str]:
    """Why random samples are refused: a text for each of them that is. One sample is drawn for
    each number, which decides what it is."""
    texts = []
    for number in numbers:
        try:
            sample = engine.space.random(generator(seed, "refusals", number))
        except DrawError as broken:  # asked again below: a refusal, or code that raises
            sample = broken.sample
        try:
            engine.key(sample)
        except Refused as refused:
            texts.append(" ".join(str(refused).split()))
    return texts
