"""The memory of a training step, where a GPU is needed to measure it."""

import torch

from runner.measures import memory


def test_warming_up_a_gpu_draws_no_random_numbers():
    """Models that are built afterwards have the values they would have."""
    before = torch.get_rng_state()
    memory._warm_up(torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), before)
