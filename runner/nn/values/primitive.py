"""Primitives that are called like classes, but return what was chosen instead of an instance."""

import functools
from collections.abc import Callable
from typing import Any, Generic, NoReturn, ParamSpec, TypeVar, final

from runner.errors import SpaceError

P = ParamSpec("P")
R = TypeVar("R")


class NoClass:
    """An object that stands for no class: `isinstance` may ask about it, as loops that set initial
    weights do, and it cannot be subclassed."""

    __name__: str
    instances: tuple[type, ...] = ()  # classes of what it returns that belong to it alone

    @final
    def __instancecheck__(self, thing: object) -> bool:
        """Returns whether a module was returned. A chosen module or value itself is none: it
        stands in the place of the choice, and is of its own class."""
        return isinstance(thing, self.instances)

    @final
    def __subclasscheck__(self, cls: type) -> bool:
        return issubclass(cls, self.instances)

    @final
    def __mro_entries__(self, bases: tuple[Any, ...]) -> NoReturn:
        """Raises SpaceError, since a class statement names this as a base."""
        raise SpaceError(
            f"nn.{self.__name__} cannot be subclassed, since it returns what was chosen: write a "
            f"function that returns nn.{self.__name__}(...), or a module that holds one."
        )


@final
class Primitive(NoClass, Generic[P, R]):
    """A function of a space, as users see it."""

    def __init__(self, function: Callable[P, R], *instances: type) -> None:
        functools.update_wrapper(self, function)
        self.instances = instances
        self._function = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._function(*args, **kwargs)

    def __reduce__(self) -> str:
        return self.__name__


def primitive(*instances: type) -> Callable[[Callable[P, R]], Primitive[P, R]]:
    """Declares a function as a primitive. `instances` are the classes of which only it returns
    modules. A decorator."""
    return lambda function: Primitive(function, *instances)
