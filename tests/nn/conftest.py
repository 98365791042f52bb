"""What tests of the primitives share: a space from a factory, and all models of it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from runner import nn
from runner.space import Space
from runner.walk import Chooser, Sample


class FactorySpace(Space):
    """What a function that builds something asks for."""

    def __init__(self, factory: Callable[[], Any]) -> None:
        self.factory = factory

    def draw(self, choose: Chooser) -> Sample:
        with nn.draw(choose) as sample:
            self.factory()
        return sample


@pytest.fixture
def space_of() -> Callable[[Callable[[], Any]], Space]:
    return FactorySpace


@pytest.fixture
def samples() -> Callable[[Callable[[], Any]], list[Sample]]:
    """All samples of a factory, in order."""
    return lambda factory: [*FactorySpace(factory).enumerate()]


@pytest.fixture
def built() -> Callable[[Callable[[], Any]], Iterator[Any]]:
    """What a factory builds for each of its samples, in order."""

    def build(factory: Callable[[], Any]) -> Iterator[Any]:
        for values in FactorySpace(factory).enumerate():
            with nn.sample(values, strict=True):
                yield factory()

    return build
