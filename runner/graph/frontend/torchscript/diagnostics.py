"""Turns TorchScript's errors into one line for the author of the module."""

import inspect
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

from runner.errors import GraphError

_FILE = re.compile(r'File "([^"]*)", line (\d+)')
_NOISE = (
    r"__torch__\.",
    r"\.?___torch_mangle_\d+",
    r" \(of Python compilation unit at: \w+\)",
    r"\.? Did you forget to initialize an attribute in __init__\(\)\?",
)
_HEADS = ("Arguments for call are not valid", "The following variants", "Empty lists default")
_SIGNATURE = re.compile(r"([\w.:<>]+)\((.*)\) -> .*:")
_NO_FUNCTION = re.compile(r"Module '.*' has no attribute '(\w+)' \(This function exists .*")
_NO_TYPE = re.compile(
    r"Module '.*' has no attribute '(\w+)' \(This attribute exists .* Python type: '([^']*)'.*"
)
_LOST = re.compile(r"Expected at most \d+ arg|Keyword argument \w+ unknown")


def problem_of(error: BaseException, callees: Iterable[type[nn.Module]] = ()) -> str:
    """Returns where TorchScript stopped, and why. `callees` are the classes of modules that may
    be called: an error about the arguments of a call is due to a callee that takes *args."""
    if isinstance(error, GraphError):
        return str(error).rstrip(".")
    text = str(error)
    for noise in _NOISE:
        text = re.sub(noise, "", text)
    why = _blamed(text, callees) or _reason(text) or type(error).__name__
    return _place(text) + why


def _place(text: str) -> str:
    """Returns "file.py:20: "; "" for a place in torch's own source."""
    found = _FILE.search(text)
    if found is None or found[1].startswith(("<", str(Path(torch.__file__).parent))):
        return ""
    return f"{Path(found[1]).name}:{found[2]}: "


def _reason(text: str) -> str:
    """Returns the cause in an error message: a known one reworded, or the first sentence."""
    first = next(_sentences(text), "")
    if found := _NO_TYPE.match(first):
        return f"self.{found[1]} has the type {found[2]}, which TorchScript does not support"
    if found := _NO_FUNCTION.match(first):
        why = _reason(text.partition("reproduced here:")[2])
        if why.startswith(("Lambda", "Expected a single top-level function")):
            return f"self.{found[1]} is a lambda, which TorchScript does not support"
        return f"self.{found[1]} is a function that cannot be read: {why}"
    if any(marked.startswith("super()") for marked in _marked(text)):
        return "TorchScript does not support super()"
    return first


def _sentences(text: str) -> Iterator[str]:
    called = ""
    for line in text.splitlines():
        plain = line.strip().rstrip(":. ")
        if found := _SIGNATURE.fullmatch(line.strip()):
            called = f"{found[1]}: "
        elif plain and not plain.startswith(_HEADS):
            yield called + plain


def _marked(text: str) -> Iterator[str]:
    """Yields the parts of source lines that TorchScript marks."""
    for line, marker in itertools.pairwise(text.splitlines()):
        if marker.endswith("<--- HERE"):
            yield line[marker.index("~") :]


def _blamed(text: str, callees: Iterable[type[nn.Module]]) -> str:
    """Returns a message on a callee whose stub takes fewer arguments than its forward; "" else."""
    if not _LOST.search(text):
        return ""
    for cls in dict.fromkeys(callees):
        if re.search(rf"\b{re.escape(cls.__name__)} self\b", text) and (rest := _rest(cls.forward)):
            return f"it calls a {cls.__name__}, whose forward takes {rest}"
    return ""


def _rest(forward: Callable[..., Any]) -> str:
    """Returns the variadic parameters of a forward, which TorchScript does not support."""
    kinds = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    parameters = inspect.signature(forward).parameters.values()
    return " and ".join(kinds[p.kind] + p.name for p in parameters if p.kind in kinds)
