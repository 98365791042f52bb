"""What a trial may have replaced in modules and classes: it is noticed, and put back."""

import builtins
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from types import MappingProxyType, ModuleType
from typing import Any, final

from runner.training.state.function_parts import FunctionParts, functions
from runner.training.state.tables import SharedTable, tables
from runner.training.state.watched import (
    CODE,
    MISSING,
    ModuleOwner,
    is_a,
    is_wrapped,
    owner_of,
    watched,
    with_classes,
)

MUTABLE = 1 << 9, 1 << 8  # flags of a class: Py_TPFLAGS_HEAPTYPE, and not _IMMUTABLETYPE
# What of a library's class may change; all else is what it is.
STATE = (dict, list, set, type(None), MappingProxyType)


@final
class Namespace:
    """The names of a module or a class, and what they meant."""

    def __init__(self, holder: Any, name: str, owner: ModuleOwner) -> None:
        self.name = name
        self.owner = owner
        self.is_module = isinstance(holder, ModuleType)
        self.is_of_training = not self.is_module or owner_of(name) is not None
        self.names: Mapping[str, Any] = holder.__dict__
        self._holder = holder
        self.keep()

    def keep(self) -> None:
        self.before = dict(self.names)

    def views(self) -> Iterator[Iterable[Any]]:
        """Yields what tells whether it has changed."""
        yield self.names.values()

    def put_back(self, imports: Collection[ModuleOwner]) -> Iterator[str]:
        """Restores what was replaced, and yields its names."""
        for name in {**self.before, **self.names}:
            before, now = (found.get(name, MISSING) for found in (self.before, self.names))
            if now is not before and not self._allows(name, before, now):
                self._set(name, before)
                yield f"{self.name}.{name}"
        self.keep()

    def _allows(self, name: str, before: Any, now: Any) -> bool:
        """Returns whether a trial may leave a name with another meaning."""
        if before is MISSING:
            return _is_ours(now) or not self._hides(name, now)
        if isinstance(self._holder, type) and self.owner is ModuleOwner.LIBRARY:
            return is_a(before, STATE) or is_wrapped(now, before)
        return self.owner.allows(before, now)

    def _hides(self, name: str, now: Any) -> bool:
        """Returns whether a new name changes what code that does not know it does."""
        is_user = self.owner is ModuleOwner.USER and not name.startswith("__")
        if isinstance(self._holder, type):
            inherited = (base.__dict__ for base in self._holder.__mro__[1:])
            former = next((names[name] for names in inherited if name in names), MISSING)
            is_other = is_a(now, CODE) or (is_user and not self.owner.allows(MISSING, now))
            return is_other and not is_wrapped(now, former)
        counts = is_user or self.names is builtins.__dict__ or name in builtins.__dict__
        return counts and not self.owner.allows(MISSING, now)

    def _set(self, name: str, value: Any) -> None:
        if isinstance(self._holder, type):
            if value is MISSING and name == "__new__":
                value = _plain_new(self._holder)
            missing = value is MISSING
            type.__delattr__(self._holder, name) if missing else type.__setattr__(
                self._holder, name, value
            )
        elif value is MISSING:
            del self._holder.__dict__[name]
        else:
            self._holder.__dict__[name] = value


def _is_ours(value: object) -> bool:
    """Returns whether this program defined a function, such as that which records constructors."""
    function = getattr(value, "__func__", value)
    return owner_of(str(getattr(function, "__module__", None))) is ModuleOwner.OURS


def _plain_new(holder: type) -> Any:
    """Returns a `__new__` that does what the inherited one does: a class that has lost its own
    takes no arguments any more (a limitation of CPython)."""

    def new(cls: type, /, *args: Any, **kwargs: Any) -> Any:
        above: Any = super(holder, cls).__new__  # type: ignore[arg-type]
        return above(cls) if above is object.__new__ else above(cls, *args, **kwargs)

    return staticmethod(new)


@final
class Namespaces:
    """What trials share of modules, with their classes, functions and tables, and how it was."""

    def __init__(self) -> None:
        self.users: Sequence[str] = ()  # the modules of users
        self._modules: frozenset[str] = frozenset()  # those imported at the last search
        self._all: list[Namespace | SharedTable] = []
        self._builtins = {**builtins.__dict__}
        self._views: list[Iterable[Any]] = []  # of all
        self._values: list[Any] = []  # what the views held, in one list for speed
        self._parts = FunctionParts(())

    def keep(self) -> None:
        """Takes what is now for what is to be."""
        if len(sys.modules) != len(self._modules):
            self._modules = frozenset(sys.modules)
            self._all = [*_found()]
            spaces = [one for one in self._all if isinstance(one, Namespace) and one.is_module]
            self.users = [one.name for one in spaces if one.owner is ModuleOwner.USER]
            self._keep_values()
            self._keep_functions()
        elif not self._is_unchanged():
            for one in self._all:
                one.keep()
            self._keep_values()
            self._keep_functions()
        elif not self._parts.is_unchanged():
            self._keep_functions()

    def _keep_values(self) -> None:
        self._views = [view for one in self._all for view in one.views()]
        self._values = [*chain.from_iterable(self._views)]

    def _keep_functions(self) -> None:
        spaces = [one for one in self._all if isinstance(one, Namespace) and one.is_of_training]
        found = {id(f): f for one in spaces for f in functions(one.before.values())}
        self._parts = FunctionParts([*found.values()])

    def _is_unchanged(self) -> bool:
        """Returns whether all values are as before; cheap, because C compares."""
        try:
            return [*chain.from_iterable(self._views)] == self._values
        except Exception:  # a new value that refuses to be compared
            return False

    def put_back(self) -> list[str]:
        """Restores what was replaced, and returns its names."""
        found = _put_builtins_back(self._builtins)
        if not self._is_unchanged():
            imports = {
                owner_of(name) or ModuleOwner.LIBRARY for name in sys.modules.keys() - self._modules
            }
            for one in self._all:
                found += one.put_back(imports)
            self._keep_values()
        if not self._parts.is_unchanged():
            found += dict.fromkeys(self._parts.put_back())
        return found


def _put_builtins_back(before: Mapping[str, Any]) -> list[str]:
    """Restores the builtins, without calling any of them; returns what was replaced."""
    names = builtins.__dict__
    changed = [n for n, value in before.items() if n != "_" and names.get(n) is not value]
    if changed:  # only then, since code is optimized for builtins that do not change
        names.update(before)
    return [f"builtins.{name}" for name in changed]


def _found() -> Iterator[Namespace | SharedTable]:
    """Yields the modules that trials share, the classes that those of training define or name, and
    the tables of all."""
    seen: set[int] = set()
    found = watched()
    open_ones = with_classes(found)
    for name, owner in found.items():
        module = sys.modules[name]
        yield from _with_tables(Namespace(module, name, owner))
        for kind in _classes(module) if name in open_ones else ():
            if id(kind) not in seen:
                seen.add(id(kind))
                full = f"{kind.__module__}.{kind.__qualname__}"
                owner = owner_of(kind.__module__) or ModuleOwner.LIBRARY
                yield from _with_tables(Namespace(kind, full, owner))


def _with_tables(one: Namespace) -> Iterator[Namespace | SharedTable]:
    yield one
    for name, value in one.before.items():
        if not name.startswith("__"):
            yield from tables(value, f"{one.name}.{name}", one.owner)


def _classes(module: ModuleType) -> Iterator[type]:
    """Yields the classes in a module that may be changed."""
    heap, immutable = MUTABLE
    for value in [*vars(module).values()]:
        if is_a(value, type) and value.__flags__ & heap and not value.__flags__ & immutable:
            yield value
