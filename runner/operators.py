"""What operators do to memory and random numbers, derived from torch: schemas, and probing runs.

A schema says what an operator writes (`alias_info.is_write`) and which results are views of its
arguments. Composites say less than they do (`atleast_2d`, `dropout`, `unsafe_chunk`): those are
run on small tensors of several layouts, and the storages of results and arguments compared. What
neither can tell is taken to share memory: a copy too many is harmless, a missing one is not.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Any, Literal, final

import torch
from torch import Tensor

from runner.probing import MOST, Parameter, Sharing, probed, samples, shares_in_runs

MANY = 4096
_DTYPES = (
    *(torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
)

_IN_PLACE = frozenset(
    ("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor",
     "ilshift", "irshift", "imatmul", "iconcat", "setitem", "delitem")
)  # fmt: skip
_PASSING = frozenset(  # of builtins and operator: what may give an argument, or a thing in one
    ("list", "tuple", "dict", "set", "zip", "enumerate", "sorted", "reversed", "iter", "next",
     "min", "max", "getattr", "filter", "getitem", "pos", "itemgetter")
)  # fmt: skip
_SILENT = frozenset(  # builtins that give nothing of what they are given, and change nothing
    ("len", "int", "float", "bool", "str", "complex", "isinstance", "issubclass", "range", "slice",
     "type", "hasattr", "repr", "print", "hash", "any", "all", "sum", "abs", "round", "pow",
     "divmod", "ord", "chr", "bin", "hex", "oct", "format", "id", "callable")
)  # fmt: skip
_CONTAINERS = frozenset(n for kind in (list, dict, tuple, set) for n in dir(kind) if n[0] != "_")
_TEXTS = frozenset(name for name in dir(str) if name[0] != "_")
_FILLING = frozenset(("append", "extend", "insert", "update", "setdefault", "add"))
_UNSAID = frozenset(  # with a kernel of their own, and share memory though their schemas deny it
    ("unsafe_split", "unsafe_split_with_sizes", "lift", "native_dropout", "channel_shuffle", "set")
)  # fmt: skip
_RANDOM_IN_PYTHON = frozenset(  # no operators, so that nothing is tagged, or without a tag
    ("dropout1d", "dropout2d", "dropout3d", "gumbel_softmax", "multi_head_attention_forward",
     "fractional_max_pool2d", "fractional_max_pool2d_with_indices", "fractional_max_pool3d",
     "fractional_max_pool3d_with_indices")
)  # fmt: skip
_FAMILIES = {"torch.linalg": "linalg_", "torch.fft": "fft_", "torch.special": "special_"}


@final
@dataclass(frozen=True, slots=True)
class Facts:
    """What a call does: `writes` are the parameters it changes in place, by position or name;
    `shares` tells whether a result may have the memory of an argument; `is_known` is False for
    code that nobody read, which may do anything."""

    writes: frozenset[int | str] = frozenset()
    shares: Sharing = "never"
    is_known: bool = True
    inplace: int | None = None  # position of a parameter `inplace`, with which the first is changed
    fills: bool = False  # whether it puts arguments into its receiver, a container


UNKNOWN = Facts(shares="maybe", is_known=False)


@lru_cache(maxsize=MANY)
def function_facts(target: str) -> Facts:
    """Facts about the function "module:qualname"."""
    module, _, qualname = target.partition(":")
    name = qualname.rpartition(".")[2]
    if module == "operator":
        return _of_operator(name)
    if module == "builtins":
        if name in _PASSING:
            return Facts(shares="maybe")
        return Facts() if name in _SILENT else UNKNOWN
    if module in ("math", "cmath"):
        return Facts()
    if qualname.startswith("ops."):
        _, library, name, *_ = [*qualname.split("."), ""]
        return _of_schemas(f"{library}::{name}") or UNKNOWN
    if module.split(".")[0] == "torch":
        return _of_torch(module, qualname)
    return _of_class(module, qualname)


@lru_cache(maxsize=MANY)
def method_facts(name: str) -> Facts:
    """Facts about a method of a tensor, list, dict or text. The receiver has position 0."""
    if name.endswith("__") and is_augmented(name):
        return Facts(frozenset([0]), "always")
    if name in _CONTAINERS and not hasattr(Tensor, name):
        return Facts(shares="maybe", fills=name in _FILLING)
    if not hasattr(Tensor, name):
        return Facts() if name in _TEXTS else UNKNOWN
    found = _of_schemas(f"aten::{name}") or _by_calls(name)
    return Facts(found.writes, "maybe") if name in _CONTAINERS else found


@lru_cache(maxsize=MANY)
def attribute_shares(name: str) -> bool:
    """Whether an attribute of a tensor, or of anything else, may have its memory (`x.T`)."""
    if not hasattr(Tensor, name):
        return True  # a field of an object, which may hold any tensor
    if name in ("grad", "_base"):
        return False
    return shares_in_runs(_read(name), [((x,), {}) for x in samples()]) != "never"


def is_in_place(name: str) -> bool:
    """Whether a method, or a function of torch, changes its first argument, by its name alone:
    `add_` does, and `__iadd__`."""
    return is_augmented(name) or (name.endswith("_") and not name.endswith("__"))


def is_augmented(name: str) -> bool:
    """Whether a function of `operator`, or a method, is an assignment such as `+=` or `x[i] =`."""
    bare = name[2:-2] if name.endswith("__") else name
    return bare in _IN_PLACE or name == "__idiv__"


@lru_cache(maxsize=MANY)
def is_random(target: str) -> bool:
    """Whether a function, or (".name") a method of tensors, draws random numbers."""
    name = target.rpartition(":")[2].rpartition(".")[2]
    return name in _RANDOM_IN_PYTHON or any(
        torch.Tag.nondeterministic_seeded in overload.tags
        for overload in _overloads(f"aten::{name}")
    )


@lru_cache(maxsize=MANY)
def writes_lists(name: str) -> bool:
    """Whether an operator changes the tensors of a list that it is given."""
    return any(
        "List[Tensor]" in str(argument.type)
        and not argument.is_out
        and argument.alias_info is not None
        and argument.alias_info.is_write
        for overload in _overloads(f"aten::{name}")
        for argument in overload._schema.arguments
    )


def _of_operator(name: str) -> Facts:
    if is_augmented(name):
        return Facts(frozenset([0]), "always")
    return Facts(shares="maybe" if name in _PASSING else "never")


def _of_class(module: str, qualname: str) -> Facts:
    """Facts about a function or class of a library's, or of the user's: a tuple or a dataclass
    holds what it is given, and no more is known."""
    try:
        found: Any = import_module(module)
        for part in qualname.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return UNKNOWN
    if not isinstance(found, type):
        return UNKNOWN
    is_record = issubclass(found, tuple | list | dict) or hasattr(found, "__dataclass_fields__")
    return Facts(shares="maybe", is_known=is_record or issubclass(found, BaseException))


def _of_torch(module: str, qualname: str) -> Facts:
    name = qualname.rpartition(".")[2]
    inplace = None
    if module == "torch.nn.functional":
        parameters = _signature(qualname)
        inplace = [*parameters].index("inplace") if "inplace" in parameters else None
    found = _of_schemas(f"aten::{_FAMILIES.get(module, '')}{name}")
    if found is None and module == "torch.nn.functional":
        function = getattr(torch.nn.functional, name, None)
        wanted = [Parameter.of(p) for p in _signature(qualname).values()]
        found = Facts(shares=probed(function, wanted)) if function else None
    if found is None:
        found = Facts(shares="never" if qualname == "tensor" else "maybe")
    writes = found.writes | ({0} if is_in_place(name) else set())
    return Facts(writes, found.shares, inplace=inplace)


def _signature(name: str) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(getattr(torch.nn.functional, name)).parameters
    except (AttributeError, TypeError, ValueError):  # written in C
        return {}


# Schemas


def _of_schemas(name: str) -> Facts | None:
    """What all overloads of an operator of the dispatcher say together; None for no such one."""
    schemas = torch._C._jit_get_schemas_for_operator(name)
    if not schemas:
        return None
    changed = {key for schema in schemas for key in _written(schema)}
    outs = {a.name for schema in schemas for a in schema.arguments if a.is_out}
    if changed or is_in_place(name):
        return Facts(frozenset(changed | outs | {0}), "always")
    has_view = any(_has_view(schema) for schema in schemas)
    return Facts(frozenset(outs), "maybe" if has_view else _of_composite(name))


@lru_cache(maxsize=MANY)
def gives_unsaid_view(name: str) -> bool:
    """Whether an operator may give a view of an argument, though its schemas deny it."""
    schemas = torch._C._jit_get_schemas_for_operator(f"aten::{name}")
    if not schemas or any(map(_has_view, schemas)) or name in _CONTAINERS:
        return False
    return _of_composite(f"aten::{name}") != "never"


def _written(schema: Any) -> list[int | str]:
    """The arguments that an overload changes, other than those it is given for its results."""
    return [
        key
        for place, argument in enumerate(schema.arguments)
        if not argument.is_out and argument.alias_info is not None and argument.alias_info.is_write
        for key in (place, argument.name)
    ]


def _has_view(schema: Any) -> bool:
    """Whether a result is an argument, or a part of one."""
    return any(
        result.alias_info is not None and not result.alias_info.is_write
        for result in schema.returns
    )


def _of_composite(name: str) -> Sharing:
    """Whether an operator may share memory of which its schemas say nothing. One with a kernel of
    its own does not, but for a few; nor is it run here: some crash on arguments that do not fit."""
    short = name.partition("::")[2]
    if short in _UNSAID or name.startswith("aten::_"):
        return "maybe"
    found: list[Sharing] = []
    for overload in _overloads(name):
        full = f"{name}.{overload._overloadname}".removesuffix(".default")
        is_composite = torch._C._dispatch_has_kernel_for_dispatch_key(
            full, "CompositeImplicitAutograd"
        )
        wanted = _parameters(overload)
        is_functional = not any(a.is_out for a in overload._schema.arguments)
        tensors = sum("Tensor" in one.kind and "Optional" not in one.kind for one in wanted)
        if is_composite and is_functional and tensors:
            is_safe = tensors <= MOST
            found.append(probed(_bound(overload, name), wanted) if is_safe else "maybe")
    return "maybe" if any(sharing != "never" for sharing in found) else "never"


def _overloads(name: str) -> list[Any]:
    """The overloads that the dispatcher has of an operator."""
    library, _, short = name.partition("::")
    try:
        packet = getattr(getattr(torch.ops, library), short)
    except (AttributeError, RuntimeError):
        return []
    if not isinstance(packet, torch._ops.OpOverloadPacket):  # an attribute of the namespace itself
        return []
    names = packet.overloads()  # type: ignore[no-untyped-call]
    found = [getattr(packet, name) for name in names]
    return [one for one in found if torch._C._dispatch_has_kernel(one.name())]


@lru_cache(maxsize=MANY)
def always_shares(kind: Literal["function", "method"], target: str) -> bool:
    """Whether a call gives memory of its first argument, whatever that is: it writes it, or every
    run of a probe shares it."""
    facts = (function_facts if kind == "function" else method_facts)(target)
    if facts.shares != "maybe" or not facts.is_known:
        return facts.shares == "always"
    name = target.rpartition(":")[2].rpartition(".")[2]
    schema_name = f"aten::{name}"
    found = [
        probed(_bound(overload, schema_name), _parameters(overload))
        for overload in _overloads(schema_name)
    ]
    return bool(found) and all(sharing == "always" for sharing in found)


def _by_calls(name: str) -> Facts:
    """Facts about a method of tensors that is written in Python, or made by the binding: those
    that take no argument are run."""
    if is_in_place(name):
        return Facts(frozenset([0]), "always")
    if name in ("numpy", "__array__", "as_subclass", "type", "cuda"):
        return Facts(shares="maybe")
    kinds = [torch.zeros(2, dtype=dtype) for dtype in _DTYPES]
    return Facts(shares=shares_in_runs(lambda x: getattr(x, name)(), [((x,), {}) for x in kinds]))


def _parameters(overload: Any) -> list[Parameter]:
    return [Parameter.in_schema(argument) for argument in overload._schema.arguments]


def _bound(overload: Any, name: str) -> Callable[..., Any]:
    """The operator as Python calls it, where warnings become Python's."""
    short = name.partition("::")[2]
    for home in (torch._C._VariableFunctions, torch._C._nn, torch._C.TensorBase):
        if hasattr(home, short):
            found: Callable[..., Any] = getattr(home, short)
            return found
    return overload  # type: ignore[no-any-return]


def _read(name: str) -> Callable[[Tensor], Any]:
    return lambda x: getattr(x, name)
