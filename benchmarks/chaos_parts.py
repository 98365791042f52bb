"""The training of trials that are to be disturbed: what it reports follows from the seed alone."""

import time
from typing import Any

EPOCHS = 4


def value(seed: int, epoch: int) -> float:
    """What a trial of a seed reports after an epoch."""
    return (seed * 31 + epoch * 17) % 10_007 / 10_007


def train(model: Any, report: Any, seed: int, checkpoint: Any) -> None:
    """Goes on from its checkpoint, and takes half a second without one."""
    state = checkpoint.load() or {"epoch": 0}
    for epoch in range(state["epoch"], EPOCHS):
        time.sleep(0.12)
        report({"val/accuracy": value(seed, epoch)})
        checkpoint.save({"epoch": epoch + 1})
