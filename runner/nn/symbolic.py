"""The symbolic build: a model that holds all candidates of its choices."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from runner.errors import SymbolicError
from runner.nn.recording.construction_record import recording
from runner.nn.values.build import Build, building
from runner.nn.values.expression import Expression
from runner.space.choice import Categorical, Choice, JsonValue, Numeric, Subset
from runner.space.sample import Chooser


@contextmanager
def symbolic(*, defaults: Literal["first", "last"] = "first") -> Iterator[Build]:
    """Builds models with symbolic choices, and records their constructor calls; yields the build.

        with symbolic():
            model = Net()

    Choices of values become expressions, choices of modules hold all candidates. Layers of torch.nn
    and classes with @basic_unit are built with the values of the default model, in which every
    choice takes its first candidate (with `defaults="last"`, its last). Raises SymbolicError if
    Python code needs the value of a choice; such a model must be built for each sample separately.
    """
    build = Build(DEFAULTS[defaults], symbolic=True)
    with building(build), recording():
        try:
            yield build
        except (TypeError, RuntimeError) as error:
            # Some functions of torch check argument types before they call __torch_function__.
            names = [kind.__name__ for kind in Expression.__subclasses__()]
            if not any(name in str(error) for name in names):
                raise
            raise SymbolicError(
                f"A function received the value of a choice, which is symbolic here: {error}"
            ) from error


def _first(choice: Choice) -> JsonValue:
    return choice.default


def _last(choice: Choice) -> JsonValue:
    match choice:
        case Categorical():
            return choice.candidates[-1]
        case Subset():
            count = choice.n if choice.chosen is None else choice.chosen
            return [*range(choice.n - count, choice.n)]
        case Numeric(step=None):
            return choice.high
        case Numeric(step=int(step)):
            return choice.low + step * int((choice.high - choice.low) // step)
    return choice.values()[-1]


DEFAULTS: dict[str, Chooser] = {"first": _first, "last": _last}
