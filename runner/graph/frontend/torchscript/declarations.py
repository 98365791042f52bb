"""Declarations of functions and methods as in the source: names, defaults and annotations."""

import re
import sys
from collections.abc import Sequence
from typing import Any

from torch import nn

from runner.errors import GraphError
from runner.graph.frontend.literals.literal import Literals
from runner.graph.frontend.literals.references import parameters_of, reference
from runner.graph.ir.node import Parameter


def parameters(
    arguments: Sequence[Any], python: Any, literals: Literals, *, method: bool = True
) -> list[Parameter]:
    """Returns the parameters of a function, with the defaults and annotations of its source."""
    known = parameters_of(python)
    made = []
    for argument in arguments:
        source = known.get(argument.name)
        default: tuple[Any, ...] = ()
        if argument.has_default_value():
            value = argument.default_value
            if source is not None and source.default is not source.empty:
                value = source.default
            default = (literals.of(value),)
        note = ""
        if source is not None and source.annotation is not source.empty:
            note = annotation(argument.type, source.annotation)
        made.append(Parameter(argument.name, default, note))
    return made


_WORDS = (
    (r"\bTensor\b", "torch.Tensor"), (r"\bList\b", "list"), (r"\bDict\b", "dict"),
    (r"\bTuple\b", "tuple"), (r"\bDevice\b", "torch.device"),
)  # fmt: skip


def annotation(kind: Any, source: Any = None) -> str:
    """Returns a type as in the source; "" for classes, which would have to be imported. The
    annotation of the source distinguishes a dtype from the number it is to TorchScript."""
    text: str = kind.annotation_str
    if "__torch__" in text or "." in text:
        return ""
    while (
        shorter := re.sub(r"Optional\[((?:[^\[\]]|\[[^\[\]]*\])*)\]", r"\1 | None", text)
    ) != text:
        text = shorter
    for word, python in _WORDS:
        text = re.sub(word, python, text)
    for number in ("dtype", "layout", "memory_format"):
        if f"torch.{number}" in str(source):
            text = re.sub(r"\bint\b", f"torch.{number}", text)
    return text


def function_target(python: Any, name: str) -> str:
    """Returns the target of a function that was found under a name."""
    try:
        target = reference(python)
    except GraphError:
        parts = name.split(".")
        cut = next(c for c in range(len(parts) - 1, 0, -1) if ".".join(parts[:c]) in sys.modules)
        target = f"{'.'.join(parts[:cut])}:{'.'.join(parts[cut:])}"
    home, _, own = target.partition(":")
    public = own.removeprefix("_")
    if home == "torch.nn.functional" and own != public and hasattr(nn.functional, public):
        return f"{home}:{public}"  # the variant of a pool that returns no indices
    return target
