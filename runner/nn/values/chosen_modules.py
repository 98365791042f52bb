"""What a build's LayerChoices returned: for errors of code that asks a chosen module about its
choice, as NNI's LayerChoice can be asked."""

import re
import weakref
from typing import final

from torch import nn

_OF_A_CHOICE = frozenset({"candidates", "choice", "choices", "label", "length", "names"})
_OF_A_CONTAINER = re.compile(
    r"object of type '(\w+)' has no len\(\)|'(\w+)' object is not (?:iterable|subscriptable)|"
    r"'(\w+)' object does not support item (?:assignment|deletion)|"
    r"Value after \* must be an iterable, not (\w+)|cannot unpack non-iterable (\w+) object|"
    r"argument of type '(\w+)' is not iterable"
)


@final
class ChosenModules:
    """The modules that one build returned for choices. They are not marked, and not kept alive:
    who is given one cannot tell it from a module without a choice."""

    def __init__(self) -> None:
        self._made: list[tuple[weakref.ref[nn.Module], str]] = []

    def add(self, module: nn.Module, where: str) -> None:
        """Notes the module that a choice returned; `where` names the choice."""
        self._made.append((weakref.ref(module), where))

    def explain(self, error: AttributeError | TypeError) -> None:
        """Adds to the message of an error what to write instead, if it comes from a question about
        a choice to what that returned."""
        advice = self._advice(error)
        if advice and not str(error).endswith(advice):  # which an inner block has added
            error.args = (f"{str(error).rstrip('.')}{advice}",)

    def _advice(self, error: AttributeError | TypeError) -> str:
        if isinstance(error, AttributeError):
            if error.name not in _OF_A_CHOICE:
                return ""
            if error.obj is None or isinstance(error.obj, bool):
                return _OF_A_VALUE
            asked = (where for module, where in self._named() if module is error.obj)
            return next((_OF_A_LAYER.format(". It is what", where) for where in asked), "")
        found = _OF_A_CONTAINER.match(str(error))
        kind = "" if found is None else next(filter(None, found.groups()))
        asked = (where for module, where in self._named() if type(module).__name__ == kind)
        return next((_OF_A_LAYER.format(". If that is what", where) for where in asked), "")

    def _named(self) -> list[tuple[nn.Module, str]]:
        """Returns the modules that still exist, the latest first: a choice that is a candidate of
        another one returned the same module before that did."""
        made = ((module(), where) for module, where in reversed(self._made))
        return [(module, where) for module, where in made if module is not None]


_OF_A_LAYER = (
    "{} {} returned: a chosen module, without the other candidates. Keep those in a variable of "
    "your own, or derive a class (`class Op(nn.LayerChoice): pass`), whose modules have names, "
    "label and len()."
)
_OF_A_VALUE = (
    ". If that is the value of a ValueChoice: True, False and None have no attributes; keep the "
    "candidates in a variable of your own, as in `flags = [True, False]`."
)
