"""A group: models trained side by side on the same batches."""

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import final

import torch

from runner.data.data import Batch, SearchData, Split
from runner.errors import one_line
from runner.evaluators.evaluator import NotFinite
from runner.evaluators.fused_group import Fusion
from runner.evaluators.member import Member
from runner.evaluators.race import TOO_SHORT, Prospects, now
from runner.evaluators.seeds import ForeignGenerators, seed_model, torch_seed
from runner.evaluators.snapshot import Snapshot
from runner.fusion.fuse import NotFused
from runner.fusion.packing.random_streams import Streams
from runner.fusion.program.program import Programs
from runner.trial import Gain, Metrics

log = logging.getLogger(__name__)
PROBES = 2  # initial steps taken one model after another; the last is timed
INACTIVE = 0.25  # fraction of inactive members at which the group is fused again without them


@final
class Group:
    """Members trained one after another on each batch, or fused if that is faster."""

    def __init__(
        self,
        members: Sequence[Member],
        programs: Sequence[Programs] = (),
        prospects: Prospects | None = None,
    ) -> None:
        """Takes members, and their `programs` for fusion; (): do not fuse. `prospects` are the
        expected gains of fusion; None: unknown."""
        self.members = members
        self._prospects = prospects or Prospects()
        self.gain = Gain(len(members), why=TOO_SHORT if programs else "their programs are unknown")
        self._programs = dict(zip(members, programs, strict=bool(programs)))
        self._streams = Streams([0] * len(members), members[0].device)
        self._foreign = ForeignGenerators([member.seed for member in members])
        self._fusion: Fusion | None = None
        self._decided = not programs or len(members) == 1  # whether fusion was decided on
        self._alone: list[float] = []  # seconds of the steps before that
        self._features: list[SearchData | None] = []  # of the current fusion, once computed
        self._kept: list[Snapshot] = []  # of members that were stopped

    @property
    def alive(self) -> list[Member]:
        """The members still in training."""
        return [member for member in self.members if member.alive]

    @property
    def lost(self) -> dict[int, NotFinite]:
        """The errors of members that dropped out, by index."""
        return {i: m.lost for i, m in enumerate(self.members) if m.lost is not None}

    def begin(self, epoch: int) -> None:
        """Prepares for an epoch."""
        if self._fusion is not None and self._inactive(self._fusion) >= INACTIVE:
            self._fuse(self.alive)
        seed_model(self.members[0].seed, epoch)
        self._foreign.begin(epoch)
        for i, member in enumerate(self.members):
            self._streams.seed(i, torch_seed(member.seed, epoch))
            member.begin(epoch)

    @property
    def is_one(self) -> bool:
        """True once the members are known to be faster fused."""
        race = None if self._fusion is None else self._fusion.race
        return race is not None and race.over and race.together

    def features(self, data: SearchData) -> SearchData | None:
        """Returns the data as features of the frozen part that all models of a fused group start
        with; None without such a part. The examples must be the same in every epoch."""
        assert self._fusion is not None
        if not self._features:
            self._features.append(self._fusion.features(data))
        return self._features[0]

    def step(self, batch: Batch, at: int, total: int, left: int | None = None) -> None:
        """Trains all members on a batch, step `at` of `total`; members with a non-finite loss drop
        out. `left` steps are taken before the training is interrupted; None: all that remain."""
        if not self._decided and len(self._alone) == PROBES:
            self._decide(batch, total - at if left is None else left)
        if self._fusion is not None:
            self._fusion.step(batch, at, total)
        elif len(self.members) == 1:
            with self.members[0].dropping_out():
                self.members[0].step(batch, at, total)
        elif self._decided:
            self._one_by_one(batch, at, total)
        else:
            start = now(self.members[0].device)
            self._one_by_one(batch, at, total)
            self._alone.append(now(self.members[0].device) - start)

    def _one_by_one(self, batch: Batch, at: int, total: int) -> None:
        for i, member in enumerate(self.members):
            if member.alive:
                with member.dropping_out(), self._random_state_of(i):
                    member.step((batch[0].clone(), batch[1]), at, total)  # it may modify it

    @contextmanager
    def _random_state_of(self, place: int) -> Iterator[None]:
        """Runs the block under a member's global random state; a single member needs no switch."""
        if len(self.members) == 1:
            yield
            return
        with self._streams.of(place), self._foreign.of(place):
            yield

    def _decide(self, batch: Batch, left: int) -> None:
        """Fuses the members if that pays for the remaining steps."""
        self._decided = True
        programs = self._programs.values()
        operations = sum(len(p.train.steps) + len(p.eval.steps) for p in programs)
        obstacle = self.members[0].recipe.not_fused
        if self._foreign.used:
            obstacle = "a model draws random numbers of Python or numpy"
        if why := obstacle or self._prospects.refusal(operations, left * self._alone[-1]):
            self._give_up(why)
            return
        start = now(self.members[0].device)
        self._fuse(self.members, batch)  # includes lost members, as if they were lost now
        self._prospects.planned(operations, now(self.members[0].device) - start)
        if self._fusion is None:
            self._prospects.raced(0.0)
        for member in self.members:  # planning also runs them in eval mode
            member.model.train()

    def metrics(self, split: Split, epoch: int) -> list[Metrics]:
        """Returns the metrics of an epoch per member, empty for those no longer in training."""
        found: dict[Member, Metrics] = {}
        if self._fusion is not None:
            found = self._fusion.metrics(split, epoch)
        else:
            for i, member in enumerate(self.members):
                if member.alive:
                    with member.dropping_out(), self._random_state_of(i):
                        found[member] = member.metrics(split, epoch)
        return [found.get(member, {}) for member in self.members]

    def stop(self, places: Collection[int]) -> None:
        """Stops members early; they keep their weights."""
        for place in places:
            member = self.members[place]
            if member.alive:
                member.stopped = True
                self._kept.append(Snapshot([member.model]))

    def end(self) -> Gain:
        """Unpacks the models and returns the gain of fusion."""
        self._release()
        for before in self._kept:
            before.restore()
        return self.gain

    def _fuse(self, members: Sequence[Member], batch: Batch | None = None) -> None:
        """Fuses members if possible. If a batch is given, validates the result on it."""
        self._release()
        if len(self.alive) < 2:
            return
        try:
            programs = [self._programs[member] for member in members]
            streams = self._streams.part([self.members.index(member) for member in members])
            self._fusion = Fusion(members, programs, streams, self._alone)
            self._alone = []  # of more members than there will be next time
            if batch is not None and (problem := self._fusion.mismatch(batch)):
                raise NotFused(problem)
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except NotFused as reason:
            self._give_up(str(reason))
        except Exception as error:  # a bug in fusion; the models can still be trained
            log.warning("A group could not be fused: %s", one_line(error), exc_info=True)
            self._give_up(one_line(error))

    def _give_up(self, why: str) -> None:
        self._release()
        self.gain = Gain(len(self.members), why=why)

    def _release(self) -> None:
        if self._fusion is not None:
            if not self.gain.launches or self.gain.why:  # else keep the gain of the first fusion
                self.gain = replace(self._fusion.gain, models=len(self.members))
            if self._fusion.race.over:
                self._prospects.raced(self._fusion.race.speedup)
            self._fusion.release()
            self._fusion = None
            self._features.clear()

    @staticmethod
    def _inactive(fusion: Fusion) -> float:
        """Returns the fraction of members no longer in training."""
        return sum(not member.alive for member in fusion.members) / len(fusion.members)
