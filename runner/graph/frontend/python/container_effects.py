"""What methods and functions do to the lists, dicts and iterators that they are given."""

from runner.graph.ir.node import Op
from runner.operators import CHANGES_CONTAINER
from runner.python_operators import BINARY

_CHANGES = CHANGES_CONTAINER | {"add", "discard"}
MUTATING = _CHANGES | {"appendleft", "popleft", "extendleft", "rotate"}
CHANGING = _CHANGES.union(  # methods and functions that change their first argument, if a container
    (f"operator:i{found.stem}" for found in BINARY), ("operator:setitem", "operator:delitem")
)
KEEPING = frozenset(  # methods that put arguments into an object
    ("__call__", "append", "appendleft", "extend", "insert", "setdefault", "update")
)
HARMLESS = frozenset([  # functions that keep no argument, and return none
    *(f"builtins:{name}" for name in ("len", "isinstance", "sum", "str", "repr", "sorted", "list",
                                      "tuple", "set", "bool", "any", "all", "print")),
    *(f"operator:{name}" for name in ("getitem", "contains", "add", "mul", "eq", "ne")),
])  # fmt: skip


def consumes(op: Op, target: str) -> bool:
    """Returns whether a function takes the items of an iterator, rather than keeping it."""
    if op == "call_method":
        return target not in ("append", "insert", "add", "setdefault", "appendleft")
    return op == "call_function" and not target.startswith(("operator:", ":"))
