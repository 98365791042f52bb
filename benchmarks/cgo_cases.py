"""The groups of candidates that fusing is measured on, and how each of them is trained."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import Any, final

import torch
from cgo_models import EDGES, OPERATIONS
from torch import nn
from torch.nn.functional import cross_entropy

from runner.data.data import Batch
from runner.engines.cgo import CgoEngine
from runner.evaluators.classification import Classification
from runner.evaluators.member import Member
from runner.evaluators.replicas import OneReplica
from runner.evaluators.schedule import Cosine
from runner.fusion.program.program import Programs
from runner.space.sample import Sample, generator
from runner.space.space import Space
from runner.trial import Trial

BATCH = 64
STEPS = 144  # of a short training: 8 epochs of digits
TRUST = ("cgo_models",)
Draw = Callable[[Space, int], Sequence[Sample]]


def different(space: Space, size: int) -> Sequence[Sample]:
    """Random samples."""
    return [space.random(generator(0, place)) for place in range(size)]


def same(space: Space, size: int) -> Sequence[Sample]:
    """One random sample, several times."""
    return [space.random(generator(0, 0))] * size


def cells(size: int) -> Sequence[Sample]:
    """One cell with all kinds of operations, several times."""
    operations = ("conv3", "skip", "conv3", "pool", "conv1", "conv3")
    return [dict(zip(EDGES, operations, strict=True))] * size


def mutants(size: int) -> Sequence[Sample]:
    """That cell, and others with one edge changed each."""
    parent, *rest = map(dict, cells(size))
    rng = generator(0, "mutants")
    for child in rest:
        edge = rng.choice(EDGES)
        child[edge] = rng.choice([name for name in OPERATIONS if name != parent[edge]])
    return [parent, *rest]


@final
@dataclass(frozen=True)
class Case:
    """A group of candidates, and how many times as fast it is to be when trained as one."""

    name: str
    limit: float
    size: int  # K, the candidates of the group
    space: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    shape: tuple[int, ...] = (1, 8, 8)
    draw: Draw = same
    varied: bool = False  # whether each has a learning rate and a weight decay of its own


CASES = [
    Case("tiny MLP, 16 rates", 4.0, 16, "cgo_models.Mlp", varied=True),
    Case("small CNN", 2.5, 8, "cgo_models.Cnn"),
    Case("cell, same", 2.2, 8, "cgo_models.CellNet", draw=lambda _, k: cells(k)),
    Case("chain of kernels", 1.8, 8, "cgo_models.Chain", draw=different),
    Case("cell, mutants", 1.3, 16, "cgo_models.CellNet", draw=lambda _, k: mutants(k)),
    Case("frozen backbone", 5.0, 8, "cgo_models.Tuned", varied=True),
    Case("cell, random", 0.95, 8, "cgo_models.CellNet", draw=different),
    Case("CNN, 64 channels", 0.95, 4, "cgo_models.Cnn",
         {"channels": 3, "widths": [64, 64]}, (3, 32, 32)),
    Case("transformer, 128 wide", 0.95, 4, "cgo_models.Transformer"),
    *(
        Case(f"space {name.split('.')[1]}", 0.95, 8, f"spaces.{name}", draw=different)
        for name in ("resnet.ResNet", "cell.CellNet", "mobilenet.MobileNet",
                     "transformer.Transformer")
    ),
]  # fmt: skip


@final
class Candidates:
    """The trials of a case, as the engine gives them to a worker."""

    def __init__(self, case: Case) -> None:
        node = {"_target_": case.space, **case.arguments}
        self.case = case
        self._engine = CgoEngine(case.size, case.shape, space=node, trust=TRUST)
        samples = case.draw(self._engine.space, case.size)
        self.trials = [Trial(number, sample, number) for number, sample in enumerate(samples)]
        self._recipes: Sequence[Mapping[str, Any]] = ()

    def warm_up(self) -> None:
        """Read the space, which is done once in a run."""
        sample = self._engine.space.default()
        list(self._engine.plan([Trial(-1, sample, 0), Trial(-2, sample, 0)]))

    def plan(self) -> None:
        """Make the recipes of the models; their programs are among them."""
        [job] = self._engine.plan(self.trials)
        self._recipes = job.recipes

    def models(self) -> list[nn.Module]:
        """Fresh models. What is frozen has the same weights in all, as if it had been loaded."""
        made = []
        for seed, recipe in enumerate(self._recipes):
            torch.manual_seed(seed)
            made.append(CgoEngine.build(recipe))
        for model in made[1:]:
            for own, first in zip(model.parameters(), made[0].parameters(), strict=False):
                if not own.requires_grad:
                    own.data.copy_(first)
        return made

    def programs(self) -> list[Programs]:
        """What the models do. Raises ValueError where the engine did not find out."""
        found = [CgoEngine.programs(recipe) for recipe in self._recipes]
        known = [programs for programs in found if programs is not None]
        if len(known) < len(found):
            raise ValueError(f"{self.case.name}: a model has no program.")
        return known

    def pieces(self) -> list[Classification]:
        """How each of the models is trained."""
        rates, decays = [3e-3], [1e-2]
        if self.case.varied:
            places = [place % 16 for place in range(self.case.size)]  # more would diverge
            rates = [1e-3 * 1.2**place for place in places]
            decays = [1e-4 * 1.4**place for place in places]
        size = self.case.size
        pairs = zip(rates * (size // len(rates)), decays * (size // len(decays)), strict=True)
        return [evaluator(lr, decay) for lr, decay in pairs]

    def members(self, models: Sequence[nn.Module], device: torch.device) -> list[Member]:
        """Copies of the models, as an evaluator trains them."""
        triples = zip(deepcopy(list(models)), self.pieces(), self.trials, strict=True)
        return [
            Member(model, own, trial.seed, device, OneReplica()) for model, own, trial in triples
        ]

    def batches(self, device: torch.device, number: int) -> list[Batch]:
        """Random examples and their classes."""
        rng = torch.Generator().manual_seed(0)
        return [
            (
                torch.randn((BATCH, *self.case.shape), generator=rng).to(device),
                torch.randint(0, 10, (BATCH,), generator=rng).to(device),
            )
            for _ in range(number)
        ]


def evaluator(lr: float, decay: float) -> Classification:
    """The evaluator of a run, as it usually is."""
    return Classification(
        epochs=8, batch_size=BATCH, lr=lr, optimizer=partial(torch.optim.AdamW, weight_decay=decay),
        schedule=Cosine(0.05, 0.0), clip_norm=None, precision="fp32", compile=False,
        channels_last="auto", seed=0, checkpoint=None, label_smoothing=0.0, augment=None,
    )  # fmt: skip


@final
class Plain:
    """A training loop as it stands in tutorials: the optimizer and the memory format are torch's
    defaults."""

    def __init__(self, model: nn.Module, pieces: Classification, device: torch.device) -> None:
        self._model = deepcopy(model).to(device).train()
        parameters = [p for p in self._model.parameters() if p.requires_grad]
        self._optimizer = torch.optim.Adam(parameters, lr=pieces.lr)

    def step(self, batch: Batch) -> None:
        """Train on a batch."""
        inputs, targets = batch
        self._optimizer.zero_grad()
        loss = cross_entropy(self._model(inputs), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        self._optimizer.step()
        loss.item()
