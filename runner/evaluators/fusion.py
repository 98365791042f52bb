"""Fusion: the models of a group as one, as long as that is faster than one after another."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any, final

import torch
from torch import Tensor

from runner.data.data import Batch, SearchData, Split
from runner.data.splits import TensorSplit
from runner.evaluators.evaluator import NotFinite
from runner.evaluators.member import Member
from runner.evaluators.seeds import torch_seed
from runner.fusion.fuse import Forward, Fused, NotFused, fuse
from runner.fusion.packed import unpack
from runner.fusion.parameters import Parameters
from runner.fusion.program import Programs
from runner.fusion.stepping.optimizer import stacked
from runner.fusion.streams import Streams
from runner.trial import Gain, Metrics

ROUNDS = 3  # so many steps of either kind are timed before the faster one is kept
NEAR, NEAR_IN_HALF = 1e-3, 0.05  # shares of the largest output, by which a plan's may differ
MOST = 2**30  # bytes of features that are kept


@final
class Race:
    """Which of two ways to take a step is faster; both do the same."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._seconds: dict[bool, list[float]] = {True: [], False: []}
        self.together = True  # the way of the next step

    @property
    def over(self) -> bool:
        """Whether it is decided."""
        return all(len(seconds) > ROUNDS for seconds in self._seconds.values())

    @property
    def speedup(self) -> float:
        """How many times as fast as one after another the models are together."""
        alone, together = (median(self._seconds[way][1:]) for way in (False, True))
        return alone / together

    @contextmanager
    def step(self) -> Iterator[bool]:
        """Take a step, together or not; it is timed while the race is on."""
        if self.over:
            yield self.together
            return
        start = self._now()
        yield self.together
        self._seconds[self.together].append(self._now() - start)
        self.together = self.speedup > 1 if self.over else not self.together

    def _now(self) -> float:
        if self._device.type == "cpu":
            return time.process_time()
        torch.accelerator.synchronize(self._device)
        return time.perf_counter()


@final
class Fusion:
    """Trains members as one model. Their parameters become parts of packed ones."""

    def __init__(self, members: Sequence[Member], programs: Sequence[Programs]) -> None:
        """Raises NotFused."""
        self.members = members
        self._pieces = members[0].pieces
        if obstacle := self._pieces.not_fused:
            raise NotFused(obstacle)
        self._streams = Streams([0] * len(members), members[0].device)
        self._alike = len({member.pieces.loss_settings for member in members}) == 1
        self._parameters = Parameters()
        try:
            self._train = self._fused([p.train for p in programs], training=True)
            self._eval = self._fused([p.eval for p in programs], training=False)
            if self._train.launches == self._train.operations:
                raise NotFused("no two models do the same on tensors of the same shape")
        except BaseException:
            self._parameters.unpack()
            raise
        self._packed = self._parameters.all(member.model for member in members)
        self._update = stacked(self._packed, [member.optimizer for member in members])
        self._on_features = False
        self.race = Race(members[0].device)

    def _fused(self, programs: Sequence[Any], *, training: bool) -> Fused:
        for member in self.members:
            member.model.train(training)
        models = [member.model for member in self.members]
        return fuse(models, programs, self._parameters, self._streams)

    @property
    def gain(self) -> Gain:
        """What it brings, as far as that is known."""
        speedup = self.race.speedup if self.race.over else 1.0
        why = "" if self.race.over else "training ended before it was known what is faster"
        if self.race.over and not self.race.together:
            why = f"one after another they are {1 / speedup:.2f} times as fast"
        return Gain(len(self.members), self._train.launches, self._train.operations, speedup, why)

    def begin(self, epoch: int) -> None:
        """Get ready for an epoch."""
        self._seed([torch_seed(member.seed, epoch) for member in self.members], training=True)

    def _seed(self, seeds: Sequence[int], *, training: bool) -> None:
        for i, (member, seed) in enumerate(zip(self.members, seeds, strict=True)):
            self._streams.seed(i, seed)
            member.model.train(training)

    def differs(self, inputs: Tensor) -> str:
        """Hold what the models give together against what each gives; what is wrong, if anything
        is."""
        for training, fused in ((True, self._train), (False, self._eval)):
            with torch.no_grad(), self._sparing_buffers():
                self._begin_at_zero(training=training)
                ours = self._chunks(self._pieces.outputs(fused.forward, inputs.clone()))
                self._begin_at_zero(training=training)
                theirs = [self._alone(i, inputs) for i in range(len(self.members))]
            near = NEAR if self._pieces.precision == "fp32" else NEAR_IN_HALF
            if any(_far(*pair, near) for pair in zip(ours, theirs, strict=True)):
                return "together they give other numbers than each alone"
        return ""

    def _begin_at_zero(self, *, training: bool) -> None:
        self._seed([0] * len(self.members), training=training)

    @contextmanager
    def _sparing_buffers(self) -> Iterator[None]:
        """Afterwards the models' buffers have what they had before."""
        buffers = [buffer for member in self.members for buffer in member.model.buffers()]
        kept = [buffer.clone() for buffer in buffers]
        try:
            yield
        finally:
            for buffer, old in zip(buffers, kept, strict=True):
                buffer.copy_(old)

    def step(self, batch: Batch, at: int, total: int) -> None:
        """Train all members on a batch; those whose loss is not finite drop out."""
        with self.race.step() as together:
            self._update.zero_grad()
            if together:
                self._together(batch)
            else:
                self._one_by_one(batch)
            norms = [member.pieces.clip_norm for member in self.members]
            if any(norm is not None for norm in norms):
                self._update.clip(norms)
            scales = [member.pieces.schedule(at, total) for member in self.members]
            lrs = [member.pieces.lr for member in self.members]
            if len({*scales}) > 1:
                lrs = [lr * scale for lr, scale in zip(lrs, scales, strict=True)]
                scales = [1.0]
            self._update.step(lrs, [member.alive for member in self.members], scales[0])

    def features(self, data: SearchData) -> SearchData | None:
        """The data as a frozen part that all models begin with sees them; None where there is no
        such part, or it does not pay to keep them. From now on, `step` and `metrics` take these."""
        pairs = (data.train, self._train), (data.validation, self._eval)
        found = [self._features(split, fused) for split, fused in pairs if split.fixed]
        kept = [split for split in found if split is not None]
        if len(kept) < len(pairs):
            return None
        self._on_features = True
        return SearchData(*kept)

    @torch.no_grad()
    def _features(self, split: Split, fused: Fused) -> Split | None:
        if fused.prefix is None:
            return None
        kept, targets = [], []
        batches = split.batches(4 * self._pieces.batch_size, self.members[0].device)
        for batch in batches:
            features = self._pieces.outputs(fused.prefix, batch[0])
            if features.nbytes / len(batch[0]) * len(split) > MOST:
                return None
            kept.append(features)
            targets.append(batch[1])
        return TensorSplit(torch.cat(kept), torch.cat(targets))

    def _forward(self, fused: Fused) -> Forward:
        """What all models give for a batch, or for its features."""
        if self._on_features:
            assert fused.rest is not None
            return fused.rest
        return fused.forward

    def _together(self, batch: Batch) -> None:
        """The gradients of all members at once."""
        inputs, targets = batch
        outputs = self._pieces.outputs(self._forward(self._train), inputs)
        if self._alike:
            repeated = targets.repeat(len(self.members), *[1] * (targets.ndim - 1))
            losses = self._pieces.losses(outputs, repeated).view(len(self.members), -1).mean(1)
        else:
            pairs = zip(self.members, self._chunks(outputs), strict=True)
            losses = torch.stack([m.pieces.losses(part, targets).mean() for m, part in pairs])
        examples = len(targets)
        on_cpu = losses.device.type == "cpu"
        values: Sequence[Any] = losses.tolist() if on_cpu else losses.detach().unbind()
        for member, value in zip(self.members, values, strict=True):
            if member.alive:
                try:
                    (member.losses.see if on_cpu else member.losses.add)(value, examples)
                except NotFinite as error:
                    member.lost = error
        losses.sum().backward()  # type: ignore[no-untyped-call]

    def _one_by_one(self, batch: Batch) -> None:
        """The gradients of one member after another."""
        inputs, targets = batch
        for place, member in enumerate(self.members):
            if member.alive:
                with member.losing():
                    outputs = self._alone(place, inputs)
                    loss = member.pieces.losses(outputs, targets).mean()
                    member.losses.add(loss, len(targets))
                    loss.backward()  # type: ignore[no-untyped-call]

    def _alone(self, place: int, inputs: Tensor) -> Tensor:
        """What one of the models gives."""
        member = self.members[place]
        with self._streams.of(place):
            return member.pieces.outputs(member.forward, inputs.clone())  # it may change it

    def _chunks(self, outputs: Tensor) -> Sequence[Tensor]:
        return outputs.chunk(len(self.members))

    def metrics(self, split: Split, epoch: int) -> dict[Member, Metrics]:
        """What an epoch brought to each member that is trained."""
        for member in self.members:
            member.model.eval()
        scores = self._scores(split)
        found = {}
        for member, score in zip(self.members, scores, strict=True):
            if member.alive:
                with member.losing():
                    found[member] = member.report(score, epoch)
        return found

    def _scores(self, split: Split) -> list[Metrics]:
        """The metrics of all members, side by side."""
        pieces = self._pieces
        judged: list[list[Tensor]] = [[] for _ in self.members]
        with torch.no_grad():
            for inputs, targets in split.batches(4 * pieces.batch_size, self.members[0].device):
                for place, part in enumerate(self._answers(inputs)):
                    judged[place].append(self.members[place].pieces.judge(part, targets))
        pairs = zip(self.members, judged, strict=True)
        return [m.pieces.metrics(torch.cat(parts).cpu().double()) for m, parts in pairs]

    def _answers(self, inputs: Tensor) -> Sequence[Tensor]:
        """What each model gives in eval mode."""
        if self.race.together:
            return self._chunks(self._pieces.outputs(self._forward(self._eval), inputs))
        return [self._alone(i, inputs) for i in range(len(self.members))]

    def release(self) -> None:
        """Give each model memory of its own again."""
        self._update.release()
        for packed in self._packed:
            unpack(packed)
        for fused in (self._train, self._eval):
            fused.clear()


def _far(ours: Tensor, theirs: Tensor, near: float) -> bool:
    """Whether outputs differ by more than rounding explains."""
    if ours.shape != theirs.shape:
        return True
    if not theirs.isfinite().all():
        return False  # of no use in any case
    largest = theirs.abs().max().clamp(min=1e-3)
    return not (ours - theirs).abs().max() <= near * largest
