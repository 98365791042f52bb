"""Models trained as one and each alone, and what is to be equal then."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer

from runner.fusion.fuse import Fused, fuse
from runner.fusion.optimizers.select import stacked
from runner.fusion.packing.packed_parameters import Parameters
from runner.fusion.packing.random_streams import Streams
from runner.fusion.program.program import Programs
from runner.fusion.tracing.trace import programs_of
from runner.graph import convert, generate
from runner.graph.codegen.load import load_source
from runner.nn.recording.construction_record import recording

Make = Callable[[], nn.Module]
MODES = {"train": True, "eval": False}


def read(make: Make, shape: Sequence[int]) -> tuple[nn.Module, Programs]:
    """The model that the source of a class makes, with the same weights, and its programs."""
    with recording():
        model = make()
    graph = convert(model)
    twin = load_source(generate(graph), graph.tensors).build()
    twin.load_state_dict(model.state_dict())
    for name, parameter in model.named_parameters():
        twin.get_parameter(name).requires_grad_(parameter.requires_grad)
    return twin, programs_of(graph, shape)


@dataclass
class Trained:
    """What a model got: the loss of each step, and what it gives in eval mode in the end."""

    losses: list[Tensor]
    outputs: Tensor
    state: dict[str, Tensor]


class Together:
    """Models trained as one, from random numbers of their own."""

    def __init__(
        self,
        models: Sequence[nn.Module],
        programs: Sequence[Programs],
        optimizers: Sequence[Optimizer],
    ) -> None:
        self.models = models
        self.streams = Streams(range(len(models)), torch.device("cpu"))
        self.parameters = Parameters()
        self.train = self.fused(programs, "train")
        self.eval = self.fused(programs, "eval")
        self.update = stacked(self.parameters.all(models), optimizers)
        self.lrs = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]

    def fused(self, programs: Sequence[Programs], mode: str) -> Fused:
        for model in self.models:
            model.train(MODES[mode])
        chosen = [getattr(pair, mode) for pair in programs]
        return fuse(self.models, chosen, self.parameters, self.streams)

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        """The loss of each model, (K,)."""
        for model in self.models:
            model.train()
        self.update.zero_grad()
        outputs = self.train.forward(x).chunk(len(self.models))
        losses = torch.stack([loss_of(part, y) for part in outputs])
        losses.backward(torch.ones_like(losses))
        self.update.step(self.lrs, [True] * len(self.models))
        return losses.detach()

    def finish(self, losses: Sequence[Tensor], x: Tensor) -> list[Trained]:
        for model in self.models:
            model.eval()
        with torch.no_grad():
            outputs = self.eval.forward(x).chunk(len(self.models))
        self.update.release()
        self.parameters.unpack()
        columns = [[row[i] for row in losses] for i in range(len(self.models))]
        found = zip(columns, outputs, self.models, strict=True)
        return [Trained(column, y, model.state_dict()) for column, y, model in found]


def train_alone(
    model: nn.Module, optimizer: Optimizer, seed: int, batches: Sequence[tuple[Tensor, Tensor]]
) -> Trained:
    """The plain loop."""
    torch.manual_seed(seed)
    losses = []
    model.train()
    for x, y in batches:
        optimizer.zero_grad()
        loss = loss_of(model(x.clone()), y)  # it may change it in place
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    model.eval()
    with torch.no_grad():
        return Trained(losses, model(batches[0][0].clone()), model.state_dict())


def loss_of(outputs: Tensor, y: Tensor) -> Tensor:
    """Of outputs (N, ...)."""
    return cross_entropy(outputs.flatten(1), y)


def batches_of(
    shape: Sequence[int], sizes: Sequence[int], dtype: torch.dtype
) -> list[tuple[Tensor, Tensor]]:
    """Random batches of two classes; the sizes may differ."""
    rng = torch.Generator().manual_seed(1)
    return [
        (
            torch.randn(n, *shape, dtype=dtype, generator=rng),
            torch.randint(0, 2, (n,), generator=rng),
        )
        for n in sizes
    ]


def adamw(model: nn.Module, place: int) -> Optimizer:
    """Each model has a rate and a decay of its own. A gradient that is zero but for rounding, as
    that of a bias before a norm, changes nothing: it is far below `eps`."""
    trained = [p for p in model.parameters() if p.requires_grad]
    make = partial(torch.optim.AdamW, lr=0.01 / (1 + place), weight_decay=0.1 * place, eps=1e-6)
    return make(trained)


def assert_equal(
    models: Sequence[nn.Module],
    programs: Sequence[Programs],
    shape: Sequence[int],
    *,
    sizes: Sequence[int] = (5, 5, 4, 7),
    tolerance: float = 1e-9,
    dtype: torch.dtype = torch.float64,
) -> Fused:
    """Models trained as one get what each gets alone; gives what runs them."""
    models = [model.to(dtype) for model in models]
    alone = [copy.deepcopy(model) for model in models]
    batches = batches_of(shape, sizes, dtype)
    expected = [train_alone(model, adamw(model, i), i, batches) for i, model in enumerate(alone)]
    optimizers = [adamw(model, i) for i, model in enumerate(models)]
    together = Together(models, programs, optimizers)
    losses = [together.step(*batch) for batch in batches]
    for ours, theirs in zip(together.finish(losses, batches[0][0]), expected, strict=True):
        close = partial(torch.testing.assert_close, rtol=tolerance, atol=tolerance)
        close(torch.stack(ours.losses), torch.stack(theirs.losses))
        close(ours.outputs, theirs.outputs)
        close(ours.state, theirs.state)
    return together.train


def check(
    makes: Sequence[Make], shape: Sequence[int], *, sizes: Sequence[int] = (5, 5, 4, 7)
) -> Fused:
    """The same, of models of classes; each is made from a seed of its own."""
    found = []
    for i, make in enumerate(makes):
        torch.manual_seed(i)
        found.append(read(make, shape))
    return assert_equal(*zip(*found, strict=True), shape, sizes=sizes)
