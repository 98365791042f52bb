"""The docstring at the top of a model's file: the model's facts and usage."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from runner.whole_files import write_whole

END = '"""\n'
COLUMN = 9


def heading(title: str, facts: Mapping[str, Any], usage: str = "") -> str:
    """Returns a module docstring: a title, one or more lines per fact, and the usage of the file.

    Values are written by `repr`, and nothing in them can end the docstring.
    """
    parts = [title, "", *_lines(facts), *([""] if usage else []), *usage.splitlines()]
    return '"""' + "\n".join(parts) + f"\n{END}"


def add_facts(file: Path, facts: Mapping[str, Any]) -> None:
    """Adds facts to the docstring that `heading` wrote at the top of a file, if it exists."""
    if not file.is_file():
        return
    start, end, rest = file.read_text(encoding="utf-8").partition(f"\n{END}")
    write_whole(file, "\n".join([start, *_lines(facts)]) + end + rest)


def _lines(facts: Mapping[str, Any]) -> Iterator[str]:
    for name, value in facts.items():
        items = [f"{k}: {v!r}" for k, v in value.items()] if isinstance(value, Mapping) else [value]
        for place, item in enumerate(items):
            yield _escaped(f"{name if place == 0 else '':{COLUMN}}{item}")


def _escaped(line: str) -> str:
    """Escapes text for use in a docstring, on one line."""
    printed = "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)
    return printed.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
