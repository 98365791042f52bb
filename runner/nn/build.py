"""The ambient build: who answers when a model's code declares a choice, and how it is labelled."""

import functools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar, final

from torch import nn

from runner.choice import Choice, Value
from runner.errors import SampleError, did_you_mean
from runner.walk import Chooser, Sample, Walk, lookup

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Scope:
    """Where labels stand: given ones below `given`, numbered ones below `numbered`."""

    given: str = ""
    numbered: str = ""
    owner: nn.Module | None = None  # the model whose `__init__` opened it


@final
class Build:
    """One walk through a model's `__init__`, with the scopes that are open."""

    def __init__(self, choose: Chooser) -> None:
        self.walk = Walk(choose)
        self._scopes = [Scope()]
        self._counts: dict[str, int] = {}

    def label(self, given: str | None) -> str:
        """A label as a path: a given one below the open label scopes, else the next number below
        all open scopes."""
        scope = self._scopes[-1]
        if given is not None:
            return _join(scope.given, given)
        self._counts[scope.numbered] = self._counts.get(scope.numbered, 0) + 1
        return _join(scope.numbered, str(self._counts[scope.numbered]))

    @contextmanager
    def below(self, path: str) -> Iterator[None]:
        """Put all labels below a whole path, whatever scopes are open."""
        with self._open(Scope(path, path)):
            yield

    @contextmanager
    def label_scope(self, name: str) -> Iterator[None]:
        """Put all labels one level deeper."""
        here = self._scopes[-1]
        with self._open(Scope(_join(here.given, name), _join(here.numbered, name))):
            yield

    @contextmanager
    def model(self, module: nn.Module, name: str) -> Iterator[None]:
        """Number labels below a model's name; its base classes' `__init__` change nothing."""
        here = self._scopes[-1]
        if any(scope.owner is module for scope in self._scopes):
            yield
            return
        with self._open(Scope(here.given, _join(here.numbered, name), owner=module)):
            yield

    @contextmanager
    def _open(self, scope: Scope) -> Iterator[None]:
        self._scopes.append(scope)
        try:
            yield
        finally:
            self._scopes.pop()


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


_ambient: ContextVar[Build | None] = ContextVar("runner_build", default=None)


def _first(choice: Choice) -> Value:
    return choice.default


def current() -> Build:
    """The ambient build; without one, a build of the default model."""
    return _ambient.get() or Build(_first)


@contextmanager
def _building(build: Build) -> Iterator[Build]:
    token = _ambient.set(build)
    try:
        yield build
    finally:
        _ambient.reset(token)


@contextmanager
def draw(choose: Chooser) -> Iterator[Sample]:
    """Build models by asking `choose(choice)` once per label; gives the sample as it fills.

    with draw(lambda choice: choice.default) as sample:
        model = Net()
    """
    with _building(Build(choose)) as build:
        yield build.walk.sample


@contextmanager
def sample(values: Mapping[str, Value], *, strict: bool = False) -> Iterator[Sample]:
    """Build the model of a sample; gives the part of the sample that was asked for.

        with sample({"depth": 3}):
            model = Net()

    Raises SampleError for a missing label or an unknown value, and with `strict` also for labels
    that no choice asked for.
    """
    with _building(Build(lookup(values))) as build:
        yield build.walk.sample
        if strict and (unknown := sorted(values.keys() - build.walk.choices.keys())):
            raise SampleError(
                f"The sample has the label {unknown[0]!r}, which no choice of this model asks for."
                f"{did_you_mean(unknown[0], build.walk.choices)}"
            )


@contextmanager
def label_scope(name: str) -> Iterator[None]:
    """Put the labels of all choices declared inside, given or numbered, below `name/`."""
    with current().label_scope(name):
        yield


def model_wrapper(cls: type[M]) -> type[M]:
    """Class decorator: declares a model space, whose unlabelled choices are numbered below the
    name of the class. The class itself stays as it is."""
    init: Any = cls.__init__

    @functools.wraps(init)
    def __init__(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        with _building(current()) as build, build.model(self, cls.__name__):
            init(self, *args, **kwargs)

    setattr(cls, "__init__", __init__)  # noqa: B010
    return cls


def basic_unit(cls: type[M]) -> type[M]:
    """Class decorator: the graph engines keep the module as one node and never look inside."""
    cls._runner_basic_unit = cls.__qualname__  # type: ignore[attr-defined]
    return cls


def is_basic_unit(cls: type[nn.Module]) -> bool:
    """Whether this very class was decorated; subclasses are not basic units by inheritance."""
    return "_runner_basic_unit" in vars(cls)
