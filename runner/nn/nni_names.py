"""Names that spaces written for NNI use (`nni.nas.nn.pytorch`, `nni.retiarii.nn.pytorch`)."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import torch.nn as torch_nn
from torch import nn

from runner.errors import SpaceError, SymbolicError, shown
from runner.nn.layer import LayerChoice, Placeholder, Reduction
from runner.nn.values.arguments import listed, titled
from runner.nn.values.build import current, label_scope, model_wrapper
from runner.nn.values.frames import users_line
from runner.nn.values.primitive import primitive
from runner.nn.values.value import FloatChoice, ValueChoice
from runner.space.choice import one_prior

T = TypeVar("T")
ChoiceOf = Annotated[T, "the value of a choice"]  # in our spaces, it is that value
MaybeChoice = Annotated[T, "a value, or that of a choice"]
MutationAnchor = Placeholder
ReductionType = Reduction

# Other names for what we have, in `torch.nn`.
ALIASES: Mapping[str, type] = {"ParametrizedModule": nn.Module}
# What we have no such thing for, and what to write instead.
INSTEAD: Mapping[str, str] = {
    "Categorical": "nn.ValueChoice(candidates, label=...)",
    "CategoricalMultiple": "nn.InputChoice(n, n_chosen, label=...)",
    "Mutable": "nn.Module; choices need no base class",
    "MutableModule": "nn.Module; choices need no base class",
    "NasBench101Cell": "nn.Cell, or experiment=nasbench201, which looks results up",
    "NasBench201Cell": "nn.Cell, or experiment=nasbench201, which looks results up",
    "Numerical": "nn.FloatChoice(low, high, label=...) or nn.IntChoice",
    "ValueChoiceX": "nn.Expression",
    "normal": "nn.FloatChoice(low, high, label=...), whose range is bounded",
    "qloguniform": "nn.IntChoice(low, high, log=True, label=...)",
    "qnormal": "nn.IntChoice(low, high, step=..., label=...), whose range is bounded",
    "quniform": "nn.IntChoice(low, high, step=..., label=...)",
    "randint": "nn.IntChoice(low, high, label=...), which includes high",
}


class ModelSpace(nn.Module):
    """A module whose subclasses are model spaces, as `nn.model_wrapper` declares them.

    `class Net(nn.ModelSpace, label_prefix="backbone")` prefixes the labels of all its choices.
    """

    def __init_subclass__(cls, label_prefix: str | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if label_prefix is not None:
            _prefix(cls, label_prefix)
        model_wrapper(cls)


def _prefix(cls: Any, label_prefix: str) -> None:
    """Makes the constructor of a class prefix the labels of choices."""
    init = cls.__init__

    @functools.wraps(init)
    def __init__(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        with label_scope(label_prefix):
            init(self, *args, **kwargs)

    cls.__init__ = __init__


def choice(label: str, choices: Sequence[Any]) -> Any:
    """Returns one of a list of values or of modules: a ValueChoice or a LayerChoice."""
    options = listed(choices, f"nn.choice({shown(label)}) has the choices")
    if any(isinstance(one, nn.Module) for one in options):
        return LayerChoice(options, label=label)
    return ValueChoice(options, label=label)


def uniform(label: str, low: float, high: float) -> Any:
    """Returns a float from `low` to `high`: a FloatChoice."""
    return FloatChoice(low, high, label=label)


def loguniform(label: str, low: float, high: float) -> Any:
    """Returns a float from `low` to `high`, drawn on a log scale: a FloatChoice."""
    return FloatChoice(low, high, log=True, label=label)


@primitive()
def ModelParameterChoice(
    candidates: Sequence[T],
    label: str | None = None,
    prior: Sequence[float] | None = None,
    *,
    default: T | Callable[[Sequence[T]], T] | None = None,
    weights: Sequence[float] | None = None,
) -> T:
    """Returns one of `candidates`, always as a plain value: a model whose `__init__` uses it is
    built for each sample.

    `default` is the candidate that the default model takes, or a function of the candidates that
    returns it; None: the first. Raises SymbolicError in a symbolic build, and SpaceError as
    ValueChoice does, or if the default is no candidate.
    """
    prior = one_prior(prior, weights, "ModelParameterChoice")
    if current().symbolic:
        raise SymbolicError(
            f"{users_line()}: nn.ModelParameterChoice always returns a plain value; this model is "
            "built for each sample. nn.ValueChoice can be symbolic."
        )
    options = listed(candidates, f"{titled('ModelParameterChoice', label)} has the candidates")
    if default is not None:
        first = default(options) if callable(default) else default
        if first not in options:
            raise SpaceError(
                f"nn.ModelParameterChoice has the default {shown(first)}; its candidates are "
                f"{options}."
            )
        place = options.index(first)
        order = [place, *(i for i in range(len(options)) if i != place)]
        options = [options[i] for i in order]
        if prior is not None and len(prior) == len(order):
            prior = [prior[i] for i in order]
    value = ValueChoice(options, label, prior)
    return value() if callable(value) else value  # type: ignore[no-any-return]


def found_name(name: str) -> Any:
    """Returns what a name of NNI stands for that is no name of ours: `MutableLinear` is Linear.
    Raises AttributeError, which says what to write instead if there is something."""
    plain = name.removeprefix("Mutable")
    if name in ALIASES:
        return ALIASES[name]
    if name in INSTEAD:
        raise AttributeError(f"There is no nn.{name} here; write {INSTEAD[name]}.")
    if plain != name and isinstance(found := getattr(torch_nn, plain, None), type):
        return found
    return getattr(torch_nn, name)
