"""Threads: models that are only tried out take one, and leave the others to the workers."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def single_threaded() -> Iterator[None]:
    """Runs the block with one thread for each operation of torch: the workers need the other cores,
    and threads that wait for a core make small operations many times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
