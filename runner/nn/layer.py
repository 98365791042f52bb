"""Choices of modules and of their inputs: LayerChoice, InputChoice, Repeat, Placeholder."""

import copy
import inspect
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence, Set, Sized
from functools import partial
from typing import Any, ClassVar, Literal, final

import torch
from torch import Tensor, nn

from runner.errors import SpaceError, shown
from runner.nn.input_prior import input_prior
from runner.nn.symbolic_modules import Described, OpenLayer, OpenRepeat, depths_of
from runner.nn.values.arguments import check_one_of, titled, whole
from runner.nn.values.build import Build, current
from runner.nn.values.expression import Expression, Variable
from runner.nn.values.primitive import primitive
from runner.space.choice import Categorical, Numeric, Subset, one_prior, weights_of

Maker = Callable[..., nn.Module]
LayerCandidates = Sequence[nn.Module | Maker] | Mapping[str, nn.Module | Maker]
Reduction = Literal["sum", "mean", "concat", "none"]


def candidates_of(given: LayerCandidates, where: str) -> dict[Any, nn.Module | Maker]:
    """Returns candidates by their value in a sample: the key in a mapping, the index in a list.
    Raises SpaceError, which names `where`, for anything but modules and factories of modules."""
    if isinstance(given, nn.ModuleList | nn.ModuleDict):
        given = [*given] if isinstance(given, nn.ModuleList) else dict(given.items())
    if isinstance(given, nn.Module | str | bytes | set | frozenset) or not isinstance(
        given, Mapping | Iterable
    ):
        raise SpaceError(
            f"{where}: its candidates are {shown(given)}; give a list or a dict of modules, or of "
            "factories of modules."
        )
    found = dict(given) if isinstance(given, Mapping) else dict(enumerate(given))
    for key, candidate in found.items():
        if not isinstance(key, str | int):
            raise SpaceError(f"{where}: a candidate has the key {shown(key)}; keys are strings or "
                             "whole numbers.")  # fmt: skip
        check_candidate(candidate, f"{where}: candidate {key!r}")
    return found


_RULE = "a candidate must be a module, or return one."


def check_candidate(candidate: object, what: str) -> None:
    """Raises SpaceError for what is neither a module nor a factory of modules."""
    if not isinstance(candidate, nn.Module) and not callable(candidate):
        raise SpaceError(f"{what} is {shown(candidate)}; {_RULE}{_hint(candidate)}")


def make(candidate: nn.Module | Maker, *args: Any, what: str) -> nn.Module:
    """Returns a module as is, or the result of a factory. Raises SpaceError, which names `what`, if
    it is no module."""
    if isinstance(candidate, nn.Module):
        return candidate
    try:
        module = candidate(*args)
    except TypeError as error:
        if error.__traceback__ is None or error.__traceback__.tb_next is not None:
            raise  # from inside the factory
        given = ", ".join(map(shown, args)) or "no arguments"
        raise SpaceError(
            f"{what} is called with {given}, which it does not take ({error}): give a module, or "
            "a factory such as partial(nn.Conv2d, 3, 8, 1)."
        ) from error
    if not isinstance(module, nn.Module):
        raise SpaceError(
            f"{what}, {shown(candidate)}, returned {shown(module)}; {_RULE}{_hint(module)}"
        )
    return module


def _hint(given: object) -> str:
    return " Use nn.Identity() for a layer that does nothing." if given is None else ""


class LayerHolder(nn.Module):
    """What `class MyChoice(nn.LayerChoice)` derives from: a module that holds the chosen one, as
    `chosen`, and calls it. `names` are the values that the choice may have in a sample, by its
    `label`; other candidates are not kept."""

    def __init__(
        self,
        candidates: LayerCandidates,
        label: str | None = None,
        prior: Sequence[float] | None = None,
        *,
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        build = current()
        self.label = build.label(label)
        where = f"LayerChoice {self.label!r}"
        options = candidates_of(candidates, where)
        self.names = [*options]
        self.chosen = _chosen(build, self.label, options, one_prior(prior, weights, where))
        build.chosen.add(self, where)

    def __len__(self) -> int:
        return len(self.names)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Returns the output of the chosen module."""
        return self.chosen(*args, **kwargs)


@primitive(base=LayerHolder)
def LayerChoice(
    candidates: LayerCandidates,
    label: str | None = None,
    prior: Sequence[float] | None = None,
    *,
    weights: Sequence[float] | None = None,
) -> nn.Module:
    """Selects one of several modules, which are passed as modules or as factories of modules.

    Returns the chosen module itself, without a wrapper or a mark, so that no module is an instance
    of LayerChoice or can be asked for its candidates but those of classes that derive from it, see
    LayerHolder. A factory takes no arguments, and is called only if it is chosen. A sample stores
    the key of the candidate in a mapping, or its index in a sequence. `prior` are weights of the
    candidates, with which random draws pick them; `weights` is another word for it. A symbolic
    build returns an OpenLayer, which holds all candidates. Raises SpaceError if there are no
    candidates, if one is neither a module nor a factory of modules, or if the prior does not fit.
    """
    build = current()
    name = build.label(label)
    where = f"LayerChoice {name!r}"
    options = candidates_of(candidates, where)
    return _chosen(build, name, options, one_prior(prior, weights, where))


def _chosen(
    build: Build,
    label: str,
    options: Mapping[Any, nn.Module | Maker],
    prior: Sequence[float] | None,
) -> nn.Module:
    """Returns the module that a LayerChoice of a full label selects."""
    where = f"LayerChoice {label!r}"
    choice = Categorical(label, tuple(options), prior=weights_of(prior))
    answer = build.ask(choice)
    makers = {
        key: partial(make, option, what=f"{where}: candidate {key!r}")
        for key, option in options.items()
    }
    if not build.symbolic:
        module = makers[answer]()
        build.chosen.add(module, where)
        return module
    ways = [({choice.label: key}, maker) for key, maker in makers.items()]
    return OpenLayer(choice, build.branches(ways), choice.index(answer))


CALLED_WITH_DICT = (
    "InputChoice was called with a dict of {}; call it with a list of its {} inputs, as in "
    "[inputs[name] for name in names]."
)


@final
class ChosenInputs(Described):
    """The module that InputChoice returns: selects tensors from a list and reduces them.

    While its `choice` is symbolic, it selects the inputs of the default model.
    """

    kind: ClassVar[str] = "InputChoice"

    def __init__(
        self,
        n_candidates: int,
        chosen: Sequence[int],
        reduction: Reduction,
        choice: Subset | None = None,
    ) -> None:
        super().__init__()
        self.n_candidates = n_candidates
        self.chosen = list(chosen)
        self.reduction = reduction
        self.choice = choice

    def facts(self) -> dict[str, Any]:
        """Returns `choice` (None once resolved), `chosen` (None until then), and the arguments."""
        return {
            "choice": self.choice,
            "chosen": self.chosen if self.choice is None else None,
            "n_candidates": self.n_candidates,
            "reduction": self.reduction,
        }

    def forward(self, inputs: Sequence[Tensor]) -> Any:
        """Returns the sum, mean or concatenation (along dim 1) of the chosen inputs.

        A single chosen input is returned as is; if none is chosen, the result is None. "none"
        returns a list in every case. Raises ValueError unless there are `n_candidates` inputs, in a
        list.
        """
        if isinstance(inputs, dict) and inputs.keys() != {*range(self.n_candidates)}:
            raise ValueError(CALLED_WITH_DICT.format(shown([*inputs]), self.n_candidates))
        if len(inputs) != self.n_candidates:
            raise ValueError(
                f"InputChoice was called with {len(inputs)} inputs; it has {self.n_candidates}."
            )
        picked = [inputs[i] for i in self.chosen]
        if self.reduction == "none":
            return picked
        if len(picked) < 2:
            return picked[0] if picked else None
        if self.reduction == "concat":
            return torch.cat(picked, dim=1)
        total = sum(picked[1:], start=picked[0])
        return total / len(picked) if self.reduction == "mean" else total

    def extra_repr(self) -> str:
        chosen = self.chosen if self.choice is None else self.choice.label
        return f"{chosen} of {self.n_candidates}, reduction={self.reduction!r}"


class InputsHolder(nn.Module):
    """What `class MyChoice(nn.InputChoice)` derives from: a module that holds a ChosenInputs, as
    `choice`, and calls it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.choice = InputChoice(*args, **kwargs)

    def forward(self, inputs: Sequence[Tensor]) -> Any:
        """Returns the chosen inputs, reduced."""
        return self.choice(inputs)


@primitive(ChosenInputs, base=InputsHolder)
def InputChoice(
    n_candidates: int | None = None,
    n_chosen: int | None = 1,
    reduction: Reduction = "sum",
    label: str | None = None,
    prior: Sequence[float] | None = None,
    *,
    choose_from: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
) -> ChosenInputs:
    """Returns a module that selects `n_chosen` of `n_candidates` tensors and reduces them.

    The module is called with a list of `n_candidates` tensors. `n_chosen=None` allows any subset,
    including the empty one, which results in None. `reduction` is "sum", "mean", "concat" (along
    dim 1), or "none" for a list of the selected tensors. A sample stores the sorted indices.
    `choose_from` are names of the candidates, instead of their number. `prior` are weights of the
    candidates, see `input_prior`; `weights` is another word for it. Raises SpaceError for other
    reductions, for a prior that does not fit, or if `n_chosen` is not between 1 and `n_candidates`.
    """
    what = titled("InputChoice", label)
    n_candidates = whole(_count(n_candidates, choose_from, what), f"{what} has n_candidates", 1)
    n_chosen = None if n_chosen is None else whole(n_chosen, f"{what} has n_chosen")
    check_one_of(reduction, "reduction is", "sum", "mean", "concat", "none")
    build = current()
    name = build.label(label)
    where = f"InputChoice {name!r}"
    choice = Subset(name, n_candidates, n_chosen)
    given = one_prior(prior, weights, where)
    if given is not None:
        choice = choice.with_prior(input_prior(given, n_candidates, n_chosen, where))
    chosen = build.ask(choice)
    return ChosenInputs(n_candidates, chosen, reduction, choice if build.symbolic else None)


def _count(n: int | None, names: Sequence[str] | None, where: str) -> int:
    """Returns the number of inputs, given it, or their names, or both. Raises SpaceError."""
    if names is None:
        if n is None:
            raise SpaceError(f"{where} needs n_candidates, the number of its inputs.")
        return n
    listed = isinstance(names, Sized) and not isinstance(names, str | bytes | Mapping | Set)
    if not listed or n not in (None, len(names)):
        raise SpaceError(
            f"{where} has n_candidates={shown(n)} and choose_from={shown(names)}; give one of "
            "them, a number or a list of names."
        )
    return len(names)


class BlocksHolder(nn.Module):
    """What `class MyRepeat(nn.Repeat)` derives from: a module that holds the blocks, as `blocks`,
    and calls them in a row."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.blocks = Repeat(*args, **kwargs)

    def forward(self, x: Any) -> Any:
        """Returns the output of the last block."""
        return self.blocks(x)


@primitive(base=BlocksHolder)
def Repeat(
    blocks: nn.Module | Maker | Sequence[nn.Module | Maker],
    depth: int | tuple[int, int],
    label: str | None = None,
) -> nn.Module:
    """Stacks `depth` blocks into an nn.Sequential; depth 0 is the identity.

    `blocks` is a module (the copies share its choices and start from the same weights), a factory
    `index -> Module` or `() -> Module` (each block has its own choices), or a list, of which the
    first `depth` are used. `depth` is a number, a choice of numbers, or `(min, max)`, inclusive,
    which declares a choice labelled `label`. Returns an OpenRepeat if the depth is symbolic. Raises
    SpaceError if a depth is negative, not an integer, or larger than the list.
    """
    if not isinstance(blocks, nn.Module) and not callable(blocks):
        blocks = [*candidates_of(blocks, titled("Repeat", label)).values()]
    number = _depth(depth, blocks, label)
    if isinstance(number, Expression):
        depths = depths_of(number)
        for possible in depths:
            _check_depth(possible, blocks)
        return OpenRepeat(number, current().steps(_makers(blocks, max(depths)), depths))
    _check_depth(number, blocks)
    return nn.Sequential(*(maker() for maker in _makers(blocks, number)))


def _depth(depth: Any, blocks: object, label: str | None) -> Any:
    """Returns the depth of a Repeat, an int or an expression; declares the choice of a range."""
    if not isinstance(depth, list | tuple):
        return depth
    if len(depth) != 2:
        raise SpaceError(
            f"A Repeat has depth {shown(depth)}; it must be a number, (min, max), or a ValueChoice."
        )
    low, high = depth
    _check_depth(low, blocks)
    _check_depth(high, blocks)
    build = current()
    choice = Numeric(build.label(label), low, high, step=1)
    answer = build.ask(choice)
    return Variable(choice, answer) if build.symbolic else int(answer)


def _makers(
    blocks: nn.Module | Maker | Sequence[nn.Module | Maker], depth: int
) -> list[Callable[[], nn.Module]]:
    """Returns factories of the first `depth` blocks, in order."""
    if isinstance(blocks, nn.Module):
        return [
            partial(copy.deepcopy, blocks) if i else partial(make, blocks, what="")
            for i in range(depth)
        ]
    if callable(blocks):
        numbered = takes_index(blocks)
        what = "The factory of a Repeat's blocks"
        return [partial(make, blocks, *([i] if numbered else []), what=what) for i in range(depth)]
    return [
        partial(make, block, what=f"Block {i} of a Repeat")
        for i, block in enumerate(blocks[:depth])
    ]


def _check_depth(depth: Any, blocks: object) -> None:
    if isinstance(depth, Expression):
        operator.index(depth)  # SymbolicError: the end of a range
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 0:
        raise SpaceError(
            f"A Repeat has depth {shown(depth)}; it must be a whole number, 0 or more."
        )
    if isinstance(blocks, Sequence) and depth > len(blocks):
        raise SpaceError(f"A Repeat of depth {depth} was given only {len(blocks)} blocks.")


def takes_index(maker: Maker) -> bool:
    """Returns whether a factory takes the index: a function if it has any positional parameter, a
    class if it has one without a default."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        parameters = inspect.signature(maker).parameters
    except (ValueError, TypeError):  # a builtin, which says nothing about its parameters
        return False
    free = [p for p in parameters.values() if p.kind in kinds]
    if isinstance(maker, type):
        free = [p for p in free if p.default is inspect.Parameter.empty]
    return bool(free)


@final
class Placeholder(Described):
    """An identity that marks a position in the model for a user's mutator in the graph engines.

    Mutators find it by `name`, the label of its unit; `info` holds further data for them. `label`
    is another word for `name`. Raises SpaceError without a name.
    """

    kind: ClassVar[str] = "Placeholder"

    def __init__(self, name: str | None = None, **info: Any) -> None:
        super().__init__()
        if name is None:
            name = info.pop("label", None)
        if not isinstance(name, str) or not name:
            raise SpaceError(
                f"An nn.Placeholder has the name {shown(name)}; give it a text by which mutators "
                "find it, as in nn.Placeholder('stem')."
            )
        self.name = name
        self.info = info

    def __init_subclass__(cls) -> None:
        if cls.__module__.startswith("runner."):  # what compiles it subclasses it for a moment
            return
        raise SpaceError(
            "nn.Placeholder cannot be subclassed, since mutators replace it: put data of your own "
            "into it, as in nn.Placeholder('stem', width=64); mutators find it in `info`."
        )

    def facts(self) -> dict[str, Any]:
        """Returns `name` and `info`, its constructor arguments."""
        return {"name": self.name, "info": self.info}

    def forward(self, x: Tensor) -> Tensor:
        return x

    def extra_repr(self) -> str:
        return ", ".join([repr(self.name)] + [f"{k}={v!r}" for k, v in self.info.items()])
