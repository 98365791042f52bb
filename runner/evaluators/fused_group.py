"""Fusion: trains the models of a group as one, as long as that is faster than in turn."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, final

import torch
from torch import Tensor

from runner.data.data import Batch, SearchData, Split
from runner.data.splits import TensorSplit
from runner.evaluators.full_precision import full_precision
from runner.evaluators.member import Member
from runner.evaluators.race import TOO_SHORT, Race
from runner.evaluators.recipe import scores
from runner.evaluators.replicas import Forward
from runner.evaluators.snapshot import Snapshot
from runner.fusion.fuse import Fused, NotFused, fuse
from runner.fusion.optimizers.select import stacked
from runner.fusion.packing.packed_parameters import Parameters
from runner.fusion.packing.packing import unpack
from runner.fusion.packing.random_streams import Streams
from runner.fusion.program.program import Programs
from runner.trial import Gain, Metrics

# Largest relative error of a fused plan: of outputs, and of gradients.
NEAR, NEAR_IN_HALF = (0.001, 0.01), (0.05, 0.1)
MOST = 2**30  # bytes of features that may be cached


@final
class Fusion:
    """Members that are trained as one model. Their parameters become views of packed ones."""

    def __init__(
        self,
        members: Sequence[Member],
        programs: Sequence[Programs],
        streams: Streams,
        alone: Sequence[float] = (),
    ) -> None:
        """Fuses members. `streams` are their random numbers, and `alone` the seconds of earlier
        steps taken one member after another. Raises NotFused."""
        self.members = members
        self._recipe = members[0].recipe
        self._streams = streams
        self._alike = all(member.recipe.has_loss_of(self._recipe) for member in members)
        self._parameters = Parameters()
        try:
            self._train = self._fused([p.train for p in programs], training=True)
            self._eval = self._fused([p.eval for p in programs], training=False)
            if self._train.launches == self._train.operations:
                raise NotFused("no two models share an operation on equal shapes")
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
        """The gain of fusion, as far as it is known."""
        speedup = self.race.speedup if self.race.over else 1.0
        why = "" if self.race.over else TOO_SHORT
        if self.race.over and not self.race.together:
            why = "that is faster"
        return Gain(len(self.members), self._train.launches, self._train.operations, speedup, why)

    def _set(self, *, training: bool) -> None:
        for member in self.members:
            member.model.train(training)

    def mismatch(self, batch: Batch) -> str:
        """Compares fused outputs and gradients with those of each model alone. Returns the problem,
        or an empty string."""
        limits = NEAR if self._recipe.precision == "fp32" else NEAR_IN_HALF
        for look, near in zip((self._outputs, self._gradients), limits, strict=True):
            with full_precision():
                ours, theirs = ([*look(batch, together=way)] for way in (True, False))
            if any(_distance(*pair) > near for pair in zip(ours, theirs, strict=True)):
                return "their fused results differ from those of each model alone"
        return ""

    @torch.no_grad()
    def _outputs(self, batch: Batch, *, together: bool) -> Iterator[Tensor]:
        """Yields the outputs of the models in eval mode."""
        with self._restored_state():
            self._set(training=False)
            yield from self._outputs_of(batch[0].clone(), together=together)

    def _gradients(self, batch: Batch, *, together: bool) -> Iterator[Tensor]:
        """Yields the loss of each model, and its gradients as one vector."""
        self._update.zero_grad()
        with self._restored_state():
            self._set(training=True)
            if together:
                every = self._losses((batch[0].clone(), batch[1]))
                every.sum().backward()  # type: ignore[no-untyped-call]
                losses = [*every]
            else:
                losses = []
                for place in range(len(self.members)):
                    losses.append(self._loss(place, batch))
                    losses[-1].backward()
        for member, loss in zip(self.members, losses, strict=True):
            grads = [p.grad.flatten() for p in member.model.parameters() if p.grad is not None]
            yield loss.detach()
            yield torch.cat(grads)

    @contextmanager
    def _restored_state(self) -> Iterator[None]:
        """Restores the models' buffers and attributes and all random generators on exit."""
        before = Snapshot(member.model for member in self.members)
        try:
            with self._streams.sparing():
                yield
        finally:
            before.restore()

    def step(self, batch: Batch, at: int, total: int) -> None:
        """Trains all members on a batch; members with a non-finite loss drop out."""
        with self.race.step() as together:
            self._update.zero_grad()
            if together:
                self._together(batch)
            else:
                self._one_by_one(batch)
            norms = [member.recipe.clip_norm for member in self.members]
            if any(norm is not None for norm in norms):
                self._update.clip(norms)
            scales = [member.recipe.schedule(at, total) for member in self.members]
            lrs = [member.recipe.lr for member in self.members]
            if len({*scales}) > 1:
                lrs = [lr * scale for lr, scale in zip(lrs, scales, strict=True)]
                scales = [1.0]
            self._update.step(lrs, [member.alive for member in self.members], scales[0])

    def features(self, data: SearchData) -> SearchData | None:
        """Returns the data as features of the frozen part that all models start with; None without
        such a part, or if caching does not pay. Afterwards, `step` and `metrics` expect
        features."""
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
        for batch in self._recipe.scoring_batches(split, self.members[0].device):
            features = self._recipe.outputs(fused.prefix, batch[0])
            if features.nbytes / len(batch[0]) * len(split) > MOST:
                return None
            kept.append(features)
            targets.append(batch[1])
        return TensorSplit(torch.cat(kept), torch.cat(targets))

    def _forward(self, fused: Fused) -> Forward:
        """Returns the function from a batch, or its features, to the outputs of all models."""
        if self._on_features:
            assert fused.rest is not None
            return fused.rest
        return fused.forward

    def _together(self, batch: Batch) -> None:
        """Computes the gradients of all members at once."""
        losses, examples = self._losses(batch), len(batch[1])
        on_cpu = losses.device.type == "cpu"
        values: Sequence[Any] = losses.tolist() if on_cpu else losses.detach().unbind()
        for member, value in zip(self.members, values, strict=True):
            if member.alive:
                with member.dropping_out():
                    member.losses.add(value, examples)
        losses.sum().backward()  # type: ignore[no-untyped-call]

    def _losses(self, batch: Batch) -> Tensor:
        """Returns the loss of each member, (K,), computed at once."""
        inputs, targets = batch
        outputs = self._recipe.outputs(self._forward(self._train), inputs)
        if self._alike:
            repeated = targets.repeat(len(self.members), *[1] * (targets.ndim - 1))
            return self._recipe.losses(outputs, repeated).view(len(self.members), -1).mean(1)
        pairs = zip(self.members, self._chunks(outputs), strict=True)
        return torch.stack([m.recipe.losses(part, targets).mean() for m, part in pairs])

    def _one_by_one(self, batch: Batch) -> None:
        """Computes the gradients of one member after another."""
        for place, member in enumerate(self.members):
            if member.alive:
                with member.dropping_out():
                    loss = self._loss(place, batch)
                    member.losses.add(loss, len(batch[1]))
                    loss.backward()  # type: ignore[no-untyped-call]

    def _loss(self, place: int, batch: Batch) -> Tensor:
        """Returns the loss of one member."""
        member = self.members[place]
        with self._streams.of(place):
            return member.recipe.batch_loss(member.forward, (batch[0].clone(), batch[1]))

    def _alone(self, place: int, inputs: Tensor) -> Tensor:
        """Returns the outputs of one model."""
        member = self.members[place]
        with self._streams.of(place):
            return member.recipe.outputs(member.forward, inputs.clone())  # it may modify them

    def _chunks(self, outputs: Tensor) -> Sequence[Tensor]:
        return outputs.chunk(len(self.members))

    def metrics(self, split: Split, epoch: int) -> dict[Member, Metrics]:
        """Returns the metrics of an epoch for each member still in training."""
        self._set(training=False)
        recipes, device = [member.recipe for member in self.members], self.members[0].device
        outputs = partial(self._outputs_of, together=self.race.together)
        found = {}
        for member, score in zip(
            self.members, scores(recipes, outputs, split, device), strict=True
        ):
            if member.alive:
                with member.dropping_out():
                    found[member] = member.report(score, epoch)
        return found

    def _outputs_of(self, inputs: Tensor, *, together: bool) -> Sequence[Tensor]:
        """Returns the outputs of each model in eval mode."""
        if together:
            return self._chunks(self._recipe.outputs(self._forward(self._eval), inputs))
        return [self._alone(i, inputs) for i in range(len(self.members))]

    def release(self) -> None:
        """Moves the parameters of each model back into memory of its own."""
        self._update.release()
        for packed in self._packed:
            unpack(packed)
        for fused in (self._train, self._eval):
            fused.clear()


def _distance(ours: Tensor, theirs: Tensor) -> float:
    """Returns the relative error in the Euclidean norm. Single gradients may differ a lot where an
    activation is almost zero, but not in many places."""
    if ours.shape != theirs.shape:
        return math.inf
    if not theirs.isfinite().all():
        return 0.0  # useless in any case
    distance = float((ours - theirs).norm() / theirs.norm().clamp(min=1e-6))
    return distance if math.isfinite(distance) else math.inf
