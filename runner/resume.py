"""The override `resume=FOLDER`: how a message prints it, and which folder it names.

What is printed works as printed: it passes a shell, Hydra's grammar and OmegaConf's interpolation.
"""

import re
import shlex
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

from runner.errors import ConfigError, as_yaml

SCHEME = "file:"
MISSING = "???"  # OmegaConf's word for a value that is to come
_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")  # characters without a meaning of their own in any grammar
_WORDS = frozenset({"null", "true", "false", "inf", "nan"})  # Hydra reads these as values


def folder_override(folder: Path, key: str = "resume") -> str:
    """Returns `resume=FOLDER`, or another key with a folder, in Hydra's grammar."""
    return f"{key}={_value(_spelled(folder))}"


def resume_override(folder: Path, key: str = "resume") -> str:
    """Returns `resume=FOLDER`, or another key with a folder, as it is typed in a shell."""
    return shlex.quote(folder_override(folder, key))


def resume_command(folder: Path) -> str:
    """Returns the command that continues the run of a folder."""
    return f"python -m runner {resume_override(folder)}"


def task_command(task: str, folder: Path, *more: str) -> str:
    """Returns the command that runs a task on the run of a folder, with further overrides."""
    words = [f"python -m runner task={task}", resume_override(folder, "run"), *more]
    return " ".join(words)


def folder_of(key: str, value: object) -> Path:
    """Returns the folder of a run that a key of the config names: by a path, or by a URL that
    begins with `file:`. Raises ConfigError for other values."""
    if not isinstance(value, str) or not value or "\0" in value:
        raise ConfigError(
            f"{key} is {as_yaml(value)}; it must be the folder of a run, such as outputs/latest. "
            f"A name that is no plain text is written in quotes, as in \"{key}='5'\"."
        )
    if not value.startswith(SCHEME):
        return Path(value)
    path = unquote_to_bytes(urlsplit(value).path)
    if b"\0" in path or not path.startswith(b"/"):
        raise ConfigError(
            f"{key} is {as_yaml(value)}; such a URL must be like file:///path/to/run."
        )
    return Path(path.decode("utf-8", "surrogateescape"))


def literal(text: str) -> str:
    """Escapes what OmegaConf would take for an interpolation."""
    return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", text)


def _spelled(folder: Path) -> str:
    """Returns a path that survives being printed on one line: a URL if it contains what a terminal
    does not show, or spaces that would be joined."""
    text = str(folder)
    if not text.isprintable() or "  " in text:
        return folder.absolute().as_uri()
    return f"./{text}" if text.startswith(SCHEME) or text == MISSING else text


def _value(text: str) -> str:
    """Returns text as a value of Hydra's grammar, which reads it as this text."""
    is_name = "/" in text or (text[0].isalpha() and text.lower() not in _WORDS)
    if is_name and _PLAIN.fullmatch(text):
        return text
    quoted = re.sub(r'(\\*)"', lambda found: found[1] * 2 + r"\"", literal(text))
    end = len(quoted) - len(quoted.rstrip("\\"))
    return f'"{quoted}{quoted[len(quoted) - end :]}"'
