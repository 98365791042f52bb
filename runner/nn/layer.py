"""Choices of modules and of their inputs: LayerChoice, InputChoice, Repeat, Placeholder."""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal, final

import torch
from torch import Tensor, nn

from runner.errors import SpaceError
from runner.nn.build import current
from runner.nn.expression import Expression, Variable
from runner.nn.symbolic_modules import OpenLayer, OpenRepeat, depths_of
from runner.space.choice import Categorical, Numeric, Subset

Maker = Callable[..., nn.Module]
Reduction = Literal["sum", "mean", "concat", "none"]


def candidates_of(
    given: Sequence[nn.Module | Maker] | Mapping[str, nn.Module | Maker],
) -> dict[Any, nn.Module | Maker]:
    """Candidates by their value in a sample: the key in a dict, the index in a list."""
    if not isinstance(given, Mapping):
        return dict(enumerate(given))
    for key in given:
        if not isinstance(key, str | int):
            raise SpaceError(f"Candidates have the key {key!r}; keys are strings or whole numbers.")
    return dict(given)


def make(candidate: nn.Module | Maker, *args: Any) -> nn.Module:
    """A module as it is, or what a callable makes. Raises SpaceError for anything else."""
    if isinstance(candidate, nn.Module):
        return candidate
    module = candidate(*args) if callable(candidate) else candidate
    if not isinstance(module, nn.Module):
        raise SpaceError(
            f"{candidate!r} gave {module!r}; a candidate must be a module, or make one."
        )
    return module


def LayerChoice(
    candidates: Sequence[nn.Module | Maker] | Mapping[str, nn.Module | Maker],
    *,
    label: str | None = None,
) -> nn.Module:
    """One of several modules, given as modules or as callables that make one.

    The chosen module itself comes back. A callable is called only when it is chosen. A symbolic
    build gives an OpenLayer, with all candidates.
    """
    build = current()
    options = candidates_of(candidates)
    choice = Categorical(build.label(label), tuple(options))
    answer = build.ask(choice)
    if not build.symbolic:
        return make(options[answer])
    ways = [({choice.label: key}, partial(make, option)) for key, option in options.items()]
    return OpenLayer(choice, build.branches(ways), choice.index(answer))


@final
class ChosenInputs(nn.Module):
    """What an InputChoice is: picks tensors of a list and reduces them.

    While its `choice` is open, those of the default model are picked.
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
        """`choice` (None once it is decided), `chosen` (None until then), and the arguments."""
        return {
            "choice": self.choice,
            "chosen": self.chosen if self.choice is None else None,
            "n_candidates": self.n_candidates,
            "reduction": self.reduction,
        }

    def forward(self, inputs: Sequence[Tensor]) -> Any:
        """The sum, mean or concatenation (dim 1) of the chosen inputs, or their list for "none".

        One chosen input is that tensor itself; no chosen input gives None.
        """
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


def InputChoice(
    n_candidates: int,
    n_chosen: int | None = 1,
    reduction: Reduction = "sum",
    *,
    label: str | None = None,
) -> ChosenInputs:
    """Picks `n_chosen` distinct inputs (None: any subset) of a list of `n_candidates` tensors."""
    if reduction not in ("sum", "mean", "concat", "none"):
        raise SpaceError(f"reduction is {reduction!r}; it must be sum, mean, concat or none.")
    build = current()
    choice = Subset(build.label(label), n_candidates, n_chosen)
    chosen = build.ask(choice)
    return ChosenInputs(n_candidates, chosen, reduction, choice if build.symbolic else None)


def Repeat(
    blocks: nn.Module | Maker | Sequence[nn.Module | Maker],
    depth: int | tuple[int, int],
    *,
    label: str | None = None,
) -> nn.Module:
    """A block several times in a row; depth 0 is the identity.

    `blocks` is a module (copied: the choices inside are shared, and so are the first weights), a
    callable `index -> Module` (choices inside are independent), or a list, cut to `depth`.
    `depth` is a number, or `(min, max)`, both included, for a choice. The blocks come back in an
    nn.Sequential; in a symbolic build with an open depth, in an OpenRepeat.
    """
    number = _depth(depth, blocks, label)
    if isinstance(number, Expression):
        depths = depths_of(number)
        for possible in depths:
            _check_depth(possible, blocks)
        return OpenRepeat(number, current().steps(_makers(blocks, max(depths)), depths))
    _check_depth(number, blocks)
    return nn.Sequential(*(maker() for maker in _makers(blocks, number)))


def _depth(depth: Any, blocks: object, label: str | None) -> Any:
    """The depth of a Repeat, after a choice between `(min, max)`: a number, or an expression."""
    if not isinstance(depth, list | tuple):
        return depth
    if len(depth) != 2:
        raise SpaceError(
            f"A Repeat has depth {depth!r}; it must be a number, (min, max), or a ValueChoice."
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
    """What makes the first `depth` blocks, in order."""
    if isinstance(blocks, nn.Module):
        return [
            partial(copy.deepcopy, blocks) if i else partial(make, blocks) for i in range(depth)
        ]
    if callable(blocks):
        numbered = takes_index(blocks)
        return [partial(make, blocks, *([i] if numbered else [])) for i in range(depth)]
    return [partial(make, block) for block in blocks[:depth]]


def _check_depth(depth: Any, blocks: object) -> None:
    if isinstance(depth, bool) or not isinstance(depth, int) or depth < 0:
        raise SpaceError(f"A Repeat has depth {depth!r}; it must be a whole number, 0 or more.")
    if isinstance(blocks, Sequence) and depth > len(blocks):
        raise SpaceError(f"A Repeat of depth {depth} was given only {len(blocks)} blocks.")


def takes_index(maker: Maker) -> bool:
    """Whether a callable wants the index: any argument of a function, a required one of a class."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    free = [p for p in inspect.signature(maker).parameters.values() if p.kind in kinds]
    if isinstance(maker, type):
        free = [p for p in free if p.default is inspect.Parameter.empty]
    return bool(free)


@final
class Placeholder(nn.Module):
    """Marks a spot for a user's mutator in the graph engines; here, an identity."""

    kind: ClassVar[str] = "Placeholder"

    def __init__(self, name: str, **info: Any) -> None:
        super().__init__()
        self.name = name
        self.info = info

    def facts(self) -> dict[str, Any]:
        """Its `name`, and `info`: what else it was given."""
        return {"name": self.name, "info": self.info}

    def forward(self, x: Tensor) -> Tensor:
        return x

    def extra_repr(self) -> str:
        return ", ".join([repr(self.name)] + [f"{k}={v!r}" for k, v in self.info.items()])
