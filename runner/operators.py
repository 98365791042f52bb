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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from operator import attrgetter
from types import FunctionType
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional, init

from runner.probing import (
    ProbedParameter,
    ProbingRun,
    Sharing,
    count_tensors,
    probed,
    probed_overload,
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
_TIMELESS = _names(  # of both: the result does not depend on the contents of memory
    "isinstance range type slice is_ is_not"
)
_ACTING = _names(  # of builtins, and of torch: change a state
    "print iter next filter manual_seed seed set_rng_state set_grad_enabled set_default_dtype"
    " save backward register_hook retain_grad"
)
CHANGES_CONTAINER = _names(  # methods
    "append extend insert pop popitem clear remove sort reverse update setdefault"
)
_FILLING = _names("append extend insert update setdefault")
_OF_CONTAINERS = frozenset(n for cls in (list, dict, tuple) for n in dir(cls) if n[0] != "_")
_OF_TENSORS = frozenset(dir(Tensor))
_UNSAID = _names(  # have a kernel that shares memory although the schema denies it
    "unsafe_split unsafe_split_with_sizes lift native_dropout channel_shuffle set dequantize"
)
_INITIALIZERS = frozenset(name for name in dir(init) if name[0] != "_" and name[-1] == "_")
_RANDOM_INITIALIZERS = _names(  # in Python, of timm
    "trunc_normal_tf_ variance_scaling_ lecun_normal_ lecun_uniform_"
).union(n for n in _INITIALIZERS if "generator" in inspect.signature(vars(init)[n]).parameters)
_RANDOM_IN_PYTHON = _RANDOM_INITIALIZERS | _names(  # not operators, hence without tags
    "dropout1d dropout2d dropout3d gumbel_softmax multi_head_attention_forward"
    " fractional_max_pool2d fractional_max_pool2d_with_indices"
    " fractional_max_pool3d fractional_max_pool3d_with_indices pca_lowrank svd_lowrank"
)
_OVERWRITING = (_INITIALIZERS | _RANDOM_INITIALIZERS) | _names(
    "zero_ fill_ copy_ random_ bernoulli_ exponential_ geometric_ log_normal_ cauchy_"
)
_STATISTICS = ("running_mean", "running_var")  # are updated, though no schema says so
_RENAMED = {"torch.nn.functional:unfold": "im2col"}  # functions that call another operator
FAMILIES = {"torch.linalg": "linalg_", "torch.fft": "fft_", "torch.special": "special_"}
_LIBRARIES = ("torch", "operator", "builtins", "math", "cmath")
_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.complex64,
           torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)  # fmt: skip


@final
@dataclass(frozen=True, slots=True)
class WritingSwitch:
    """A parameter of a function in Python that makes it modify an argument in place."""

    name: str
    position: int | None  # None: passed by name alone
    writes: frozenset[int | str]  # the parameter that is modified, by position and by name
    returns: bool = True  # whether the result is what is modified

    def is_on(self, given: Mapping[Any, Any]) -> bool:
        """Returns whether a call with these arguments, by position and by name, modifies it."""
        value = given.get(self.name, given.get(self.position))
        return value is not None and value is not False


@final
@dataclass(frozen=True, slots=True)
class Facts:
    """The effects of a call on memory.

    - `writes`: the parameters that are modified in place, by position and by name; those that are
      modified only if they are passed (`out`) by name alone.
    - `shares`: whether a result shares memory with an argument.
    - `is_known`: False for unknown code, which may do anything.
    - `switches`: the parameters that make it modify an argument: `inplace`.
    - `fills`: whether it stores arguments in its receiver, a container.
    """

    writes: frozenset[int | str] = frozenset()
    shares: Sharing = "never"
    is_known: bool = True
    switches: tuple[WritingSwitch, ...] = ()
    fills: bool = False

    @property
    def always_writes(self) -> bool:
        """Whether an argument is modified in every call."""
        return any(isinstance(key, int) for key in self.writes)


NEW = Facts()
PASSES = Facts(shares="maybe")
WRITES_FIRST = Facts(frozenset([0]), "always")
_BY_CUSTOM = WritingSwitch("inplace", None, frozenset([0]))
UNKNOWN = Facts(shares="maybe", is_known=False, switches=(_BY_CUSTOM,))


def function_facts(target: str) -> Facts:
    """Returns the facts about a function "module:qualname"."""
    if known := _facts_by_name(target):
        return known
    if kernel := _registered(target):  # of a library, which can define it anew
        return _of_schemas(kernel) or UNKNOWN
    is_of_module = bool(target.partition(":")[0])  # others are functions of a graph
    return _of_object(target) if is_of_module else UNKNOWN


def _registered(target: str) -> str:
    """Returns the name "library::name" for a target below `torch.ops`; "" for any other."""
    _, _, path = target.partition(":ops.")
    library, _, name = path.partition(".")
    return f"{library}::{name.partition('.')[0]}" if path else ""


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
    if kernel := _registered(target):
        return _of_schemas(kernel) if kernel.startswith("aten::") else None
    if module.split(".")[0] == "torch":
        return _of_torch(module, qualname, name)
    return None


@lru_cache(maxsize=MANY)
def method_facts(name: str) -> Facts:
    """Returns the facts about a method of a tensor, container or string; the receiver is at 0."""
    if name.endswith("__") and is_augmented(name):
        return WRITES_FIRST
    if name not in _OF_TENSORS:
        if name in _OF_CONTAINERS:
            return Facts(shares="maybe", fills=name in _FILLING)
        return NEW if hasattr(str, name) and name[0] != "_" else UNKNOWN
    found = _of_schemas(f"aten::{name}") or _by_calls(name)
    return Facts(found.writes, "maybe") if name in _OF_CONTAINERS else found


@lru_cache(maxsize=MANY)
def attribute_shares(name: str) -> bool:
    """Returns whether an attribute of a tensor or other object may share its memory (`x.T`)."""
    if name not in _OF_TENSORS:
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


def acts(target: str) -> bool:
    """Returns whether a function, or (".name") a method, does more than compute a result: it may
    write, draw random numbers, print or change a state. Unknown code is assumed to."""
    name = short_name(target)
    if target[0] == ".":
        facts, is_listed = method_facts(name), name in _ACTING or name in CHANGES_CONTAINER
    elif target.partition(":")[0].partition(".")[0] in _LIBRARIES:
        facts, is_listed = function_facts(target), name in _ACTING
    else:
        return True
    return is_listed or not facts.is_known or facts.always_writes or is_random(target)


def is_pure(target: str) -> bool:
    """Returns whether the result of a function depends only on numbers and on the identities and
    types of objects, not on the contents of memory."""
    module, name = target.partition(":")[0], short_name(target)
    return module in ("math", "cmath") or (module in ("operator", "builtins") and name in _TIMELESS)


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
        for overload in overloads_of(f"aten::{name}")
    )


@lru_cache(maxsize=MANY)
def writes_lists(name: str) -> bool:
    """Returns whether an operator modifies the tensors of a list argument."""
    arguments = [a for one in overloads_of(f"aten::{name}") for a in one._schema.arguments]
    return any(_is_written(a) and "List[Tensor]" in str(a.type) for a in arguments)


@lru_cache(maxsize=MANY)
def gives_unsaid_view(name: str) -> bool:
    """Returns whether an operator may return a view of an argument though its schemas deny it."""
    if any(map(_has_view, _schemas(f"aten::{name}"))) or name in _OF_CONTAINERS:
        return False
    found = _of_schemas(f"aten::{name}")
    return found is not None and not found.always_writes and found.shares != "never"


def short_name(target: str) -> str:
    """Returns the last part of a name: "add_" for ".add_", "torch:add_", "torch:Tensor.add_"."""
    return target.rpartition(":")[2].rpartition(".")[2]


def _of_torch(module: str, qualname: str, name: str) -> Facts | None:
    """Returns the facts about a function of torch; None for no operator that cannot be tried."""
    function = getattr(functional, qualname, None) if module == "torch.nn.functional" else None
    parameters = _parameters(function)
    kernel = _RENAMED.get(f"{module}:{name}", FAMILIES.get(module, "") + name)
    found = _of_schemas(f"aten::{kernel}")
    if found is None and function is not None:
        wanted = [ProbedParameter.of(parameter) for parameter in parameters]
        found = Facts(shares=probed(function, wanted))
    if found is None and is_in_place(name):
        found = WRITES_FIRST
    if found is None:
        return NEW if qualname == "tensor" else None
    writes = found.writes
    if parameters:  # in another order than those of the operator
        places = {parameter.name: place for place, parameter in enumerate(parameters)}
        named = [key for key in writes if isinstance(key, str)]
        writes = frozenset([*named, *(places[name] for name in named if name in places)])
    first = {0} if is_in_place(name) else set()
    return Facts(writes | first, found.shares, switches=tuple(_switches(parameters)))


def _switches(parameters: Sequence[inspect.Parameter]) -> Iterator[WritingSwitch]:
    """Yields the switches among the parameters of a function of torch.nn.functional."""
    for position, parameter in enumerate(parameters):
        changed = {"inplace": 0, "max_norm": 1, "out": position}.get(parameter.name)
        if changed is not None:
            writes: frozenset[int | str] = frozenset([changed, parameters[changed].name])
            returns = parameter.name != "max_norm"
            yield WritingSwitch(parameter.name, position, writes, returns)


def _parameters(function: Callable[..., Any] | None) -> list[inspect.Parameter]:
    """Returns the parameters of a function that is written in Python; of others, none."""
    try:
        return [*inspect.signature(function).parameters.values()] if function else []
    except (TypeError, ValueError):
        return []


def _of_object(target: str) -> Facts:
    """Returns the facts about a function or class that is no operator: functions in Python are
    unknown code, but classes of torch, and tuples, lists, dicts, dataclasses and exceptions of any
    library, only hold their arguments."""
    module, _, qualname = target.partition(":")
    try:
        found = attrgetter(qualname)(import_module(module))
    except (ImportError, AttributeError):
        return UNKNOWN
    if module.partition(".")[0] == "torch":
        return UNKNOWN if isinstance(found, FunctionType) else PASSES
    if not isinstance(found, type):
        return UNKNOWN
    is_record = issubclass(found, tuple | list | dict) or hasattr(found, "__dataclass_fields__")
    return Facts(shares="maybe", is_known=is_record or issubclass(found, BaseException))


def _by_calls(name: str) -> Facts:
    """Returns the facts about a tensor method without a schema (written in Python, or a binding),
    by calling it without arguments."""
    if is_in_place(name) or name == "module_load":
        return WRITES_FIRST
    if name in ("numpy", "__array__", "as_subclass", "type", "cuda"):
        return PASSES
    runs: list[ProbingRun] = [((torch.zeros(2, dtype=dtype),), {}) for dtype in _DTYPES]
    return Facts(shares=shares_in_runs(lambda x: getattr(x, name)(), runs))


# Schemas


def _of_schemas(name: str) -> Facts | None:
    """Returns the union of the facts about all overloads of an operator "library::name"; None if
    there is no such operator."""
    schemas = _schemas(name)
    if not schemas:
        return None
    numbered = [pair for schema in schemas for pair in enumerate(schema.arguments)]
    outs = {argument.name for _, argument in numbered if argument.is_out}
    changed = {key for i, one in numbered if _is_written(one) for key in (i, one.name)}
    if is_in_place(name.partition("::")[2]):
        return Facts(frozenset(changed | outs | {0}), "always")
    shares = _sharing(name, is_declared=any(map(_has_view, schemas)))
    return Facts(frozenset(changed | outs), shares)


def _schemas(name: str) -> list[Any]:
    """Returns the schemas of the overloads of an operator that have a kernel. Those of TorchScript
    alone count if there are no others (`cpu`), and if they do not write lists (`append`)."""
    if overloads := overloads_of(name):
        return [overload._schema for overload in overloads]
    return [
        schema
        for schema in torch._C._jit_get_schemas_for_operator(name)
        if all(str(one.type) == "Tensor" for one in schema.arguments if _is_written(one))
    ]


def _is_written(argument: Any) -> bool:
    """Returns whether an overload modifies an argument other than `out`, or may do so in training
    mode."""
    alias = argument.alias_info
    is_declared = not argument.is_out and alias is not None and bool(alias.is_write)
    return is_declared or argument.name in _STATISTICS


def _has_view(schema: Any) -> bool:
    """Returns whether a result is an argument or a view of one."""
    aliases = [result.alias_info for result in schema.returns]
    return any(alias is not None and not alias.is_write for alias in aliases)


def _sharing(name: str, *, is_declared: bool) -> Sharing:
    """Returns whether results of an operator share memory with arguments; `is_declared` if its
    schemas say that they may. With few exceptions, others that do are composites; the rest is not
    run, as some crash on invalid arguments."""
    if name.partition("::")[2] in _UNSAID or name.startswith("aten::_"):
        return "maybe"
    overloads = [one for one in overloads_of(name) if not _has_out(one)]
    composites = [one for one in overloads if _is_composite(one) and count_tensors(one)]
    if not is_declared and all(probed_overload(one) == "never" for one in composites):
        return "never"
    is_sure = bool(overloads) and all(probed_overload(one) == "always" for one in overloads)
    return "always" if is_sure else "maybe"


def _is_composite(overload: Any) -> bool:
    """Returns whether an overload is composed of other operators."""
    key = "CompositeImplicitAutograd"
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(overload.name(), key))


def _has_out(overload: Any) -> bool:
    return any(argument.is_out for argument in overload._schema.arguments)


def overloads_of(name: str) -> list[Any]:
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
