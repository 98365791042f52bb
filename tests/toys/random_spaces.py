"""Random model spaces of all primitives, each from a seed; tensors are (N, 4) throughout."""

from functools import partial
from random import Random

import torch
import torch.nn.functional as F
from torch import Tensor

from runner import nn

WIDTH = 4


class RandomSpace(nn.Module):
    """A few random blocks in a row; the same seed gives the same space."""

    def __init__(self, seed: int, blocks: int = 3, depth: int = 2, *, eager: bool = True) -> None:
        super().__init__()
        rng = dice(seed, eager=eager)
        parts = [block(another(rng), f"b{i}", depth) for i in range(blocks)]
        self.body = nn.Sequential(*parts)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


class Dice(Random):
    """Random numbers; `eager` says whether candidates may be given as modules, which Python makes
    whether they are chosen or not."""

    eager = True


def dice(seed: float, *, eager: bool) -> Dice:
    made = Dice(seed)
    made.eager = eager
    return made


def another(rng: Dice) -> Dice:
    return dice(rng.random(), eager=rng.eager)


def block(rng: Dice, path: str, depth: int) -> nn.Module:
    """A random block, (N, 4) to (N, 4); choices below `path`, nesting at most `depth` deep."""
    makers = [mlp, scaled, dropped, marked, unit] + ([layers, repeated, picked, cell] * bool(depth))
    return rng.choice(makers)(rng, path, depth)


def mlp(rng: Dice, path: str, depth: int) -> nn.Module:
    width = number(rng, path)
    return Mlp(width, nn.LayerChoice({"relu": nn.ReLU, "tanh": nn.Tanh}, label=f"{path}/act"))


def number(rng: Dice, path: str):
    """A width: a choice of a few, a range, or an expression of one; some share a label."""
    label = rng.choice([f"{path}/width", "shared"])
    width = nn.ValueChoice([1, 2, 4], label=label)
    return [
        lambda: width,
        lambda: width * 2,
        lambda: width // 2 + 1,
        lambda: nn.ValueChoice.max(width, 2),
        lambda: nn.ValueChoice.condition(width > 1, width - 1, 3),
        lambda: round(width * 1.6),
        lambda: nn.IntChoice(1, 5, label=f"{path}/range"),
        lambda: nn.ValueChoice([[1, 2], [3, 4]], label=f"{path}/pair")[0],
    ][rng.randrange(8)]()


def scaled(rng: Dice, path: str, depth: int) -> nn.Module:
    return Scaled(
        nn.ValueChoice([0.5, 2.0], label=f"{path}/scale"),
        nn.FloatChoice(0.1, 1.0, label=f"{path}/shift"),
    )


def dropped(rng: Dice, path: str, depth: int) -> nn.Module:
    return Dropped(nn.ValueChoice([0.1, 0.5], label=f"{path}/p"))


def marked(rng: Dice, path: str, depth: int) -> nn.Module:
    return nn.Sequential(nn.Placeholder(path, seed=1), nn.Linear(WIDTH, WIDTH))


def unit(rng: Dice, path: str, depth: int) -> nn.Module:
    return Unscriptable(nn.ValueChoice([1, 2, 3], label=f"{path}/times"))


def layers(rng: Dice, path: str, depth: int) -> nn.Module:
    count = rng.randint(1, 3)
    made = [partial(block, another(rng), f"{path}/{i}", depth - 1) for i in range(count)]
    if rng.random() < 0.3 and rng.eager:
        made = [make() for make in made]
    if rng.random() < 0.5:
        return nn.LayerChoice(made, label=path)
    return nn.LayerChoice({f"c{i}": make for i, make in enumerate(made)}, label=path)


def repeated(rng: Dice, path: str, depth: int) -> nn.Module:
    seed = rng.random()

    def make(index: int) -> nn.Module:
        return block(dice(seed + index, eager=rng.eager), f"{path}/{index}", depth - 1)

    number = rng.choice([(0, 2), (1, 3), nn.ValueChoice([0, 2], label=f"{path}/depth") + 1, 2])
    match rng.randrange(3):
        case 0:
            return nn.Repeat(make, number, label=path)
        case 1:
            return nn.Repeat(make(0) if rng.eager else make, number, label=path)
    return nn.Repeat([partial(make, i) for i in range(3)], number, label=path)


def picked(rng: Dice, path: str, depth: int) -> nn.Module:
    makers = [block(another(rng), f"{path}/{i}", depth - 1) for i in range(2)]
    reduction = rng.choice(["sum", "mean", "concat", "none"])
    chosen = rng.choice([1, 2]) if reduction == "sum" else 2
    kind = {"concat": Concat, "none": Listed}.get(reduction, Picked)
    return kind(makers, nn.InputChoice(3, chosen, reduction, label=f"{path}/pick"))


def cell(rng: Dice, path: str, depth: int) -> nn.Module:
    seeds = [rng.random() for _ in range(2)]

    def make(option: int, node: int, slot: int, state: int) -> nn.Module:
        if option == 2:
            return nn.Linear(WIDTH, WIDTH, bias=state == 0)
        return block(dice(seeds[option], eager=rng.eager), f"{path}/op{option}", depth - 1)

    options = {f"o{i}": partial(make, i) for i in range(3)}
    predecessors = rng.randint(1, 2)
    made = nn.Cell(
        options,
        num_nodes=rng.randint(1, 3),
        num_ops_per_node=rng.randint(1, 2),
        num_predecessors=predecessors,
        merge_op=rng.choice(["all", "loose_end"]),
        label=path,
    )
    return OneInput(made) if predecessors == 1 else TwoInputs(made)


class Mlp(nn.Module):
    def __init__(self, width: int, act: nn.Module) -> None:
        super().__init__()
        self.up = nn.Linear(WIDTH, width)
        self.act = act
        self.down = nn.Linear(width, WIDTH, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.act(self.up(x)))


class Scaled(nn.Module):
    """Uses one value by calling it, and one as a plain number."""

    def __init__(self, scale: float, shift: float) -> None:
        super().__init__()
        self.scale = scale
        self.weight = nn.Parameter(torch.ones(WIDTH))
        self.shift = Shift(shift)

    def forward(self, x: Tensor) -> Tensor:
        return self.shift(x * self.scale() * self.weight)


class Shift(nn.Module):
    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = shift

    def forward(self, x: Tensor) -> Tensor:
        return x + self.shift


class Dropped(nn.Module):
    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, self.p(), self.training)


@nn.basic_unit
class Unscriptable(nn.Module):
    """Its forward is beyond TorchScript; it is kept as it is."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.norm(sum(inputs)) * self.times


class Picked(nn.Module):
    def __init__(self, blocks, pick) -> None:
        super().__init__()
        self.a, self.b = blocks
        self.pick = pick

    def forward(self, x: Tensor) -> Tensor:
        return self.pick([x, self.a(x), self.b(x)]) + x


class Concat(Picked):
    def __init__(self, blocks, pick) -> None:
        super().__init__(blocks, pick)
        self.join = nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        return self.join(self.pick([x, self.a(x), self.b(x)]))


class Listed(Picked):
    def forward(self, x: Tensor) -> Tensor:
        one, other = self.pick([x, self.a(x), self.b(x)])
        return one * other


class OneInput(nn.Module):
    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        return x + self.cell([x]).mean(1, keepdim=True)


class TwoInputs(OneInput):
    def forward(self, x: Tensor) -> Tensor:
        return x + self.cell([x, x * 2]).mean(1, keepdim=True)
