"""Bodies of methods, as tables of text."""

import pytest


def rows(text: str) -> dict[str, str]:
    """The bodies in a text by their names: each follows a line `# name`.

    Lines after `|` are members of the class. A comment `# <- why` marks the line that is refused.
    """
    found: dict[str, list[str]] = {}
    for line in text.strip("\n").splitlines():
        if line.startswith("# "):
            body = found[line[2:]] = []
        elif line:
            body.append(line)
    return {name: "\n".join(body) for name, body in found.items()}


def each(text: str) -> pytest.MarkDecorator:
    """Has a test try all bodies in a text."""
    found = rows(text)
    return pytest.mark.parametrize("body", found.values(), ids=found)
