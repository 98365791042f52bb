"""Is a model of a fused group trained as it would be alone? In float64 it must be, to rounding.

In float32 a first step is compared, without TF32 and as torch comes. Dropout, whose numbers an
accelerator draws differently, is compared by its mean loss.
"""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any, final

import torch
from cgo_cases import CASES, STEPS, Candidates, Case, different
from device_task import NO_CUDA, NO_TIME, Row, Task, checked, claimed, skipped
from torch import Tensor

from runner.data.data import Batch
from runner.evaluators.fused_group import Fusion
from runner.evaluators.member import Member
from runner.evaluators.replicas import OneReplica
from runner.fusion.packing.random_streams import Streams

COMPARED = ("tiny MLP, 16 rates", "small CNN", "cell, same", "chain of kernels", "cell, mutants",
            "frozen backbone", "transformer, 128 wide")  # fmt: skip
MLP = {"depths": [2], "widths": [32], "activations": ["relu"]}
NORMED = Case("MLP, batch norm", 0, 4, "spaces.mlp.MLP",
              {**MLP, "norms": ["batch"], "dropouts": [0.0]}, draw=different)  # fmt: skip
DROPPING = Case("MLP, dropout", 0, 4, "spaces.mlp.MLP",
                {**MLP, "norms": ["none"], "dropouts": [0.5]})  # fmt: skip
SIZE = 4  # models of a group
BLOCKS, DRAWS = 20, 10  # of losses under dropout; each block has a mean


@final
@dataclass(frozen=True)
class Form:
    """Numbers that models are trained with, and how far apart both ways may be then: of a first
    step the losses and gradients, and after several the weights (None: not compared)."""

    name: str
    dtype: torch.dtype
    tf32: bool
    precision: Any
    loss: float
    gradient: float
    weights: float | None = None


# What a rounding error of the first step becomes is not looked at in less than float64: Adam makes
# steps of one size of any gradient.
FLOAT64 = Form("float64", torch.float64, False, "fp32", 1e-10, 1e-8, 1e-6)
FLOAT32 = Form("float32", torch.float32, False, "fp32", 1e-4, 2e-3)
DEFAULT = Form("float32, TF32 as torch has it", torch.float32, True, "fp32", 1e-2, 5e-2)


@final
class Pair:
    """The models of a case, to be trained fused and one by one."""

    def __init__(self, candidates: Candidates, form: Form, device: torch.device) -> None:
        candidates.plan()  # for the first form; later ones find it
        models = [model.to(form.dtype) for model in candidates.models()]
        self.programs = candidates.programs()
        self._form, self._device = form, device
        self._make = partial(_members, candidates, models, form, device)
        self.batches: list[Batch] = [
            (inputs.to(form.dtype), targets) for inputs, targets in candidates.batches(device, 4)
        ]

    def alone(self) -> list[Member]:
        """The members, at the start of an epoch."""
        members = self._make()
        for member in members:
            member.begin(0)
        return members

    def fused(self) -> tuple[list[Member], Fusion]:
        """Other members of the same models, and what trains them as one in every step: one after
        another would have taken an age."""
        members = self.alone()
        streams = Streams([member.seed for member in members], self._device)
        return members, Fusion(members, self.programs, streams, alone=[1e9] * 5)


def _members(
    candidates: Candidates, models: Sequence[Any], form: Form, device: torch.device
) -> list[Member]:
    made = candidates.members(models, torch.device("cpu"))
    return [
        Member(one.model, replace(recipe, precision=form.precision), one.seed, device, OneReplica())
        for one, recipe in zip(made, candidates.pieces(), strict=True)
    ]


def run(task: Task) -> Iterator[Row]:
    """Compare the cases in all forms."""
    device = torch.device(task.device)
    names = COMPARED[:2] if task.quick else COMPARED
    cases = groups(names)
    steps = 5 if task.quick else 25
    set_tf32(False)
    for form in (FLOAT64, FLOAT32):
        yield from compared(cases, form, device, task, steps)
    if task.is_cuda:
        set_tf32(True)
        yield from compared(cases, DEFAULT, device, task, 1)
    else:
        yield skipped(DEFAULT.name, NO_CUDA)
    yield from dropping(device)


def groups(names: Sequence[str]) -> list[Candidates]:
    """Groups of these cases, and of a perceptron with batch normalization; each keeps its plans."""
    cases = [NORMED, *(replace(case, size=SIZE) for case in CASES if case.name in names)]
    return [Candidates(case) for case in cases]


def set_tf32(on: bool) -> None:
    """Allow TF32 where torch does, or nowhere."""
    torch.backends.cudnn.allow_tf32 = on
    torch.backends.cuda.matmul.allow_tf32 = False


def compared(
    cases: Sequence[Candidates], form: Form, device: torch.device, task: Task, steps: int
) -> Iterator[Row]:
    """Train the models of all cases both ways; the worst of each figure, and the figures of each
    case as details."""
    found: dict[str, Errors] = {}
    broken: dict[str, str] = {}
    for candidates in cases:
        name = candidates.case.name
        try:
            if task.left > 0:
                found[name] = errors(candidates, form, device, steps)
                yield {"details": {form.name: {name: asdict(found[name])}}}
        except RuntimeError as error:  # such as of a kernel that this device does not have
            broken[name] = " ".join(str(error).split())[:200]
    if late := len(cases) - len(found) - len(broken):
        yield skipped(f"{form.name}: {late} of {len(cases)} cases", NO_TIME)
    if broken:
        why = "; ".join(f"{name}: {text}" for name, text in broken.items())
        yield claimed(f"{form.name}: all cases run", False, why)
    if not found:
        return
    refused = {name: one.refused for name, one in found.items() if one.refused}
    what = f"{form.name}: the engine's own comparison"
    yield claimed(what, not refused, "; ".join(f"{name}: {why}" for name, why in refused.items()))
    limits = {"loss": form.loss, "gradient": form.gradient, "weights": form.weights}
    for field, limit in limits.items():
        if limit is not None:
            worst = max(found, key=lambda name: getattr(found[name], field))
            figure = getattr(found[worst], field)
            yield checked(f"{form.name}: {NAMES[field]}, worst: {worst}", figure, limit)


NAMES = {"loss": "first loss", "gradient": "first gradient", "weights": "weights in the end"}


@final
@dataclass(frozen=True)
class Errors:
    """How far apart fused models and those trained alone are, the worst of a group."""

    refused: str  # what the engine's own comparison said before training; empty: all is well
    loss: float
    gradient: float
    weights: float


def errors(candidates: Candidates, form: Form, device: torch.device, steps: int) -> Errors:
    """Train both ways, and compare: losses and gradients of the first step, and the weights."""
    pair = Pair(candidates, form, device)
    alone, (ours, fusion) = pair.alone(), pair.fused()
    refused = fusion.mismatch(pair.batches[0])
    for member in ours:
        member.model.train()
    loss = slope = math.nan
    for at in range(steps if form.weights is not None else 1):
        batch = pair.batches[at % len(pair.batches)]
        fusion.step(batch, at, STEPS)
        for member in alone:
            member.step((batch[0].clone(), batch[1]), at, STEPS)
        if at == 0:
            loss, slope = worst(ours, alone, losses), worst(ours, alone, gradient)
    found = worst(ours, alone, weights)
    fusion.release()
    return Errors(refused, loss, slope, found)


def losses(member: Member) -> list[Tensor]:
    """The mean loss of the steps so far."""
    return [torch.tensor(member.losses.mean(), dtype=torch.float64)]


def gradient(member: Member) -> list[Tensor]:
    """All gradients of a model as one vector: some of its tensors may have almost none."""
    found = [p.grad.flatten() for p in member.model.parameters() if p.grad is not None]
    return [torch.cat(found).detach()]


def weights(member: Member) -> list[Tensor]:
    """All parameters of a model as one vector, and all its statistics: a parameter that gets no
    gradient but rounding errors is no measure."""
    model = member.model
    statistics_ = [one for one in model.buffers() if one.is_floating_point()]
    parts: list[list[Tensor]] = [[*model.parameters()], statistics_]
    return [torch.cat([one.detach().flatten() for one in part]) for part in parts if part]


def worst(
    ours: Sequence[Member], theirs: Sequence[Member], what: Callable[[Member], Sequence[Tensor]]
) -> float:
    """The largest relative error of the tensors of any model, in the Euclidean norm."""
    return max(
        _apart(*two)
        for one, other in zip(ours, theirs, strict=True)
        for two in zip(what(one), what(other), strict=True)
    )


def _apart(ours: Tensor, theirs: Tensor) -> float:
    ours, theirs = ours.double(), theirs.double()
    found = float((ours - theirs).norm() / theirs.norm().clamp(min=1e-9))
    return found if math.isfinite(found) else math.inf


def dropping(device: torch.device) -> Iterator[Row]:
    """Compare mean losses under dropout. The weights stay as they are: the rate is almost 0."""
    pair = Pair(Candidates(DROPPING), FLOAT32, device)
    batch = pair.batches[0]
    alone, (ours, fusion) = pair.alone(), pair.fused()
    weights_ = alone[0].model.state_dict()
    for member in (*alone, *ours):
        member.model.load_state_dict(weights_)  # in place; what differs are the random numbers
        member.model.train()
        member.recipe = replace(member.recipe, lr=1e-12)
    fused: list[list[float]] = [[] for _ in ours]
    single: list[list[float]] = [[] for _ in ours]
    for _ in range(BLOCKS):
        for member in (*alone, *ours):
            member.begin(0)
        for _ in range(DRAWS):
            fusion.step(batch, 10, STEPS)
            for member in alone:
                member.step((batch[0].clone(), batch[1]), 10, STEPS)
        for found, members in ((fused, ours), (single, alone)):
            for place, member in enumerate(members):
                found[place].append(member.losses.mean())
    fusion.release()
    apart = max(_errors(*two) for two in zip(fused, single, strict=True))
    yield checked(f"{DROPPING.name}: mean losses", apart, 5.0, "s.e.")
    drawn = len({losses[0] for losses in fused}) == len(fused)
    yield claimed(f"{DROPPING.name}: each model drops its own", drawn, "two have equal losses")
    spread = [statistics.stdev(losses) for losses in fused]
    yield claimed(f"{DROPPING.name}: each step drops others", min(spread) > 0, f"{spread}")


def _errors(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """How many standard errors two means are apart."""
    variance = (statistics.variance(ours) + statistics.variance(theirs)) / len(ours)
    return abs(statistics.mean(ours) - statistics.mean(theirs)) / math.sqrt(variance)
