"""Channel permutations: traces channels from the inputs of a step to its outputs by running it."""

from collections.abc import Mapping, Sequence
from typing import final

import torch
from torch import Tensor

from runner.graph.channels.channel_numbers import Codes
from runner.graph.channels.recorded_run import RecordedStep
from runner.graph.ir.argument_sizes import Place, leaves, put
from runner.nn.recording.tensor_history import tensors_in

KnownCodes = Mapping[Place, Mapping[int, Codes]]  # of the input tensors of a step, by dimension

LARGE = 1 << 40  # bound of random values; arithmetic on such values hardly ever hits another one
COST = 1 << 26  # maximum number of elements to compute when perturbing channels one by one
MOVES = frozenset(["flip", "fliplr", "flipud", "roll", "rot90", "getitem", "index_select", "gather",
                   "channel_shuffle", "take_along_dim", "sort", "ChannelShuffle"])  # fmt: skip


def moves(step: RecordedStep) -> bool:
    """Returns whether a step may permute channels without changing their number."""
    if step.unit is not None:
        return step.unit.name in MOVES
    target = step.name.rpartition(": ")[2]
    return target.rpartition(":")[2] in MOVES or (
        not target.startswith(("torch", "operator")) and (":" in target)
    )


def met(step: RecordedStep, index: int, dim: int, known: KnownCodes) -> list[set[int]] | None:
    """Returns, for each index of a dimension of a step's result, the channels it depends on
    (several if the step adds, multiplies or stacks them). None if unknown, or if the step mixes
    channels: two sets overlap without being equal."""
    try:
        moving = _Moving(step, index, dim, known)
        found = moving.moved() or moving.changed()
    except Exception:  # the step rejects the values
        return None
    return found if found is not None and _apart(found) else None


def _apart(found: Sequence[set[int]]) -> bool:
    """Returns whether any two sets are equal or disjoint."""
    first: dict[int, set[int]] = {}
    return all(first.setdefault(code, some) == some for some in found for code in some)


@final
class _Moving:
    """One step, run on values that identify channels."""

    def __init__(self, step: RecordedStep, index: int, dim: int, known: KnownCodes) -> None:
        self.step, self.index, self.dim = step, index, dim
        self.generator = torch.Generator().manual_seed(0)
        self.given: dict[Place, Tensor] = {}  # the channel of each element, 0 for none
        for place, value in leaves(step.args, step.kwargs).items():
            if isinstance(value, Tensor):
                if not value.dtype.is_floating_point:
                    raise TypeError("the values of an index are unknown")
                self.given[place] = _spread(value, known.get(place, {}))
        self.codes = sorted({c for dims in known.values() for some in dims.values() for c in some})

    def moved(self) -> list[set[int]] | None:
        """Returns the channels at each index if the step only moves values, otherwise None. A
        maximum and a gate also return input values, but different ones once all signs are
        flipped."""
        one, other = self._decoded(1), self._decoded(-1)
        if one is None or other is None or not torch.equal(one, other):
            return None
        if bool((one == one[:, :1]).all()):
            return [{int(code)} - {0} for code in one[:, 0].tolist()]
        return [{*_different(row)} - {0} for row in one]

    def _decoded(self, sign: int) -> Tensor | None:
        """Returns the channel of each element (size, rest); None if one is not an input value."""
        codes = torch.tensor([0, *(code for code in self.codes if code)])
        generator = torch.Generator().manual_seed(0)
        names = torch.randint(-LARGE, LARGE, codes.shape, generator=generator).double() * sign
        names[0] = 0
        by_code = torch.zeros(int(codes.max()) + 1, dtype=torch.float64)
        by_code[codes] = names
        lines = self._run({place: by_code[given] for place, given in self.given.items()})
        order = names.argsort()
        found = torch.searchsorted(names[order], lines.contiguous()).clamp(max=len(names) - 1)
        places = order[found]
        return codes[places] if torch.equal(names[places], lines) else None

    def changed(self) -> list[set[int]] | None:
        """Perturbs channels one by one; returns the channels seen at each index, or None above the
        COST limit."""
        sizes = [given.numel() for given in self.given.values()]
        if sum(sizes) * len(self.codes) > COST:
            return None
        values = {place: self._random(given) + 0.5 for place, given in self.given.items()}
        others = {place: 6 * self._random(given) - 2.5 for place, given in self.given.items()}
        before = self._run(values)
        found: list[set[int]] = [set() for _ in before]
        for code in self.codes:
            new = {
                place: torch.where(given == code, others[place], values[place])
                for place, given in self.given.items()
            }
            if code:
                for i in (self._run(new) != before).any(1).nonzero().flatten().tolist():
                    found[i].add(code)
        return found

    def _random(self, like: Tensor) -> Tensor:
        return torch.rand(like.shape, generator=self.generator, dtype=torch.float64)

    def _run(self, values: Mapping[Place, Tensor]) -> Tensor:
        """Runs the step on these values; returns its result with the dimension first."""
        new = {place: value.clone() for place, value in values.items()}
        result = self.step.run(*put(self.step.args, self.step.kwargs, new))
        made = [*tensors_in(result)][self.index]
        return made.detach().transpose(0, self.dim).flatten(1)  # (size, rest)


def _different(row: Tensor) -> list[int]:
    """Returns the distinct values of a row, in ascending order."""
    ordered = row.sort().values
    return [int(ordered[0]), *ordered[1:][ordered[1:] != ordered[:-1]].tolist()]


def _spread(value: Tensor, dims: Mapping[int, Codes]) -> Tensor:
    """Expands the codes of the first of `dims` to the shape of a tensor; zeros if there is none."""
    dim, codes = next(iter(dims.items()), (0, (0,) * value.shape[0] if value.dim() else (0,)))
    shape = [-1 if d == dim else 1 for d in range(value.dim())]
    return torch.tensor(codes, device="cpu").view(shape).expand(value.shape).contiguous()
