"""Keeps to itself what Optuna logs and warns of each time that it is asked."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from optuna.storages import InMemoryStorage

# Each study has a storage of its own, and Optuna logs each one.
logging.getLogger(InMemoryStorage.__module__).setLevel(logging.WARNING)


@contextmanager
def quiet(kind: type[Warning] = Warning) -> Iterator[None]:
    """Suppresses the warnings of a kind that a sampler or a pruner gives: that it is experimental,
    or saw values that are not finite."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", kind)
        yield
