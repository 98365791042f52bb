"""What goes wrong in a way a user can mend: one clear line each, no traceback."""

import difflib
from collections.abc import Iterable


class RunnerError(Exception):
    """A problem whose text says what is wrong, where, and what would be right."""

    exit_code = 1


class ConfigError(RunnerError):
    """Asked for something that cannot be: an unknown key, a wrong type, a missing file."""

    exit_code = 2


class SpaceError(ConfigError, ValueError):
    """A space written in a way that cannot work: one label for two choices, no candidates."""


class SymbolicError(SpaceError):
    """Python code that needs the value of a choice where it is still open."""


class SampleError(ConfigError, ValueError):
    """A sample that does not fit its space: a missing label, an unknown value."""


class GraphError(ConfigError):
    """A model, or a change of one, that the graph compiler cannot take."""


class Refused(GraphError):
    """A sample that has no model: its mutations do not fit together, or the space refuses it
    (`nn.refuse`). Another one is drawn in its place."""


class RunFailed(RunnerError):
    """A run that had to stop: too many failed trials, a full disk, a damaged record."""


def require(holds: bool, key: str, value: object, rule: str) -> None:
    """Raises ConfigError, in one sentence, if a config value does not follow a rule."""
    if not holds:
        raise ConfigError(f"{key} is {value!r}; it must be {rule}.")


def refusal(error: BaseException | None) -> Refused | None:
    """What refused a sample, where that is why there is an error."""
    while error is not None and not isinstance(error, Refused):
        error = error.__cause__
    return error


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """A sentence that names the options nearest to a misspelt word, upper or lower case aside;
    empty when none is near."""
    known: dict[str, list[str]] = {}
    for option in dict.fromkeys(options):
        known.setdefault(option.lower(), []).append(option)
    close = difflib.get_close_matches(word.lower(), list(known), n=3, cutoff=0.6)
    near = [option for name in close for option in known[name]][:3]
    return f" Did you mean {' or '.join(repr(option) for option in near)}?" if near else ""


def message(error: BaseException) -> str:
    """Returns the text of an exception without line breaks."""
    return " ".join(str(error).split())


def one_line(error: BaseException) -> str:
    """Returns an exception as one line: its type and its text."""
    text = message(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
