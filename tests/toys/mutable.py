"""A small convolutional net to be mutated, and mutators of it."""

import torch
from torch import Tensor

from runner import nn
from runner.errors import GraphError
from runner.graph.ir.graph import Graph
from runner.graph.ir.unit import Unit
from runner.graph.transforms.mutator import Mutator
from runner.mutators.selection import Match, Selective
from runner.space.choice import Numeric


class Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.relu = nn.ReLU()
        self.spot = nn.Placeholder("spot", width=width)

    def forward(self, x: Tensor) -> Tensor:
        y = self.spot(self.conv(x))
        return self.relu(x + y)


class ConvNet(nn.Module):
    """Leaves its width open; the rest is for mutators. Images are (N, 1, 8, 8)."""

    def __init__(self, blocks: int = 2) -> None:
        super().__init__()
        width = nn.ValueChoice([4, 6], label="width")
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(blocks)))
        self.head = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.blocks(torch.relu(self.stem(x)))
        return self.head(x.mean((2, 3)))


class Tries(nn.Module):
    """Beyond all front ends: its forward has a `try`."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        try:
            return self.layer(x)
        except RuntimeError as error:
            raise ValueError("other features") from error


class Derived(nn.Module):
    """Takes a number from a layer that is open, which the symbolic build has by default only."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, nn.ValueChoice([4, 6], label="width"), 3)
        self.head = nn.Linear(self.conv.out_channels, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).mean((2, 3)))


class Asking(nn.Module):
    """Asks what was chosen by the class of a layer."""

    def __init__(self) -> None:
        super().__init__()
        act = nn.LayerChoice({"relu": nn.ReLU, "prelu": nn.PReLU}, label="act")
        layers = [nn.Flatten(), nn.Linear(64, 10), act]
        if isinstance(act, nn.PReLU):
            layers.append(nn.LayerNorm(10))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


class Activations(Mutator):
    """Another activation for all blocks, or for each."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def mutate(self, graph: Graph) -> None:
        tied = self.choice([True, False], label="tied")
        name = self.choice(self.names, label="activation") if tied else ""
        for path, _ in graph.units(cls="ReLU"):
            graph.replace(path, Unit.of(f"torch.nn:{name or self.choice(self.names)}"))


class Fill(Mutator):
    """Puts a layer, or nothing, where a Placeholder waits; nets of one kind of layer only."""

    def mutate(self, graph: Graph) -> None:
        for path, spot in graph.units(label="spot"):
            width = spot.call.kwargs["width"]
            options = {"none": None, "norm": Unit.of("torch.nn:BatchNorm2d", width)}
            if (layer := self.choice(options, label=f"fill/{path}")) is not None:
                graph.replace(path, layer)


class Kernels(Mutator):
    """Another kernel for the convolution of each block."""

    def mutate(self, graph: Graph) -> None:
        for path, conv in graph.units(path="blocks.*", cls="Conv2d"):
            size = self.choice([3, 5], label=f"kernel/{path}")
            conv.set_argument("kernel_size", size)
            conv.set_argument("padding", size // 2)


class Remove(Mutator):
    """Takes blocks out."""

    def mutate(self, graph: Graph) -> None:
        for path, _ in graph.units(cls="Block"):
            if self.choice([False, True], label=f"remove/{path}"):
                graph.replace(path, Unit.of("torch.nn:Identity"))


class Scale(Mutator):
    """Puts a factor behind the functional relu."""

    def mutate(self, graph: Graph) -> None:
        factor = self.ask(Numeric("factor", 0.5, 1.5))
        for unit, node in graph.nodes(target="relu"):
            function = unit.forward
            with function.inserting_after(node):
                scaled = function.call_function("operator:mul", node.output, factor)
            node.replace_all_uses_with(scaled)
            scaled.node.args = (node.output, factor)


class Widen(Mutator):
    """Changes the output of the stem and nothing else: a width of 5 fits nowhere."""

    def mutate(self, graph: Graph) -> None:
        width = self.choice([None, 5], label="stem")
        if width is not None:
            graph.unit("stem").set_argument("out_channels", width)


class Careful(Mutator):
    """Says itself that a mutation does not fit."""

    def mutate(self, graph: Graph) -> None:
        if self.choice([False, True], label="absurd"):
            raise GraphError("There is nothing to be absurd about.")


class Initialized(nn.Module):
    """Fills its layers in a loop, ties two of them, and holds one in double precision.

    Takes tokens (N, 8), below 16.
    """

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(16, 4)
        self.body = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
        self.exact = nn.Linear(4, 4).double()
        self.head = nn.Linear(4, 16, bias=False)
        self.head.weight = self.embed.weight
        for module in self.modules():
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(self.embed(x).mean(1))
        return self.head(self.exact(y.double()).float())


class Hooked(nn.Module):
    """One layer has a parametrization, one a hook that TorchScript does not see."""

    def __init__(self) -> None:
        super().__init__()
        self.normed = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4))
        self.seen = nn.Linear(4, 4)
        self.seen.register_forward_hook(double)

    def forward(self, x: Tensor) -> Tensor:
        return self.seen(self.normed(x))


def double(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
    return output * 2


class Looks(Mutator):
    """Looks at everything and changes nothing."""

    def mutate(self, graph: Graph) -> None:
        self.choice([1, 2], label="looks")
        for unit, node in graph.nodes():
            assert node in unit.forward.nodes


class Breaks(Mutator):
    """Raises what is no GraphError, for one answer of two."""

    def mutate(self, graph: Graph) -> None:
        if self.choice([False, True], label="breaks"):
            raise ValueError("boom")


class Forgets(Mutator):
    """Asks something else each time."""

    asked = 0

    def mutate(self, graph: Graph) -> None:
        type(self).asked += 1
        self.choice([1, 2], label=f"question {self.asked}")


class Pretrained(nn.Module):
    """Comes with weights of its own."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 4))
        self.head = nn.Linear(4, 2)
        for place, tensor in enumerate(self.parameters()):
            nn.init.constant_(tensor, value * (place + 1))
        nn.init.normal_(self.body[2].weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


class Renew(Selective):
    """Other classes for units, of which `Linear` fits nowhere."""

    def __init__(self, names: list[str], on: str = "", cls: str = "", *, tie: bool = False) -> None:
        super().__init__(on, cls, tie=tie)
        self.names = names

    def change(self, graph: Graph, match: Match) -> None:
        name = self.decide(self.names, match)
        if name == "Linear":
            raise GraphError(f"{match.path} cannot be a Linear.")
        graph.replace(match.path, Unit.of(f"torch.nn:{name}"))


class Example(Mutator):
    """Remembers what it knows of the examples."""

    def mutate(self, graph: Graph) -> None:
        assert graph.example == self.base.example == graph.copy().example
        self.choice([graph.example], label="example")
