"""Mutator: a change of a model's graph that leaves something to be decided."""

import inspect
import traceback
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar, final

from runner.errors import GraphError, Refused, RunnerError, SampleError, SpaceError, one_line
from runner.graph.ir.graph import Graph
from runner.graph.ir.unit import Unit
from runner.graph.transforms.resize_initializers import fit_starts
from runner.space.choice import Categorical, Choice, Value, to_json
from runner.space.sample import Walk

T = TypeVar("T")


class Mutator(ABC):
    """Changes a graph, and asks for what it leaves open.

        class Activation(Mutator):
            def mutate(self, graph):
                for path, unit in graph.units(cls="ReLU"):
                    name = self.choice(["ReLU", "GELU", "SiLU"], label=f"activation/{path}")
                    graph.replace(path, Unit.of(f"torch.nn:{name}"))

    `mutate` runs on a fresh copy of the model's graph for every sample; the inline choices of the
    model are decided by then, and the mutators listed before this one are done. It must do the
    same for the same answers. With a GraphError it says that the mutation does not fit: the
    sample is refused, and another one is drawn. So it is after any other exception, with the line
    that raised it.
    """

    _asking: "Asking | None" = None
    tie: bool = False  # whether one choice is for all places it works at

    @abstractmethod
    def mutate(self, graph: Graph) -> None:
        """Change the graph in place."""

    def places(self, graph: Graph) -> Sequence[str] | None:
        """The paths where it would change a graph, for a reader; None where it cannot tell. Called
        right before `mutate`, and only to describe a space."""
        return None

    @property
    def word(self) -> str:
        """What a reader knows it by."""
        return type(self).__name__

    def choice(self, candidates: Sequence[T] | Mapping[str, T], *, label: str | None = None) -> T:
        """One of the candidates; what is asked later may depend on it.

        Candidates in a dict stand in the sample by their key. Those in a list stand there as they
        are if all of them are plain JSON, else by their index. Without a label, one is numbered
        below the mutator's name, in the order they are asked.
        """
        keys = tuple(candidates) if isinstance(candidates, Mapping) else _keys(candidates)
        objects = [*candidates.values()] if isinstance(candidates, Mapping) else [*candidates]
        asking = self._bound()
        choice = Categorical(asking.label(label), keys)
        return objects[choice.index(asking.ask(choice))]

    def ask(self, choice: Choice) -> Value:
        """The answer to any choice, for example a `runner.space.choice.Numeric`."""
        return self._bound().ask(choice)

    @property
    def base(self) -> Graph:
        """The model's graph as it was before the first mutator, to be read only."""
        return self._bound().base

    def _bound(self) -> "Asking":
        if self._asking is None:
            raise GraphError(f"{type(self).__name__} can ask for choices only while it mutates.")
        return self._asking


def _keys(candidates: Sequence[object]) -> tuple[Value, ...]:
    """How candidates of a list stand in a sample."""
    try:
        return tuple(to_json(candidate) for candidate in candidates)
    except SpaceError:
        return tuple(range(len(candidates)))


@final
class Asking:
    """What a mutator asks while it mutates, and the answers it got."""

    def __init__(self, walk: Walk, scope: str, base: Graph) -> None:
        self.answers: dict[str, Value] = {}
        self.base = base
        self._walk = walk
        self._scope = scope
        self._count = 0

    @property
    def sample(self) -> dict[str, Value]:
        """All that was answered so far."""
        return self._walk.sample

    def label(self, given: str | None) -> str:
        """A given label as it is, else the next number below the mutator's name."""
        if given is not None:
            return given
        self._count += 1
        return f"{self._scope}/{self._count}"

    def ask(self, choice: Choice) -> Value:
        answer = self.answers[choice.label] = self._walk.ask(choice)
        return answer


def mutate(
    graph: Graph,
    mutators: Sequence[Mutator],
    walk: Walk,
    *,
    base: Graph | None = None,
    watch: Callable[[Mutator, Graph], None] | None = None,
) -> None:
    """Run mutators on a graph, in order, and note in its history what they decided. `base` is the
    same graph to be left as it is; one is made where it is not given. `watch` is called with each
    mutator right before it, and the graph as it finds it.

    Raises Refused when a mutation does not fit, or raises anything.
    """
    before = graph.copy() if base is None else base
    counts: Counter[str] = Counter()
    for mutator in mutators:
        name = type(mutator).__name__
        counts[name] += 1
        scope = name if counts[name] == 1 else f"{name}{counts[name]}"
        asking = Asking(walk, scope, before)
        _run(mutator, graph, asking, scope, watch)
        graph.tidy()
        decided = ", ".join(f"{label}={value!r}" for label, value in asking.answers.items())
        graph.history.append(f"{scope}: {decided}" if decided else scope)
    fit_starts(graph)


def _run(
    mutator: Mutator,
    graph: Graph,
    asking: Asking,
    scope: str,
    watch: Callable[[Mutator, Graph], None] | None,
) -> None:
    """Run one mutator, and say which one it was that raised."""
    mutator._asking = asking
    try:
        if watch is not None:
            watch(mutator, graph)
        mutator.mutate(graph)
    except GraphError as error:
        raise Refused(f"{scope} does not fit: {error}") from error
    except SampleError as error:
        raise SampleError(
            f"{error} {scope} asks for it; a mutator must ask the same for the same answers."
        ) from error
    except RunnerError:
        raise
    except Exception as error:
        raise Refused(
            f"{scope} raised {one_line(error)} ({_line(error, mutator)}) for {asking.sample}."
        ) from error
    finally:
        mutator._asking = None


def _line(error: Exception, mutator: Mutator) -> str:
    """Where an exception was raised: the innermost line in the file of the mutator."""
    frames = traceback.extract_tb(error.__traceback__)
    home = inspect.getfile(type(mutator).mutate)
    frame = next((frame for frame in reversed(frames) if frame.filename == home), frames[-1])
    return f"{frame.filename}:{frame.lineno}"


def drop_placeholders(graph: Graph) -> None:
    """Put identities where Placeholders were left: their work as anchors is done."""
    for path, _ in graph.units(cls="Placeholder"):
        identity = Unit.of("torch.nn:Identity")
        graph.replace(path, identity)
        identity.mutated = False
