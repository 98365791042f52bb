"""What stands for a name of `runner.nn` in a file that does not import it."""

from typing import Any

import torch.nn

from runner import nn
from runner.graph.class_source.scopes import Uncopied

DROPPED = (nn.basic_unit, nn.model_wrapper)  # decorators that matter to a search only
_PLAIN = {
    **dict.fromkeys(("Positive", "Repeats", "AnyRepeats", "OddSize"), "int"),
    "Fraction": "float",
    **dict.fromkeys(("InputShape", "ImageShape"), "tuple[int, ...]"),
}
HELPERS = {
    "refuse": "def refuse(why):\n    raise ValueError(why)",
    "decided": '''\
def decided(value):
    """The value of a choice: a forward may call it."""
    kind = type(value)
    if kind is bool or value is None:
        return value
    return type(kind.__name__, (kind,), {"__call__": kind})(value)''',
}


def is_torchs(name: str) -> bool:
    """Returns whether a name of `runner.nn` is the one of `torch.nn`."""
    missing = object()
    return getattr(torch.nn, name, missing) is getattr(nn, name, None)


def plain_type(name: str) -> str:
    """Returns the type without bounds that a name of `runner.nn` stands for. Raises Uncopied if it
    is none: a choice, whose value is then not known to the file."""
    if name in _PLAIN:
        return _PLAIN[name]
    made: Any = getattr(nn, name, None)
    what = "makes choices" if callable(made) else "uses the search"
    raise Uncopied(
        f"it {what} while it is built (nn.{name}); make them in the class above, and pass it the "
        "values"
    )
