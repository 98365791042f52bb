"""What TorchScript's nodes, values and schemas say; they are `Any` to all who use them."""

import ast
import functools
import math
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, final

import torch

from runner.errors import GraphError
from runner.graph.frontend.references import parameters_of
from runner.operators import CHANGES_CONTAINER

FOREVER = 9223372036854775807  # the trip count of a `while`, and the end of an open slice
HIDDEN = "_desugared_"  # what the names of variables begin with that the source does not have
KEPT = f"{HIDDEN}kept"  # first in a print that the source does not have
TYPES = {
    "ScalarType": ("uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64",
                   "complex32", "complex64", "complex128", "bool", "qint8", "quint8", "qint32",
                   "bfloat16"),
    "MemoryFormat": ("contiguous_format", "preserve_format", "channels_last", "channels_last_3d"),
    "Layout": ("strided", "sparse_coo"),
}  # fmt: skip
_KINDS = {"TensorType": "Tensor", "ListType": "List", "DictType": "Dict", "StringType": "String"}
CHANGES_LIST = CHANGES_CONTAINER | {"add_", "_set_item", "Delete"}
_PASSES_ON = frozenset(  # what gives a list or dict itself, or holds it
    {"TupleConstruct", "ListConstruct", "DictConstruct", "unchecked_cast", "annotate",
     "unchecked_unwrap_optional", "_unwrap_optional"}
)  # fmt: skip
_READS_SHAPE = frozenset(
    {"aten::__getitem__", "prim::ListUnpack", "aten::len", "aten::str", "aten::format"}
)
_FACTORIES = frozenset({"zeros", "ones", "full", "empty", "rand", "randn"})
_FILE = re.compile(r'File "([^"]*)", line (\d+)')
_MANGLED = re.compile(r"\.___torch_mangle_\d+")


@final
@dataclass
class Formal:
    """An argument as a schema declares it."""

    name: str
    has_default: bool
    default: Any
    by_name: bool
    wants: str  # "ScalarType", "MemoryFormat", "Layout", or "" for no such number
    size: int = 0  # of a list for which one number will do, too
    is_out: bool = False  # whether the operator writes its result there


def formal(argument: Any) -> Formal:
    """What a schema says of an argument."""
    text = str(getattr(argument, "real_type", argument.type))
    wants = next((name for name in TYPES if name in text), "")
    if not wants and text != "Tensor":
        wants = _wants_by_name(argument.name)
    has_default = argument.has_default_value()
    default = argument.default_value if has_default else None
    alias = argument.alias_info
    is_out = argument.kwarg_only and alias is not None and alias.is_write
    size = argument.N or 0
    return Formal(argument.name, has_default, default, argument.kwarg_only, wants, size, is_out)


def class_of(v: Any) -> Any:
    """The Python class of an object; None when it cannot be imported."""
    return resolve(demangled(v.type().annotation_str))


@functools.cache
def constructor(cls: type) -> tuple[Formal, ...]:
    """The arguments that a class of Python's takes; none when that is not known."""
    return tuple(
        Formal(p.name, p.default is not p.empty, p.default, p.kind is p.KEYWORD_ONLY,
               _wants_by_name(p.name))
        for p in parameters_of(cls).values()
    )  # fmt: skip


def _wants_by_name(name: str) -> str:
    if "dtype" in name:
        return "ScalarType"
    return "MemoryFormat" if name == "memory_format" else ""


@functools.lru_cache(maxsize=4096)
def operator_schema(text: str) -> tuple[Formal, ...]:
    return tuple(map(formal, torch._C.parse_schema(text).arguments))


def changes_first(n: Any) -> bool:
    """Whether a node changes its first argument in place."""
    text = n.schema()
    return text != "(no schema)" and _changes_first(text)


@functools.lru_cache(maxsize=4096)
def _changes_first(schema: str) -> bool:
    arguments = torch._C.parse_schema(schema).arguments
    alias = arguments[0].alias_info if arguments else None
    return alias is not None and alias.is_write and not arguments[0].kwarg_only


def is_index(v: Any) -> bool:
    """Whether a value is only used among the indices of tensors."""
    return all(
        use.user.kind() == "prim::ListConstruct" and is_indices(use.user) for use in v.uses()
    )


def is_indices(n: Any) -> bool:
    """Whether a list is made to stand between the brackets behind a tensor."""
    return all(
        use.offset == 1 and use.user.kind() in ("aten::index", "aten::index_put_")
        for use in n.output().uses()
    )


def line_of(n: Any) -> str:
    """ "file.py:20", or "" when it is not known."""
    found = _FILE.search(n.sourceRange())
    if not found or found[1].startswith("<"):
        return ""  # something that TorchScript itself wrote
    return f"{PurePath(found[1]).name}:{found[2]}"


def marked(n: Any) -> tuple[str, int]:
    """The source that a node is made of, from its first character to the end of the line; and how
    much of that is marked, for a call what is called. "" when it is not known."""
    marks = re.search(r"^(.*)\n( *)(~+) <--- HERE", n.sourceRange(), re.MULTILINE)
    return (marks[1][len(marks[2]) :], len(marks[3])) if marks else ("", 0)


def called(n: Any) -> str:
    """What a node calls, as its source has it: "math.floor", "x.floor"."""
    text, length = marked(n)
    return text[:length]


def is_of_math(n: Any) -> bool:
    """Whether a node is a call of a function of `math`, which `**` is to TorchScript, too. Raises
    GraphError for one of a tensor, whose operators it takes: they give tensors."""
    name = n.kind().partition("::")[2]
    if name not in vars(math):
        return False
    source = called(n)
    if source in (name, f"math.{name}") and kind_of(n.inputsAt(0)) == "Tensor":
        raise GraphError(
            f"{line_of(n)}: {source}() of a tensor is torch.{name}() to TorchScript; write "
            f"torch.{name}, or give a number: math.{name}(float(x))"
        )
    return source == f"math.{name}"


def index_of(n: Any) -> ast.expr | None:
    """The source between the brackets that a node is made of; None when it is not found, as where
    it takes more than a line."""
    text, least = marked(n)
    for end in (least, *(at + 1 for at in range(least, len(text)) if text[at] == "]")):
        found = _parsed(text[:end])
        if isinstance(found, ast.Assign):
            found = found.targets[0]
        if isinstance(found, ast.Subscript):
            return found.slice
    return None


def _parsed(text: str) -> ast.AST | None:
    try:
        (statement,) = ast.parse(text).body
    except (SyntaxError, ValueError):
        return None
    return statement.value if isinstance(statement, ast.Expr) else statement


@functools.lru_cache(maxsize=8192)
def name_of(debug_name: str) -> str:
    """What the source calls a value: "x" for "x.3", "" for "12"."""
    name = debug_name.partition(".")[0]
    shown = name.isidentifier() and name != "self" and not name.startswith(HIDDEN)
    return name if shown else ""


def kind_of(v: Any) -> str:
    """ "Tensor", "List", "Dict", "String", or "" for any other type."""
    return _KINDS.get(v.type().kind(), "")


def plain_name(method: str) -> str:
    """The name of a method without the number that an overload has behind it."""
    return re.sub(r"__\d+$", "", method)


def spoken(method: str) -> str:
    """The name of a method; TorchScript calls that of a property `__name_getter`."""
    return re.sub(r"^__(.+)_getter$", r"get_\1", method)


def demangled(qualname: str) -> str:
    """A name as Python has it."""
    return _MANGLED.sub("", qualname.removeprefix("__torch__."))


def resolve(qualname: str) -> Any:
    """What "a.b.C" names in the modules that are imported; None when nothing is found. TorchScript
    calls what is in `__main__` by its name alone."""
    parts = qualname.split(".")
    if len(parts) == 1:
        return getattr(sys.modules.get("__main__"), qualname, None)
    for cut in range(len(parts) - 1, 0, -1):
        found: Any = sys.modules.get(".".join(parts[:cut]))
        for part in parts[cut:]:
            found = getattr(found, part, None)
        if found is not None:
            return found
    return None


def named_tuple(v: Any) -> Any:
    """The NamedTuple class that a value is of, or None. Raises GraphError when there is one that
    cannot be imported."""
    text = v.type().annotation_str
    if text.startswith(("Tuple", "tuple")):
        return None
    found = class_of(v)
    if not hasattr(found, "_fields"):
        raise GraphError(f"The class {demangled(text)} cannot be imported.")
    return found


def once(v: Any) -> bool:
    """Whether just one argument is this value."""
    return len(v.uses()) == 1


def may_nest(n: Any) -> bool:
    """Whether a list or dict may stand right where it is used: it has one use, in the same block,
    which does not change it."""
    uses = n.output().uses()
    if len(uses) != 1:
        return False
    user = uses[0].user
    space, _, name = user.kind().partition("::")
    if space == "aten" and uses[0].offset == 0 and name in CHANGES_LIST:
        return False
    if space == "prim" and name in ("Loop", "SetAttr"):
        return False
    if name in _PASSES_ON and not may_nest(user):
        return False
    return bool(user.owningBlock() is n.owningBlock())


def reads_only(v: Any) -> bool:
    """Whether a size is only read, so that a `torch.Size` will do where TorchScript has a list."""
    for use in v.uses():
        kind = use.user.kind()
        if kind in _READS_SHAPE:
            continue
        if kind in ("aten::eq", "aten::ne"):
            if all(other.node().kind() == "aten::size" for other in use.user.inputs()):
                continue
            return False
        if kind == "aten::slice" and reads_only(use.user.output()):
            continue
        inputs = [*use.user.inputs()]
        if kind == "aten::tensor" and not use.user.sourceRange() and is_index(use.user.output()):
            continue  # `x[y.shape]`: a Size is a tuple, as an index is
        takes = kind.startswith("aten::") and use.offset > 0 and kind_of(inputs[0]) == "Tensor"
        makes = kind.startswith("aten::") and use.offset == 0 and kind[6:] in _FACTORIES
        if not takes and not makes:
            return False
    return True


def walk(nodes: Iterable[Any]) -> Iterator[Any]:
    """Nodes and all in their blocks."""
    for n in nodes:
        yield n
        for block in n.blocks():
            yield from walk(block.nodes())
