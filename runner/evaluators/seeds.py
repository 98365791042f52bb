"""Random numbers of a training: they come from a model's seed and the epoch, and nothing else."""

import random

import numpy
import torch

from runner.walk import generator


def seed_epoch(seed: int, epoch: int) -> tuple[torch.Generator, torch.Generator]:
    """Seed all global random numbers (dropout, data sets' own) for one epoch of one model.

    Returns generators of the order of the examples, and of augmentation.
    """
    rng = generator(seed, "epoch", epoch)
    if torch.accelerator.is_available():
        torch.manual_seed(rng.getrandbits(31))
    else:  # the same without 1.4 ms of notes for accelerators that may come
        torch.default_generator.manual_seed(rng.getrandbits(31))
    numpy.random.seed(rng.getrandbits(31))
    random.seed(rng.getrandbits(31))
    order, noise = torch.Generator(), torch.Generator()
    return order.manual_seed(rng.getrandbits(31)), noise.manual_seed(rng.getrandbits(31))
