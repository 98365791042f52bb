"""Fusion: the models of a group as one, as long as that is faster than one after another."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, final

import torch
from torch import Tensor

from runner.data.data import Batch, SearchData, Split
from runner.data.splits import TensorSplit
from runner.evaluators.evaluator import NotFinite
from runner.evaluators.member import Member
from runner.evaluators.race import Race
from runner.fusion.fuse import Forward, Fused, NotFused, fuse
from runner.fusion.packed import unpack
from runner.fusion.parameters import Parameters
from runner.fusion.program import Programs
from runner.fusion.stepping.optimizer import stacked
from runner.fusion.streams import Streams
from runner.trial import Gain, Metrics

NEAR, NEAR_IN_HALF = 1e-3, 0.05  # shares of the largest output, by which a plan's may differ
MOST = 2**30  # bytes of features that are kept


@final
class Fusion:
    """Trains members as one model. Their parameters become parts of packed ones."""

    def __init__(
        self,
        members: Sequence[Member],
        programs: Sequence[Programs],
        streams: Streams,
        alone: Sequence[float] = (),
    ) -> None:
        """`streams`: the members' random numbers. `alone`: seconds of steps that they took one
        after another. Raises NotFused."""
        self.members = members
        self._pieces = members[0].pieces
        self._streams = streams
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
        self.race = Race(members[0].device, alone)

    def _fused(self, programs: Sequence[Any], *, training: bool) -> Fused:
        self._set(training=training)
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

    def _set(self, *, training: bool) -> None:
        for member in self.members:
            member.model.train(training)

    def differs(self, inputs: Tensor) -> str:
        """Hold what the models give together against what each gives; what is wrong, if anything
        is."""
        near = NEAR if self._pieces.precision == "fp32" else NEAR_IN_HALF
        for training, fused in ((False, self._eval), (True, self._train)):
            self._set(training=training)
            with torch.no_grad(), self._sparing_buffers():
                with self._streams.sparing():
                    ours = self._chunks(self._pieces.outputs(fused.forward, inputs.clone()))
                with self._streams.sparing():
                    theirs = [self._alone(i, inputs) for i in range(len(self.members))]
            if any(_far(*pair, near) for pair in zip(ours, theirs, strict=True)):
                return "together they give other numbers than each alone"
        return ""

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
        self._set(training=False)
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
