"""Random numbers of a training: they come from a seed and the epoch, and nothing else."""

import random

import numpy
import torch

from runner.walk import generator


def seed_model(seed: int, epoch: int) -> None:
    """Seed all global random numbers, such as those of dropout, for one epoch of one model."""
    rng = generator(seed, "epoch", epoch)
    if torch.accelerator.is_available():
        torch.manual_seed(rng.getrandbits(31))
    else:  # the same without 1.4 ms of notes for accelerators that may come
        torch.default_generator.manual_seed(rng.getrandbits(31))
    numpy.random.seed(rng.getrandbits(31))
    random.seed(rng.getrandbits(31))


def torch_seed(seed: int, epoch: int) -> int:
    """What `seed_model` seeds torch with."""
    return generator(seed, "epoch", epoch).getrandbits(31)


def seed_data(seed: int, epoch: int) -> tuple[torch.Generator, torch.Generator]:
    """Generators of the order of the examples of one epoch, and of their augmentation."""
    rng = generator(seed, "data", epoch)
    order, noise = torch.Generator(), torch.Generator()
    return order.manual_seed(rng.getrandbits(31)), noise.manual_seed(rng.getrandbits(31))
