"""Primitives that are called like classes, but return what was chosen instead of an instance."""

import functools
from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar, final

from runner.errors import SpaceError

P = ParamSpec("P")
R = TypeVar("R")


class NoClass:
    """An object that stands for no class: `isinstance` may ask about it, as loops that set initial
    weights do. It can be subclassed if it has a class for that."""

    __name__: str
    instances: tuple[type, ...] = ()  # classes of what it returns that belong to it alone
    base: type | None = None  # what a class derives from that names this as its base

    @final
    def __instancecheck__(self, thing: object) -> bool:
        """Returns whether a module was returned. A chosen module or value itself is none: it
        stands in the place of the choice, and is of its own class."""
        return isinstance(thing, self.instances)

    @final
    def __subclasscheck__(self, cls: type) -> bool:
        return issubclass(cls, self.instances)

    @final
    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        """Returns the base of a class whose statement names this one. Raises SpaceError if there is
        none."""
        if self.base is not None:
            return (self.base,)
        raise SpaceError(
            f"nn.{self.__name__} cannot be subclassed, since it returns what was chosen: write a "
            f"function that returns nn.{self.__name__}(...), or a module that holds one."
        )


@final
class Primitive(NoClass, Generic[P, R]):
    """A function of a space, as users see it."""

    def __init__(
        self, function: Callable[P, R], *instances: type, base: type | None = None
    ) -> None:
        functools.update_wrapper(self, function)
        self.instances = instances if base is None else (*instances, base)
        self.base = base
        self._function = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._function(*args, **kwargs)

    def __reduce__(self) -> str:
        return self.__name__


def primitive(
    *instances: type, base: type | None = None
) -> Callable[[Callable[P, R]], Primitive[P, R]]:
    """Declares a function as a primitive. `instances` are the classes of which only it returns
    modules; classes that name it as their base derive from `base`. A decorator."""
    return lambda function: Primitive(function, *instances, base=base)
