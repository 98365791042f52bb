"""The ambient build: who answers when a model's code declares a choice, and how it is labelled.

A *fixed* build decides every choice when it is declared. A *symbolic* one leaves all of them open
and builds all candidates; what needs a value meanwhile gets that of the default model.
"""

import functools
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar, final

from torch import nn

from runner.errors import SampleError, SymbolicError, did_you_mean
from runner.nn.exclusive_paths import DeclaredChoices, PathAnswers
from runner.nn.recording.call_stack import note_asking
from runner.space.choice import Choice, JsonValue
from runner.space.sample import Chooser, Sample, Walk, lookup

M = TypeVar("M", bound=nn.Module)
UNSURE = -1  # the number of choices so far, where it depends on an open one


@dataclass(frozen=True)
class LabelScope:
    """Where labels stand: given ones below `given`, numbered ones below `numbered`."""

    given: str = ""
    numbered: str = ""
    owner: nn.Module | None = None  # the model whose `__init__` opened it


@final
class Build:
    """One walk through a model's `__init__`, with the scopes that are open."""

    def __init__(self, choose: Chooser, *, symbolic: bool = False) -> None:
        self.walk = Walk(choose)
        self.symbolic = symbolic
        self._scopes = [LabelScope()]
        self._counts: dict[str, int] = {}
        self._way: PathAnswers = {}
        self._ways = DeclaredChoices()

    def ask(self, choice: Choice) -> JsonValue:
        """The answer to a choice; in a symbolic build, that of the default model."""
        if not self.symbolic:
            note_asking(sys._getframe(1))
            return self.walk.ask(choice)
        self._ways.declare(choice, self._way)
        return choice.check(self.walk.choose(choice))

    def branches(self, makers: Sequence[tuple[PathAnswers, Callable[[], M]]]) -> list[M]:
        """What all makers make, of which a sample has one: each starts from the same numbers."""
        made, start, ends = [], self._counts, []
        for way, maker in makers:
            self._counts = dict(start)
            outside, self._way = self._way, {**self._way, **way}
            try:
                made.append(maker())
            finally:
                self._way = outside
            ends.append(self._counts)
        self._counts = _merged(ends)
        return made

    def steps(self, makers: Sequence[Callable[[], M]], depths: Collection[int]) -> list[M]:
        """What all makers make, of which a sample has the first few, as many as one of `depths`."""
        made, ends = [], []
        for depth in range(len(makers) + 1):
            if depth in depths:
                ends.append(dict(self._counts))
            if depth < len(makers):
                made.append(makers[depth]())
        self._counts = _merged(ends)
        return made

    def label(self, given: str | None) -> str:
        """A label as a path: a given one below the open label scopes, else the next number below
        all open scopes."""
        scope = self._scopes[-1]
        if given is not None:
            return _join(scope.given, given)
        count = self._counts.get(scope.numbered, 0)
        if count == UNSURE:
            raise SymbolicError(
                "A choice without a label cannot be numbered here: how many came before it depends "
                "on a choice that is open. Give it a label, or those inside the candidates."
            )
        self._counts[scope.numbered] = count + 1
        return _join(scope.numbered, str(count + 1))

    @contextmanager
    def below(self, path: str) -> Iterator[None]:
        """Put all labels below a whole path, whatever scopes are open."""
        with self._open(LabelScope(path, path)):
            yield

    @contextmanager
    def label_scope(self, name: str) -> Iterator[None]:
        """Put all labels one level deeper."""
        here = self._scopes[-1]
        with self._open(LabelScope(_join(here.given, name), _join(here.numbered, name))):
            yield

    @contextmanager
    def model(self, module: nn.Module, name: str) -> Iterator[None]:
        """Number labels below a model's name; its base classes' `__init__` change nothing."""
        here = self._scopes[-1]
        if any(scope.owner is module for scope in self._scopes):
            yield
            return
        with self._open(LabelScope(here.given, _join(here.numbered, name), owner=module)):
            yield

    @contextmanager
    def _open(self, scope: LabelScope) -> Iterator[None]:
        self._scopes.append(scope)
        try:
            yield
        finally:
            self._scopes.pop()


def _merged(ends: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """The numbers reached on several ways, where they agree."""
    scopes = dict.fromkeys(scope for counts in ends for scope in counts)
    reached = {scope: {counts.get(scope, 0) for counts in ends} for scope in scopes}
    return {scope: n.pop() if len(n) == 1 else UNSURE for scope, n in reached.items()}


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


_ambient: ContextVar[Build | None] = ContextVar("runner_build", default=None)


def _first(choice: Choice) -> JsonValue:
    return choice.default


def current() -> Build:
    """The ambient build; without one, a build of the default model."""
    return _ambient.get() or Build(_first)


def is_building() -> bool:
    """Whether a build is on: models are made of a sample, by a chooser, or symbolically."""
    return _ambient.get() is not None


@contextmanager
def building(build: Build) -> Iterator[Build]:
    """Make a build the ambient one."""
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
    with building(Build(choose)) as build:
        yield build.walk.sample


@contextmanager
def sample(values: Mapping[str, JsonValue], *, strict: bool = False) -> Iterator[Sample]:
    """Build the model of a sample; gives the part of the sample that was asked for.

        with sample({"depth": 3}):
            model = Net()

    Raises SampleError for a missing label or an unknown value, and with `strict` also for labels
    that no choice asked for.
    """
    with building(Build(lookup(values))) as build:
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
        with building(current()) as build, build.model(self, cls.__name__):
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


CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)


def is_leaf(cls: type[nn.Module]) -> bool:
    """Whether a call of its constructor makes all there is to a module of this very class: a
    torch.nn layer, or a basic unit."""
    if cls.__module__.startswith("torch.nn."):
        return cls is not nn.Module and cls not in CONTAINERS
    return is_basic_unit(cls)
