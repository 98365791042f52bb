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


def resume_override(folder: Path) -> str:
    """Returns `resume=FOLDER` as it is typed in a shell."""
    return shlex.quote(f"resume={_value(_spelled(folder))}")


def resume_command(folder: Path) -> str:
    """Returns the command that continues the run of a folder."""
    return f"python -m runner {resume_override(folder)}"


def resumed_folder(resume: object) -> Path:
    """Returns the folder that a value of `resume` names: a path, or a URL that begins with
    `file:`. Raises ConfigError for other values."""
    if not isinstance(resume, str) or not resume or "\0" in resume:
        raise ConfigError(
            f"resume is {as_yaml(resume)}; it must be the folder of a run, such as outputs/latest. "
            "A name that is no plain text is written in quotes, as in \"resume='5'\"."
        )
    if not resume.startswith(SCHEME):
        return Path(resume)
    path = unquote_to_bytes(urlsplit(resume).path)
    if b"\0" in path or not path.startswith(b"/"):
        raise ConfigError(
            f"resume is {as_yaml(resume)}; such a URL must be like file:///path/to/run."
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
