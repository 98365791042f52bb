"""Captions: the kinds of layers, and short labels for the boxes of a picture."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from runner.errors import GraphError
from runner.graph.ir.node import Argument
from runner.graph.ir.signature import argument
from runner.graph.ir.unit import Call, Ref, Unit
from runner.nn.values.expression import Expression, variables_in
from runner.python_operators import AUGMENTED

KINDS: Mapping[str, str] = {
    "conv": r"conv",
    "norm": r"norm",
    "attention": r"attention|attn|transformer|scaled_dot",
    "pooling": r"pool|interpolate|upsample|^mean$",
    "linear": r"linear|embedding|lstm|gru|rnn|matmul|bmm|einsum",
    "activation": r"relu|gelu|silu|swish|mish|elu$|sigmoid|tanh|softmax|softplus|softsign|shrink"
    r"|glu|^activation|dropout|droppath",
}
TIMES, MINUS = "\u00d7", "\u2212"
_SIGNS = {"add": "+", "sub": MINUS, "mul": TIMES, "truediv": "÷", "matmul": "@"}
MERGES: Mapping[str, str] = {
    **_SIGNS,
    **{name: _SIGNS[found.name] for name, found in AUGMENTED.items() if found.name in _SIGNS},
    "div": "÷", "cat": "cat", "concat": "cat", "stack": "stack",
}  # fmt: skip


def kind_of(name: str) -> str:
    """Returns the kind of layer that the name of a class or function suggests."""
    lower = name.lower()
    return next((kind for kind, sign in KINDS.items() if re.search(sign, lower)), "other")


def signature_of(unit: Unit) -> str:
    """Returns the constructor call of a unit; its name if the call is unknown."""
    if unit.call is None:
        return unit.name
    given = [_written(a) for a in unit.call.args]
    given += [f"{name}={_written(a)}" for name, a in unit.call.kwargs.items()]
    return f"{unit.name}({', '.join(given)})"


def _written(thing: Argument) -> str:
    if isinstance(thing, Ref):
        return thing.name
    if isinstance(thing, Call):
        return f"{thing.target.rpartition(':')[2]}(…)"
    return repr(thing)


def title_of(unit: Unit, path: str) -> str:
    """Returns the title of a frame: the last part of the path, the class, and any choices."""
    name = path.rpartition(".")[2]
    shown = unit.name + (f" {label}" if (label := _labels(unit)) else "")
    return f"{name} · {shown}" if name else shown


def _labels(unit: Unit) -> str:
    choice = unit.facts.get("choice")
    labels = unit.facts.get("labels", ()) if choice is None else (choice.label,)
    return ", ".join(labels) if len(labels) < 3 else f"({len(labels)} choices)"


def label_of(unit: Unit) -> str:
    """Returns a label of a unit that is short enough for a box."""
    write = next((w for sign, w in _SHORT.items() if re.match(sign, unit.name)), None)
    if unit.call is not None and write is not None:
        try:
            return f"{unit.name} {write(unit.call)}".rstrip()
        except (GraphError, TypeError, ValueError, IndexError):
            return unit.name
    return title_of(unit, "") if unit.grade == "symbolic" else unit.name


def _conv(call: Call) -> str:
    inp, out, kernel, stride, groups = (
        argument(call, name)
        for name in ("in_channels", "out_channels", "kernel_size", "stride", "groups")
    )
    text = f"{_times(kernel)}, {_term(inp)}→{_term(out)}"
    text += f", /{_once(stride)}" if _once(stride) != "1" else ""
    return text + (f", groups {_term(groups)}" if _term(groups) != "1" else "")


def _linear(call: Call) -> str:
    names = [("in_features", "out_features"), ("num_embeddings", "embedding_dim"),
             ("input_size", "hidden_size")]  # fmt: skip
    for pair in names:
        try:
            return "→".join(_term(argument(call, name)) for name in pair)
        except GraphError:
            continue
    return ""


def _first(call: Call) -> str:
    values = [*call.args, *call.kwargs.values()][:1]
    return ", ".join(_times(v) if isinstance(v, tuple | list) else _term(v) for v in values)


def _pool(call: Call) -> str:
    text = _first(call)
    stride = call.kwargs.get("stride", call.args[1] if len(call.args) > 1 else None)
    return text + (f", /{_once(stride)}" if stride is not None else "")


_SHORT: Mapping[str, Callable[[Call], str]] = {
    r"(Lazy)?Conv": _conv,
    r"(Lazy)?Linear|Embedding|LSTM|GRU|RNN": _linear,
    r".*Norm|Dropout|DropPath": _first,
    r"(Max|Avg|LP)Pool|Adaptive.*Pool": _pool,
}


def _plain(value: Argument) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _once(value: Argument) -> str:
    """Returns a number or several, written once if all are equal."""
    items = [_term(item) for item in _plain(value)]
    return items[0] if len({*items}) == 1 else TIMES.join(items)


def _times(value: Argument) -> str:
    items = [_term(item) for item in _plain(value)]
    return TIMES.join(items * 2 if len(items) == 1 and isinstance(value, int) else items)


def _term(value: Argument) -> str:
    return repr(value) if isinstance(value, Expression) else str(value)


def candidates_of(unit: Unit) -> str:
    """Returns the symbolic choices in the constructor call and the facts of a unit, as text."""
    facts = [f for f in unit.facts.values() if isinstance(f, Expression)]
    call = (unit.call.args, {**unit.call.kwargs}) if unit.call else ()
    choices = {v.choice.label: v.choice for v in variables_in((facts, call))}
    return "; ".join(f"{label}: {choice}" for label, choice in choices.items())
