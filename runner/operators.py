"""Operator facts: in-place writes, aliasing and randomness of each operator, derived from torch.

The schema of an operator declares the arguments it writes (`alias_info.is_write`) and the results
that are views of arguments; a tag declares randomness. Schemas of composites are incomplete
(`atleast_2d`, `dropout`, `unsafe_chunk`): those are run on small tensors of several layouts, and
the storages of results and arguments are compared. If neither is conclusive, memory is assumed to
be shared: a redundant copy is harmless, a missing one is not.

Functions are named "module:qualname", methods by name alone. The tables below cover `operator`,
`builtins`, and functions of torch that are written in Python.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from operator import attrgetter
from typing import Any, Literal, final

import torch
from torch import Tensor
from torch.nn import functional, init

from runner.probing import (
    MOST,
    ProbedParameter,
    ProbingRun,
    Sharing,
    probed,
    samples,
    shares_in_runs,
)
from runner.python_operators import AUGMENTED

MANY = 4096


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ASSIGNMENTS = {*AUGMENTED, *_names("idiv iconcat setitem delitem")}
IN_PLACE_METHODS: Mapping[str, str] = {  # of tensors, for functions of `operator`
    "iadd": "add_", "isub": "sub_", "imul": "mul_", "itruediv": "div_",
    "ifloordiv": "floor_divide_", "imod": "remainder_", "ipow": "pow_", "iand": "bitwise_and_",
    "ior": "bitwise_or_", "ixor": "bitwise_xor_",
}  # fmt: skip
_PASSING = _names(  # of builtins and operator: may return an argument or an item of one
    "list tuple dict set zip enumerate sorted reversed iter next min max getattr filter getitem pos"
    " itemgetter"
)
_FRESH = _names(  # of builtins: the result does not alias arguments
    "len int float bool str complex isinstance issubclass range slice type hasattr repr print hash"
    " any all sum abs round pow divmod ord chr bin hex oct format id callable"
)
_ACTING = _names("print iter next filter")  # of both: have side effects
CHANGES_CONTAINER = _names(  # methods
    "append extend insert pop popitem clear remove sort reverse update setdefault"
)
_FILLING = _names("append extend insert update setdefault add")
_OF_CONTAINERS = frozenset(n for cls in (list, dict, tuple, set) for n in dir(cls) if n[0] != "_")
_UNSAID = _names(  # have a kernel that shares memory although the schema denies it
    "unsafe_split unsafe_split_with_sizes lift native_dropout channel_shuffle set"
)
_INITIALIZERS = frozenset(name for name in dir(init) if name[0] != "_" and name[-1] == "_")
_RANDOM_INITIALIZERS = _names(  # in Python, of timm
    "trunc_normal_tf_ variance_scaling_ lecun_normal_ lecun_uniform_"
).union(n for n in _INITIALIZERS if "generator" in inspect.signature(vars(init)[n]).parameters)
_RANDOM_IN_PYTHON = _RANDOM_INITIALIZERS | _names(  # not operators, hence without tags
    "dropout1d dropout2d dropout3d gumbel_softmax multi_head_attention_forward"
    " fractional_max_pool2d fractional_max_pool2d_with_indices"
    " fractional_max_pool3d fractional_max_pool3d_with_indices"
)
_OVERWRITING = (_INITIALIZERS | _RANDOM_INITIALIZERS) | _names(
    "zero_ fill_ copy_ random_ bernoulli_ exponential_ geometric_ log_normal_ cauchy_"
)
_FAMILIES = {"torch.linalg": "linalg_", "torch.fft": "fft_", "torch.special": "special_"}
_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64,
           torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)  # fmt: skip


@final
@dataclass(frozen=True, slots=True)
class Facts:
    """The effects of a call on memory.

    - `writes`: the parameters that are modified in place, by position and by name.
    - `shares`: whether a result may share memory with an argument.
    - `is_known`: False for unknown code, which may do anything.
    - `inplace`: the position of a parameter `inplace`; if that is true, the first is modified.
    - `fills`: whether it stores arguments in its receiver, a container.
    """

    writes: frozenset[int | str] = frozenset()
    shares: Sharing = "never"
    is_known: bool = True
    inplace: int | None = None
    fills: bool = False


NEW = Facts()
PASSES = Facts(shares="maybe")
WRITES_FIRST = Facts(frozenset([0]), "always")
UNKNOWN = Facts(shares="maybe", is_known=False)


def function_facts(target: str) -> Facts:
    """Returns the facts about a function "module:qualname"."""
    known = _facts_by_name(target)
    return _of_class(target) if known is None else known


@lru_cache(maxsize=MANY)
def _facts_by_name(target: str) -> Facts | None:
    """Returns the facts about a function of Python or torch; None for any other."""
    module, _, qualname = target.partition(":")
    name = short_name(target)
    if module == "operator":
        return WRITES_FIRST if is_augmented(name) else PASSES if name in _PASSING else NEW
    if module == "builtins":
        return PASSES if name in _PASSING else NEW if name in _FRESH else UNKNOWN
    if module in ("math", "cmath"):
        return NEW
    if qualname.startswith("ops."):
        _, library, name, *_ = [*qualname.split("."), ""]
        return _of_schemas(f"{library}::{name}") or UNKNOWN
    if module.split(".")[0] == "torch":
        return _of_torch(module, qualname, name)
    return None


@lru_cache(maxsize=MANY)
def method_facts(name: str) -> Facts:
    """Returns the facts about a method of a tensor, container or string; the receiver is at 0."""
    if name.endswith("__") and is_augmented(name):
        return WRITES_FIRST
    if not hasattr(Tensor, name):
        if name in _OF_CONTAINERS:
            return Facts(shares="maybe", fills=name in _FILLING)
        return NEW if hasattr(str, name) and name[0] != "_" else UNKNOWN
    found = _of_schemas(f"aten::{name}") or _by_calls(name)
    return Facts(found.writes, "maybe") if name in _OF_CONTAINERS else found


@lru_cache(maxsize=MANY)
def attribute_shares(name: str) -> bool:
    """Returns whether an attribute of a tensor or other object may share its memory (`x.T`)."""
    if not hasattr(Tensor, name):
        return True  # a field of an object, which may hold any tensor
    if name in ("grad", "_base"):
        return False
    return shares_in_runs(attrgetter(name), [((x,), {}) for x in samples()]) != "never"


def is_in_place(name: str) -> bool:
    """Returns whether a method or torch function modifies its first argument, judging by its name
    alone: `add_` and `__iadd__` do."""
    return is_augmented(name) or (name.endswith("_") and not name.endswith("__"))


def is_augmented(name: str) -> bool:
    """Returns whether a function of `operator` or a method implements an augmented or item
    assignment (`+=`, `x[i] =`)."""
    return name.strip("_") in _ASSIGNMENTS and name.startswith("__") == name.endswith("__")


def acts(builtin: str) -> bool:
    """Returns whether a builtin has side effects, as `print` does; unknown ones are assumed to have
    some."""
    return builtin in _ACTING or builtin not in _PASSING | _FRESH


def overwrites(target: str) -> bool:
    """Returns whether a call overwrites all values of its first argument, as `zero_` and the
    functions of `torch.nn.init` do."""
    return short_name(target) in _OVERWRITING


@lru_cache(maxsize=MANY)
def is_random(target: str) -> bool:
    """Returns whether a function, or (".name") a method of tensors, draws random numbers."""
    name = short_name(target)
    return name in _RANDOM_IN_PYTHON or any(
        torch.Tag.nondeterministic_seeded in overload.tags
        for overload in _overloads(f"aten::{name}")
    )


@lru_cache(maxsize=MANY)
def writes_tensors(name: str) -> bool:
    """Returns whether a torch function modifies a tensor argument other than `out`, by its schemas:
    `fused_moving_avg_obs_fake_quant` does, whose name does not tell."""
    return not _written_types(name).isdisjoint(["Tensor", "Optional[Tensor]"])


@lru_cache(maxsize=MANY)
def writes_lists(name: str) -> bool:
    """Returns whether an operator modifies the tensors of a list argument."""
    return any("List[Tensor]" in kind for kind in _written_types(name))


@lru_cache(maxsize=MANY)
def gives_unsaid_view(name: str) -> bool:
    """Returns whether an operator may return a view of an argument though its schemas deny it."""
    schemas = torch._C._jit_get_schemas_for_operator(f"aten::{name}")
    if not schemas or any(map(_has_view, schemas)) or name in _OF_CONTAINERS:
        return False
    return _of_composite(f"aten::{name}") != "never"


def always_shares(kind: Literal["function", "method"], target: str) -> bool:
    """Returns whether the result of a call always shares memory with an argument: the call writes
    its first one, or all probing runs share memory."""
    facts = (function_facts if kind == "function" else method_facts)(target)
    name = short_name(target)
    if facts.shares != "maybe" or not facts.is_known or name.startswith("_"):
        return facts.shares == "always"
    return _all_share(name)


@lru_cache(maxsize=MANY)
def _all_share(name: str) -> bool:
    """Returns whether all probing runs of an operator share memory."""
    found = [_probed(overload) for overload in _overloads(f"aten::{name}")]
    return bool(found) and all(sharing == "always" for sharing in found)


def short_name(target: str) -> str:
    """Returns the last part of a name: "add_" for ".add_", "torch:add_", "torch:Tensor.add_"."""
    return target.rpartition(":")[2].rpartition(".")[2]


def _of_torch(module: str, qualname: str, name: str) -> Facts:
    function = getattr(functional, qualname, None) if module == "torch.nn.functional" else None
    try:
        parameters = inspect.signature(function).parameters if function else {}
    except (TypeError, ValueError):  # written in C
        parameters = {}
    found = _of_schemas(f"aten::{_FAMILIES.get(module, '')}{name}")
    if found is None and function is not None:
        wanted = [ProbedParameter.of(parameter) for parameter in parameters.values()]
        found = Facts(shares=probed(function, wanted))
    if found is None:
        found = NEW if qualname == "tensor" else PASSES
    inplace = [*parameters].index("inplace") if "inplace" in parameters else None
    return Facts(
        found.writes | ({0} if is_in_place(name) else set()), found.shares, inplace=inplace
    )


def _of_class(target: str) -> Facts:
    """Returns the facts about a library's or user's function or class: known are only tuples,
    lists, dicts and dataclasses, which hold their arguments, and exceptions."""
    module, _, qualname = target.partition(":")
    try:
        found = attrgetter(qualname)(import_module(module))
    except (ImportError, AttributeError):
        return UNKNOWN
    if not isinstance(found, type):
        return UNKNOWN
    is_record = issubclass(found, tuple | list | dict) or hasattr(found, "__dataclass_fields__")
    return Facts(shares="maybe", is_known=is_record or issubclass(found, BaseException))


def _by_calls(name: str) -> Facts:
    """Returns the facts about a tensor method without a schema (written in Python, or a binding),
    by calling it without arguments."""
    if is_in_place(name):
        return WRITES_FIRST
    if name in ("numpy", "__array__", "as_subclass", "type", "cuda"):
        return PASSES
    runs: list[ProbingRun] = [((torch.zeros(2, dtype=dtype),), {}) for dtype in _DTYPES]
    return Facts(shares=shares_in_runs(lambda x: getattr(x, name)(), runs))


# Schemas


def _of_schemas(name: str) -> Facts | None:
    """Returns the union of the facts about all overloads of an operator "library::name"; None if
    there is no such operator."""
    schemas = torch._C._jit_get_schemas_for_operator(name)
    if not schemas:
        return None
    numbered = [pair for schema in schemas for pair in enumerate(schema.arguments)]
    outs = {argument.name for _, argument in numbered if argument.is_out}
    changed = {key for i, one in numbered if _is_written(one) for key in (i, one.name)}
    if changed or is_in_place(name):
        return Facts(frozenset(changed | outs | {0}), "always")
    has_view = any(map(_has_view, schemas))
    return Facts(frozenset(outs), "maybe" if has_view else _of_composite(name))


def _written_types(name: str) -> frozenset[str]:
    """Returns the types of the arguments that an overload of a torch operator modifies."""
    return frozenset(
        str(argument.type)
        for overload in _overloads(f"aten::{name}")
        for argument in overload._schema.arguments
        if _is_written(argument)
    )


def _is_written(argument: Any) -> bool:
    """Returns whether an overload modifies an argument other than `out`."""
    alias = argument.alias_info
    return not argument.is_out and alias is not None and bool(alias.is_write)


def _has_view(schema: Any) -> bool:
    """Returns whether a result is an argument or a view of one."""
    aliases = [result.alias_info for result in schema.returns]
    return any(alias is not None and not alias.is_write for alias in aliases)


def _of_composite(name: str) -> Sharing:
    """Returns whether an operator may share memory although its schemas do not say so. With few
    exceptions, only composites do; others are not run, as some crash on invalid arguments."""
    if name.partition("::")[2] in _UNSAID or name.startswith("aten::_"):
        return "maybe"
    composites = [one for one in _overloads(name) if _is_composite(one) and _tensors(one)]
    return "maybe" if any(_probed(one) != "never" for one in composites) else "never"


def _is_composite(overload: Any) -> bool:
    """Returns whether an overload is composed of other operators and has no `out` argument."""
    return torch._C._dispatch_has_kernel_for_dispatch_key(
        overload.name(), "CompositeImplicitAutograd"
    ) and not any(argument.is_out for argument in overload._schema.arguments)


def _overloads(name: str) -> list[Any]:
    """Returns the overloads of an operator that have a kernel."""
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


def _probed(overload: Any) -> Sharing:
    """Returns how an overload shares memory in probing runs; "maybe" for more than MOST tensors."""
    if _tensors(overload) > MOST:
        return "maybe"
    wanted = [ProbedParameter.in_schema(argument) for argument in overload._schema.arguments]
    return probed(_bound(overload), wanted)


def _tensors(overload: Any) -> int:
    """Returns the number of required tensor arguments of an overload."""
    kinds = [str(argument.type) for argument in overload._schema.arguments]
    return sum("Tensor" in kind and "Optional" not in kind for kind in kinds)


def _bound(overload: Any) -> Callable[..., Any]:
    """Returns the Python binding of an operator, which turns warnings of torch into Python's."""
    name = overload._schema.name.partition("::")[2]
    homes = (torch._C._VariableFunctions, torch._C._nn, torch._C.TensorBase)
    found: Callable[..., Any] = overload
    return next((getattr(home, name) for home in homes if hasattr(home, name)), found)
