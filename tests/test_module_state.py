"""The search for state of modules finds each way of keeping some, and nothing else."""

import ast
from textwrap import dedent

import pytest
from module_state import classes_that_change, state_in

KEEPS = {
    "a cache without bound": """
        @functools.cache
        def f(name: str) -> str: ...
        """,
    "a cache that does not say its bound": """
        @functools.lru_cache
        def f(name: str) -> str: ...
        """,
    "a cache with None as its bound": """
        @functools.lru_cache(None)
        def f(name: str) -> str: ...
        """,
    "a cache whose bound is a name for None": """
        MANY = None
        @functools.lru_cache(maxsize=MANY)
        def f(name: str) -> str: ...
        """,
    "a cache imported under another name": """
        from functools import cache as c
        @c
        def f(name: str) -> str: ...
        """,
    "a cache of a module imported under another name": """
        import functools as ft
        @ft.lru_cache(maxsize=None)
        def f(name: str) -> str: ...
        """,
    "a cache under a name of the module": """
        memoized = functools.cache
        def g(name: str) -> str: ...
        f = memoized(g)
        """,
    "a cache made by a call": """
        def g(name: str) -> str: ...
        f = functools.cache(g)
        """,
    "a bounded cache made by a call": """
        def g(name: str) -> str: ...
        f = lru_cache(maxsize=9)(g)
        """,
    "a cache under a condition": """
        if True:
            @functools.cache
            def f(name: str) -> str: ...
        """,
    "a cache of classes": """
        @functools.lru_cache(maxsize=9)
        def f(cls: type) -> str: ...
        """,
    "a cache of anything": """
        @functools.lru_cache(maxsize=9)
        def f(thing: Any) -> str: ...
        """,
    "a cache of anything in tuples": """
        @functools.lru_cache(maxsize=9)
        def f(things: tuple[Any, ...]) -> str: ...
        """,
    "a cache of arguments without a type": """
        @functools.lru_cache(maxsize=9)
        def f(name) -> str: ...
        """,
    "a cache that imports": """
        @functools.lru_cache(maxsize=9)
        def f(target: str) -> str:
            return locate(target).__name__
        """,
    "a cache that imports through another function": """
        @functools.lru_cache(maxsize=9)
        def f(target: str) -> str:
            return g(target).__name__
        def g(target):
            return importlib.import_module(target)
        """,
    "a cache that looks at imported modules": """
        @functools.lru_cache(maxsize=9)
        def f(name: str) -> str:
            return sys.modules[name].__doc__
        """,
    "a cache that returns a dict": """
        @functools.lru_cache(maxsize=9)
        def f(name: str) -> dict[str, int]: ...
        """,
    "a cache without arguments": """
        @functools.lru_cache(maxsize=1)
        def f() -> str: ...
        """,
    "a cache of a method": """
        class A:
            @functools.lru_cache(maxsize=9)
            def f(self, name: str) -> str: ...
        """,
    "a dict that a function fills": """
        f = {}
        def g(x): f[x] = 1
        """,
    "a dict with a type": """
        f: dict[str, int] = {}
        def g(x): f.setdefault(x, 1)
        """,
    "a dict of several": """
        f, other = {}, 1
        def g(x): f.update(x=1)
        """,
    "a dict that is filled under a local name": """
        f = {}
        def g(x):
            known = f
            known[x] = 1
        """,
    "a dict that is filled under another name": """
        f = {}
        known = f
        def g(x): f[x] = known
        """,
    "a list in a dict": """
        f = {"a": []}
        def g(x): f["a"].append(x)
        """,
    "an object that a function changes": """
        f = Store()
        def g(x): f.found = x
        """,
    "an imported dict": """
        from runner.somewhere import f
        def g(x): f[x] = 1
        """,
    "a global": """
        f = 0
        def g():
            global f
            f += 1
        """,
    "a dict in a class": """
        class A:
            f = {}
            def g(self, x): self.f[x] = 1
        """,
    "a dict in a class, filled by its name": """
        class A:
            f: ClassVar = {}
        def g(x): A.f[x] = 1
        """,
    "a dict in a class, filled by a class method": """
        class A:
            f = {}
            @classmethod
            def g(cls, x): cls.f[x] = 1
        """,
    "a default argument": """
        def f(x, known={}):
            known[x] = 1
        """,
    "a default argument of a lambda": """
        f = lambda x, known=[]: known.append(x)
        """,
    "an attribute of a function": """
        def f(x): f.known = x
        """,
    "a dict at a function": """
        def f(x): f.known[x] = 1
        f.known = {}
        """,
    "a counter": """
        f = itertools.count()
        """,
    "an iterator": """
        f = iter([1, 2])
        """,
    "a generator": """
        f = (x for x in range(9))
        """,
    "storage of a thread": """
        f = threading.local()
        """,
    "a variable of the context": """
        f: ContextVar[int] = ContextVar("f")
        """,
    "weak references": """
        f = weakref.WeakKeyDictionary()
        """,
    "a class that changes": """
        class A:
            def g(self): self.x = 1
        f = A()
        """,
    "a class that changes, under another name": """
        class A:
            def g(self): self.x = 1
        made = A
        f = made()
        """,
    "a class of Python under another name": """
        from collections import OrderedDict as ordered
        f = ordered()
        """,
    "a dict of globals": """
        def g(x): globals()[x] = 1
        """,
}  # fmt: skip

NAMES = {
    "an object that a function changes": "f", "a cache of a method": "f",
    "a dict in a class": "A.f", "a dict in a class, filled by its name": "A.f",
    "a dict in a class, filled by a class method": "A.f",
    "a default argument of a lambda": "lambda", "an attribute of a function": "f.known",
    "a dict at a function": "f.known", "a dict of globals": "globals()",
}  # fmt: skip

KEEPS_NOTHING = {
    "a bounded cache of plain values": """
        MANY = 4096
        @functools.lru_cache(maxsize=MANY)
        def f(name: str, kind: Literal["a", "b"], names: tuple[str, ...], n: int | None) -> bool:
            return g(name)
        @lru_cache(maxsize=9)
        def g(shape: torch.Size, dtype: torch.dtype, some: frozenset[str]) -> tuple[str, ...]: ...
        """,
    "caches of an object": """
        class A:
            def __init__(self):
                self.g = functools.cache(g)
                self.known = {}
            def of(self, x): self.known[x] = 1
            @cached_property
            def h(self) -> int: ...
        """,
    "a cache of a call": """
        def f(names):
            found = functools.cache(g)
            return [found(name) for name in names]
        """,
    "constants": """
        TABLE = {"a": 1}
        LISTED = [*TABLE]
        TABLE["b"] = 2
        def f(x): return TABLE[x]
        """,
    "local names": """
        known = {}
        def f(x):
            known = {}
            known[x] = 1
            return known
        def g(known): known.clear()
        """,
    "an attribute of an object with the name of one of the class": """
        class A:
            f = []
            def __init__(self): self.f = []
            def g(self): self.f.append(1)
        """,
}  # fmt: skip


def _found(source: str) -> set[str]:
    tree = ast.parse(dedent(source))
    return state_in(tree, classes_that_change([tree]))


@pytest.mark.parametrize("what", KEEPS)
def test_state_is_found(what):
    assert _found(KEEPS[what]) == {NAMES.get(what, "f")}


@pytest.mark.parametrize("what", KEEPS_NOTHING)
def test_what_is_closed_or_never_changes_is_no_state(what):
    assert not _found(KEEPS_NOTHING[what])
