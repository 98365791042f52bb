"""Threads: trial runs of models use a single one, and leave the other cores to the workers."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def single_threaded() -> Iterator[None]:
    """Runs the block with a single intra-op thread: the workers need the other cores, and threads
    waiting for a core make small operations many times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
