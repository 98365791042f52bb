"""A cell in each place that a model may have one, called in each way that it may be called."""

import torch

from runner import nn

WIDTH = 4


def _cell(inputs: int = 1, nodes: int = 2, label: str = "cell", **given) -> nn.Module:
    ops = {"linear": lambda *_: nn.Linear(WIDTH, WIDTH), "tanh": lambda *_: nn.Tanh()}
    return nn.Cell(ops, nodes, num_predecessors=inputs, label=label, **given)


class _Fold(nn.Module):
    """Makes as many features as there were of those of all nodes."""

    def forward(self, x):
        return x.unflatten(1, (-1, WIDTH)).sum(1)


def _folded(i: int = 0) -> nn.Module:
    return nn.Sequential(_cell(label=f"cell{i}"), _Fold())


class _Place(nn.Module):
    """A model whose `body` is, or holds, a cell of one input."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(WIDTH, WIDTH)
        self.body = self.make()

    def make(self) -> nn.Module:
        return _cell()

    def forward(self, x):
        return self.body(self.first(x))


class InSequential(_Place):
    def make(self) -> nn.Module:
        return nn.Sequential(nn.ReLU(), _cell())


class InRepeat(_Place):
    def make(self) -> nn.Module:
        return nn.Repeat(_folded, (1, 2), label="depth")


class InChoice(_Place):
    def make(self) -> nn.Module:
        return nn.LayerChoice([_cell, lambda: nn.Linear(WIDTH, WIDTH)], label="choice")


class SecondInChoice(_Place):
    def make(self) -> nn.Module:
        return nn.LayerChoice([nn.Linear(WIDTH, WIDTH), _cell(label="other")], label="choice")


class Nested(_Place):
    """A Sequential in a Repeat in a LayerChoice."""

    def make(self) -> nn.Module:
        deep = nn.Repeat(lambda i: nn.Sequential(nn.ReLU(), _folded(i)), (1, 2), label="depth")
        return nn.LayerChoice({"deep": deep, "flat": nn.Linear(WIDTH, WIDTH)}, label="choice")


class InCell(_Place):
    """A cell as an op of another one."""

    def make(self) -> nn.Module:
        inner = nn.Sequential(_cell(label="inner"), _Fold())
        return nn.Cell([inner, nn.Tanh()], 2, label="cell")


class CellInCell(_Place):
    def make(self) -> nn.Module:
        return nn.Cell([_cell(1, 1, label="inner"), nn.Tanh()], 2, label="cell")


class Listed(_Place):
    def make(self) -> nn.Module:
        return nn.ModuleList([_cell(label="a"), _Fold(), _cell(label="b")])

    def forward(self, x):
        for layer in self.body:
            x = layer(x)
        return x


class Named(_Place):
    def make(self) -> nn.Module:
        return nn.ModuleDict({"a": _cell(label="a"), "b": _Fold()})

    def forward(self, x):
        return self.body["b"](self.body["a"](self.first(x)))


class Kept(_Place):
    """A forward that TorchScript cannot read."""

    def forward(self, x):
        cell, odd = self.body, {"a": [1, "b"]}
        return cell(x) if odd["a"][1] == "b" else x


class Alone(_Place):
    def forward(self, x):
        return self.body([self.first(x)])


class Processed(_Place):
    def make(self) -> nn.Module:
        return nn.Sequential(_cell(2, preprocessor=_twice, postprocessor=_last))

    def forward(self, x):
        return self.body([x, self.first(x)])


def _twice(inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    return [inputs[0] * 2, inputs[1]]


def _last(output: torch.Tensor, inputs: list[torch.Tensor]) -> torch.Tensor:
    return output + inputs[1].repeat(1, 2)


class _Two(_Place):
    """A model whose body is a cell of two inputs."""

    def make(self) -> nn.Module:
        return _cell(2)


class Apart(_Two):
    def forward(self, x):
        return self.body(x, self.first(x))


class AsTuple(_Two):
    def forward(self, x):
        return self.body((x, self.first(x)))


class ByName(_Two):
    def forward(self, x):
        return self.body(inputs=[x, self.first(x)])


class FromList(_Two):
    def forward(self, x):
        states = [x, self.first(x)]
        states.append(x)
        return self.body(states[:2])


class KeptApart(_Two):
    def forward(self, x):
        odd = {"a": [1, "b"]}
        return self.body(*[x, self.first(x)]) if odd["a"][1] == "b" else x


class KeptAsTuple(_Two):
    def forward(self, x):
        odd = {"a": [1, "b"]}
        return self.body((x, self.first(x))) if odd["a"][1] == "b" else x


class KeptByName(_Two):
    def forward(self, x):
        odd = {"a": [1, "b"]}
        return self.body(inputs=(x, self.first(x))) if odd["a"][1] == "b" else x


class KeptDirect(_Two):
    """Not by way of `__call__`."""

    def forward(self, x):
        odd = {"a": [1, "b"]}
        return self.body.forward([x, self.first(x)]) if odd["a"][1] == "b" else x


class InSequentialOfTwo(_Two):
    """A Sequential hands a list on."""

    def make(self) -> nn.Module:
        return nn.Sequential(_cell(2))

    def forward(self, x):
        return self.body([x, self.first(x)])


class Above(_Place):
    """A forward that was not read reaches down to a cell that another one calls with a list."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Alone()

    def forward(self, x):
        odd = {"a": [1, "b"]}
        return self.inner(x) + self.inner.body(x) if odd["a"][1] == "b" else x


class ReadInAShell(_Place):
    """A forward that cannot be read looks at attributes of the cell."""

    def forward(self, x):
        y = self.body([self.first(x)])
        read = sum(map(len, self.body.inputs)) + self.body.num_predecessors + self.body.concat_dim
        return (lambda value: value)(y) * read + sum(self.body.output_node_indices)


class _Given(_Place):
    """Gives its cell of two inputs another number of them, in a list."""

    def __init__(self, number: int, kept: bool = False) -> None:
        super().__init__()
        self.number = number
        self.kept = kept

    def make(self) -> nn.Module:
        return _cell(2)

    def forward(self, x):
        y = self.first(x)
        given = [y, y, y][: self.number]
        return self.body((lambda value: value)(given) if self.kept else given)
