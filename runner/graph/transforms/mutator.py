"""Mutator: changes the graph of a model, and asks for choices."""

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
from runner.space.choice import Categorical, Choice, JsonValue, to_json
from runner.space.sample import Walk

T = TypeVar("T")


class Mutator(ABC):
    """A mutation of a graph, and the choices that it asks for.

        class Activation(Mutator):
            def mutate(self, graph):
                for path, unit in graph.units(cls="ReLU"):
                    name = self.choice(["ReLU", "GELU", "SiLU"], label=f"activation/{path}")
                    graph.replace(path, Unit.of(f"torch.nn:{name}"))

    `mutate` runs on a fresh copy of the model's graph for every sample, after the inline choices of
    the model were resolved and the mutators listed before this one ran. It must be deterministic
    given the answers. If it raises GraphError, the mutation does not apply: the sample is refused,
    and another one is drawn. The same holds for any other exception, which is reported with the
    line that raised it.
    """

    _asking: "Asking | None" = None
    tie: bool = False  # whether one choice applies to all its places

    @abstractmethod
    def mutate(self, graph: Graph) -> None:
        """Changes the graph in place."""

    def places(self, graph: Graph) -> Sequence[str] | None:
        """Returns the paths where it would change a graph, for display; None if unknown. Called
        directly before `mutate`, and only to describe a space."""
        return None

    @property
    def word(self) -> str:
        """The name under which it is displayed."""
        return type(self).__name__

    def choice(self, candidates: Sequence[T] | Mapping[str, T], *, label: str | None = None) -> T:
        """Returns one of the candidates; later choices may depend on it.

        The sample contains candidates of a dict by their keys. Those of a list are contained
        themselves if all of them are plain JSON, otherwise by index. Without a label, choices are
        numbered below the name of the mutator, in order.
        """
        keys = tuple(candidates) if isinstance(candidates, Mapping) else _keys(candidates)
        objects = [*candidates.values()] if isinstance(candidates, Mapping) else [*candidates]
        asking = self._bound()
        choice = Categorical(asking.label(label), keys)
        return objects[choice.index(asking.ask(choice))]

    def ask(self, choice: Choice) -> JsonValue:
        """Returns the answer to any choice, for example a `runner.space.choice.Numeric`."""
        return self._bound().ask(choice)

    @property
    def base(self) -> Graph:
        """The model's graph before the first mutator; read-only."""
        return self._bound().base

    def _bound(self) -> "Asking":
        if self._asking is None:
            raise GraphError(f"{type(self).__name__} can ask for choices only while it mutates.")
        return self._asking


def _keys(candidates: Sequence[object]) -> tuple[JsonValue, ...]:
    """Returns the representation of candidates of a list in a sample."""
    try:
        return tuple(to_json(candidate) for candidate in candidates)
    except SpaceError:
        return tuple(range(len(candidates)))


@final
class Asking:
    """The choices that a mutator asks for while it runs, and their answers."""

    def __init__(self, walk: Walk, scope: str, base: Graph) -> None:
        self.answers: dict[str, JsonValue] = {}
        self.base = base
        self._walk = walk
        self._scope = scope
        self._count = 0

    @property
    def sample(self) -> dict[str, JsonValue]:
        """All answers so far, of all mutators."""
        return self._walk.sample

    def label(self, given: str | None) -> str:
        """Returns a given label, or the next number below the name of the mutator."""
        if given is not None:
            return given
        self._count += 1
        return f"{self._scope}/{self._count}"

    def ask(self, choice: Choice) -> JsonValue:
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
    """Runs mutators on a graph in order, and records their choices in its history. `base` is the
    unmutated graph, by default a copy. `watch` is called before each mutator with the mutator and
    the graph.

    Raises Refused if a mutation does not apply, or raises any exception.
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
    """Runs one mutator, and reports errors under its name."""
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
    """Returns where an exception was raised: the innermost line in the file of the mutator."""
    frames = traceback.extract_tb(error.__traceback__)
    home = inspect.getfile(type(mutator).mutate)
    frame = next((frame for frame in reversed(frames) if frame.filename == home), frames[-1])
    return f"{frame.filename}:{frame.lineno}"


def drop_placeholders(graph: Graph) -> None:
    """Replaces Placeholders by identities once mutators have used them as anchors."""
    for path, _ in graph.units(cls="Placeholder"):
        identity = Unit.of("torch.nn:Identity")
        graph.replace(path, identity)
        identity.mutated = False
