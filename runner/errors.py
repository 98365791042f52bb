"""Errors that a user can fix: one clear line each, without a traceback."""

import difflib
import sysconfig
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from runner.masking import masker

LONGEST = 2000  # characters of a message that are shown
LIBRARIES = tuple(
    f"{folder}/"
    for folder in (*(sysconfig.get_path(n) for n in ("stdlib", "purelib")), Path(__file__).parent)
)


class RunnerError(Exception):
    """An error whose message says what is wrong, where, and how to fix it."""

    exit_code = 1


class ConfigError(RunnerError):
    """Invalid input: an unknown key, a wrong type, a missing file."""

    exit_code = 2


class SpaceError(ConfigError, ValueError):
    """An invalid space: one label for two choices, or no candidates."""


class SymbolicError(SpaceError):
    """Python code that needs the value of a symbolic choice."""


class SampleError(ConfigError, ValueError):
    """A sample that does not fit its space: a missing label, an unknown value."""


class GraphError(ConfigError):
    """A model, or a mutation, that the graph compiler does not support."""


class Refused(GraphError):
    """A sample without a valid model: its mutations are incompatible, or the space refuses it
    (`nn.refuse`), or it breaks a constraint. Another sample is drawn in its place. `metrics` are
    the figures that speak against it, if any."""

    def __init__(self, message: str, metrics: Mapping[str, float] = MappingProxyType({})) -> None:
        super().__init__(message)
        self.metrics = metrics


class RunFailed(RunnerError):
    """A run that had to stop: too many failed trials, a full disk, a damaged record."""


class Interrupted(KeyboardInterrupt):
    """The user or the system asked the run to stop."""

    def __init__(self, number: int) -> None:
        """Takes the number of the signal."""
        super().__init__()
        self.exit_code = 128 + number
        self.told = False  # whether the user has been told of it


def require(holds: bool, key: str, value: object, rule: str) -> None:
    """Raises ConfigError, in one sentence, if a config value violates a rule."""
    if not holds:
        raise ConfigError(f"{key} is {as_yaml(value)}; it must be {rule}.")


def as_yaml(value: object) -> str:
    """Returns a value of a config as YAML writes it, on one line: null, true, [1, 'a']."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        pairs = (f"{as_yaml(key)}: {as_yaml(item)}" for key, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_yaml, value))}]"
    return repr(value)


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an error, of any library, says that there is not enough memory."""
    # Torch's, on a CPU and on a GPU, and what cuBLAS and cuDNN say.
    words = ("can't allocate memory", "out of memory", "STATUS_ALLOC_FAILED")
    said = isinstance(error, RuntimeError) and any(word in message(error) for word in words)
    return said or isinstance(error, MemoryError)


@contextmanager
def naming_part(part: object, resume: str, *passing: type[Exception]) -> Iterator[None]:
    """Raises unexpected exceptions of a part of a search as RunFailed, which names the part and,
    with the override `resume`, the way to go on. Those that are `passing` are no failures."""
    try:
        yield
    except Exception as error:
        if isinstance(error, (RunnerError, *passing)):
            raise
        raise RunFailed(
            f"{type(part).__name__} raised {one_line(error)}. HYDRA_FULL_ERROR=1 shows where; "
            f"once it is fixed, continue with {resume}."
        ) from error


def refusal(error: BaseException | None) -> Refused | None:
    """Returns the refusal that caused an error, if any."""
    return next((one for one in causes(error) if isinstance(one, Refused)), None)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error, its cause, the cause of that, and so on. Ends also where users' code made a
    ring of them."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """Returns a sentence that suggests the options nearest to a misspelt word, or ""."""
    known: dict[str, list[str]] = {}
    for option in map(str, dict.fromkeys(options)):
        known.setdefault(option.lower(), []).append(option)
    close = difflib.get_close_matches(word.lower(), list(known), n=3, cutoff=0.6)
    near = [option for name in close for option in known[name]][:3]
    return f" Did you mean {' or '.join(repr(option) for option in near)}?" if near else ""


def few(words: Collection[str], most: int) -> str:
    """Returns the first of some words, of which there may be many, and how many more there are."""
    first, more = [*words][:most], len(words) - most
    return ", ".join(first) + (f" and {more} more" if more > 0 else "")


def message(error: BaseException) -> str:
    """Returns the message of an exception, without secrets and line breaks; of a very long one, its
    start. Works for any exception, also for one whose message cannot be asked for."""
    return _said(lambda: str(error), "(its message raises an exception)", LONGEST)


def one_line(error: BaseException) -> str:
    """Returns an exception as one line without secrets: its type and its message."""
    kind = _said(lambda: type(error).__name__, "exception", LONGEST)
    text = message(error)
    return f"{kind}: {text}" if text else kind


def place(error: BaseException) -> str:
    """Returns the file and line where the original cause of an error was raised: of the user's
    code, if any has part in it."""
    raised = [one for one in causes(error) if one.__traceback__ is not None]
    if not raised:
        return ". HYDRA_FULL_ERROR=1 shows the whole traceback."
    frames = [(f.filename, f.lineno) for f in traceback.extract_tb(raised[-1].__traceback__)]
    if isinstance(raised[-1], SyntaxError) and raised[-1].filename:  # of code that did not run
        frames.append((raised[-1].filename, raised[-1].lineno))
    named = [frame for frame in frames if not frame[0].startswith("<")]  # others have no file
    theirs = [frame for frame in named if not frame[0].startswith(LIBRARIES)]
    file, line = [*frames, *named, *theirs][-1]
    return f" ({file}:{line}). HYDRA_FULL_ERROR=1 shows the whole traceback."


def shown(value: object, longest: int = 100) -> str:
    """Returns the `repr` of any value on one line, shortened."""
    return _said(lambda: repr(value), "a value without a repr", longest)


def _said(ask: Callable[[], str], otherwise: str, longest: int) -> str:
    """Returns a text of a user's object without secrets, in characters that every terminal and file
    can take."""
    try:
        text = "".join((ask(), ""))  # a plain str, whatever kind of str it was
        text = masker.clean(text)  # as a whole: what is cut or laid out anew is not recognized
    except Interrupted:
        raise
    except BaseException:
        return otherwise
    more = len(text) - longest
    words = " ".join(text[:longest].split())
    plain = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words)
    return f"{plain} ... ({more} more characters)" if more > 0 else plain
