"""The ambient build: decides the choices that a model's code declares, and assigns their labels.

A *fixed* build decides every choice on declaration. A *symbolic* one keeps all of them symbolic and
builds all candidates; layers that need concrete values use those of the default model.
"""

import functools
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar, final

from torch import nn

from runner.errors import SampleError, SpaceError, SymbolicError, did_you_mean, shown
from runner.nn.values.chosen_modules import ChosenModules
from runner.nn.values.exclusive_paths import DeclaredChoices, PathAnswers
from runner.nn.values.frames import note_asking, users_line
from runner.space.choice import Choice, JsonValue
from runner.space.sample import Chooser, Sample, Walk, lookup

M = TypeVar("M", bound=nn.Module)
UNSURE = -1  # the number of choices so far, if it depends on a symbolic one


@dataclass(frozen=True)
class LabelScope:
    """The prefixes of labels: `given` for explicit ones, `numbered` for automatic ones."""

    given: str = ""
    numbered: str = ""
    owner: nn.Module | None = None  # the model whose `__init__` opened it


@final
class Build:
    """One execution of a model's `__init__`: the choices so far and the active label scopes."""

    def __init__(self, choose: Chooser, *, symbolic: bool = False) -> None:
        self.walk = Walk(choose)
        self.symbolic = symbolic
        self.chosen = ChosenModules()
        self._scopes = [LabelScope()]
        self._counts: dict[str, int] = {}
        self._way: PathAnswers = {}
        self._ways = DeclaredChoices()

    def ask(self, choice: Choice) -> JsonValue:
        """Returns the answer to a choice; in a symbolic build, that of the default model. Raises
        SpaceError if another choice has its label."""
        if not self.symbolic:
            note_asking(sys._getframe(1))
            return self.walk.ask(choice)
        self._ways.declare(choice, self._way)
        return choice.check(self.walk.choose(choice))

    def branches(self, makers: Sequence[tuple[PathAnswers, Callable[[], M]]]) -> list[M]:
        """Returns the results of all makers, alternatives of which a sample has one. The automatic
        labels of each start from the same number."""
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
        """Returns the results of all makers; a sample has the first n of them, n in `depths`."""
        made, ends = [], []
        for depth in range(len(makers) + 1):
            if depth in depths:
                ends.append(dict(self._counts))
            if depth < len(makers):
                made.append(makers[depth]())
        self._counts = _merged(ends)
        return made

    def label(self, given: str | None) -> str:
        """Returns the full path of a label: a given one below all label scopes, else the next
        number below all label scopes and models. Raises SymbolicError if that is unknown, and
        SpaceError for a given one that is no text."""
        scope = self._scopes[-1]
        if given is not None:
            self._check_label(given)
            return _join(scope.given, given)
        count = self._counts.get(scope.numbered, 0)
        if count == UNSURE:
            raise SymbolicError(
                "A choice without a label cannot be numbered here: the number of choices before it "
                "depends on a symbolic choice. Label it, or the choices inside the candidates."
            )
        self._counts[scope.numbered] = count + 1
        return _join(scope.numbered, str(count + 1))

    def _check_label(self, given: object) -> None:
        if self.symbolic:
            str(given)  # SymbolicError for the value of a choice
        if not isinstance(given, str):
            raise SpaceError(
                f"{users_line()}: the label of a choice is {shown(given)}; it must be a text, or "
                "None for a number."
            )

    @contextmanager
    def below(self, path: str) -> Iterator[None]:
        """Places all labels in the block below an absolute path, regardless of active scopes."""
        with self._open(LabelScope(path, path)):
            yield

    @contextmanager
    def label_scope(self, name: str) -> Iterator[None]:
        """Places all labels in the block below `name/`. Raises SpaceError if it is no text."""
        self._check_label(name)
        here = self._scopes[-1]
        with self._open(LabelScope(_join(here.given, name), _join(here.numbered, name))):
            yield

    @contextmanager
    def model(self, module: nn.Module, name: str) -> Iterator[None]:
        """Numbers labels in the block below a model's name, once for nested blocks of one module
        (`__init__` of its base classes)."""
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
    """Returns the numbers reached on several paths, UNSURE where they disagree."""
    scopes = dict.fromkeys(scope for counts in ends for scope in counts)
    reached = {scope: {counts.get(scope, 0) for counts in ends} for scope in scopes}
    return {scope: n.pop() if len(n) == 1 else UNSURE for scope, n in reached.items()}


def _join(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


_ambient: ContextVar[Build | None] = ContextVar("runner_build", default=None)


def _first(choice: Choice) -> JsonValue:
    return choice.default


def current() -> Build:
    """Returns the ambient build, or a new build of the default model if there is none."""
    return _ambient.get() or Build(_first)


def is_building() -> bool:
    """Returns whether there is an ambient build: from a sample, by a chooser, or symbolic."""
    return _ambient.get() is not None


@contextmanager
def building(build: Build) -> Iterator[Build]:
    """Makes a build the ambient one inside the block."""
    token = _ambient.set(build)
    try:
        yield build
    except (AttributeError, TypeError) as error:
        build.chosen.explain(error)
        raise
    finally:
        _ambient.reset(token)


@contextmanager
def draw(choose: Chooser) -> Iterator[Sample]:
    """Builds models by calling `choose(choice)` once per label; yields the sample as it fills.

    with draw(lambda choice: choice.default) as sample:
        model = Net()
    """
    with building(Build(choose)) as build:
        yield build.walk.sample


@contextmanager
def sample(values: Mapping[str, JsonValue], *, strict: bool = False) -> Iterator[Sample]:
    """Builds the model of a sample; yields the part of the sample that its choices ask for.

        with sample({"depth": 3}):
            model = Net()

    Raises SampleError for a missing label or an invalid value, and with `strict` also for labels
    that no choice has asked for.
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
    """Prefixes the labels of all choices declared in the block, given or numbered, with `name/`."""
    with current().label_scope(name):
        yield


def model_wrapper(cls: type[M]) -> type[M]:
    """Declares a class as a model space, whose unlabelled choices are numbered below its name.
    A decorator; returns the same class, with its `__init__` wrapped."""
    init: Any = cls.__init__

    @functools.wraps(init)
    def __init__(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        with building(current()) as build, build.model(self, cls.__name__):
            init(self, *args, **kwargs)

    setattr(cls, "__init__", __init__)  # noqa: B010
    return cls


def basic_unit(cls: type[M]) -> type[M]:
    """Marks a class (as a decorator) whose modules the graph engines treat as opaque nodes."""
    cls._runner_basic_unit = cls.__qualname__  # type: ignore[attr-defined]
    return cls


def is_basic_unit(cls: type[nn.Module]) -> bool:
    """Returns whether this class itself was decorated; subclasses do not inherit the mark."""
    return "_runner_basic_unit" in vars(cls)


CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
_EINOPS = (("einops.layers.torch", "Rearrange"), ("einops.layers.torch", "Reduce"))


def is_leaf(cls: type[nn.Module]) -> bool:
    """Returns whether modules of exactly this class follow from their constructor call alone:
    torch.nn layers other than containers, layers of einops without parameters, and basic units."""
    if cls.__module__.startswith("torch.nn."):
        return cls is not nn.Module and cls not in CONTAINERS
    return is_basic_unit(cls) or (cls.__module__, cls.__name__) in _EINOPS


def is_scripted(cls: type[nn.Module]) -> bool:
    """Returns whether TorchScript made a class of modules: their Python is out of reach."""
    return any(
        c.__module__ == "torch.jit._script" and c.__name__ == "ScriptModule" for c in cls.__mro__
    )
