"""Supervised training: data, models, epochs, batches, metrics."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, final

import torch
from torch import nn

from runner.data.data import SearchData, Split
from runner.evaluators.evaluator import NotFinite, Span, TrainingRun
from runner.evaluators.group import Group
from runner.evaluators.member import Member, set_memory_format
from runner.evaluators.recipe import Recipe
from runner.evaluators.seeds import seed_data
from runner.evaluators.training_state import restore, state_of
from runner.trial import Metrics


@dataclass(frozen=True, kw_only=True)
class Supervised(Recipe):
    """An evaluator that trains on (input, target) pairs. Subclasses define the loss and the
    metrics.

    A model's random numbers depend on its own seed and the epoch, those of the data on `seed` and
    the epoch. So models of a job do not influence each other, and all models see the same examples
    in the same order.
    """

    @final
    def evaluate(self, models: Sequence[nn.Module], data: SearchData, run: TrainingRun) -> None:
        """Trains the models side by side, all on the same batches.

        A model with a non-finite loss drops out, and NotFinite is raised once the others are done.
        The models end on the run's device.
        """
        recipes: Any = run.evaluators or [self] * len(models)
        members = [
            Member(model, own, seed, run.device, run.replicas)
            for model, own, seed in zip(models, recipes, run.seeds, strict=True)
        ]
        span = run.span or Span(0, self.epochs)
        for member, state in zip(members, span.before, strict=bool(span.before)):
            restore(member, state)
        group = Group(members, run.programs, run.prospects)
        try:
            for epoch in range(span.begin, span.end):
                metrics = self._epoch(group, data, epoch, span.end, run.device)
                if not group.alive:
                    break
                group.stop(run.report(metrics))
                if span.every is not None and (epoch + 1) % span.every == 0:
                    _hand_over(members, epoch + 1, span)
        finally:
            gain = group.end()
            for model in models:
                set_memory_format(model, torch.contiguous_format)
        run.tell(gain)
        _hand_over(members, span.end, span)
        if lost := group.lost:
            reasons = {place: str(error) for place, error in lost.items()}
            raise NotFinite("; ".join(reasons.values()), tuple(lost), reasons)

    def _epoch(
        self, group: Group, data: SearchData, epoch: int, end: int, device: torch.device
    ) -> Sequence[Metrics]:
        """Trains a group for an epoch, of those up to `end`, and returns the metrics of each
        member."""
        order, noise = seed_data(self.seed, epoch)
        group.begin(epoch)
        keeps = epoch > 0 and group.is_one and self.is_static(data.train, device)
        features = group.features(data) if keeps else None
        train, validation = (features or data).train, (features or data).validation
        batches = train.batches(self.batch_size, device, order)
        steps = steps_per_epoch(len(train), self.batch_size)
        for step, (inputs, targets) in enumerate(islice(batches, steps)):
            batch = inputs if features else self.augmented(inputs, noise), targets
            at = epoch * steps + step
            group.step(batch, at, self.epochs * steps, left=end * steps - at)
            if not group.alive:
                break
        return group.metrics(validation, epoch)

    @final
    def score(
        self, models: Sequence[nn.Module], split: Split, device: torch.device
    ) -> Sequence[Metrics]:
        return [self.scored(model.to(device).eval(), split, device) for model in models]


def _hand_over(members: Sequence[Member], epoch: int, span: Span) -> None:
    """Passes on the states of the members in training, for others to go on from."""
    if span.after is None:
        return
    for place, member in enumerate(members):
        if member.alive and (reached := state_of(member, epoch)) is not None:
            span.after(place, reached)


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Returns the number of training batches. A last batch of a single example is dropped, because
    batch normalization cannot handle it."""
    whole, rest = divmod(examples, batch_size)
    return max(1, whole + (rest > 1))
