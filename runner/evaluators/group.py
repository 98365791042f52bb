"""Group: models that are trained side by side, each on the same batches."""

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
from runner.evaluators.seeds import OtherNumbers, seed_model, torch_seed
from runner.evaluators.snapshot import Snapshot
from runner.fusion.fuse import NotFused
from runner.fusion.program import Programs
from runner.fusion.random_streams import Streams
from runner.trial import Gain, Metrics

log = logging.getLogger(__name__)
PROBES = 2  # steps that are taken one model after another first; the last one is timed
DEAD = 0.25  # the share of members no longer trained from which they are left out


@final
class Group:
    """Members that are trained one after another on each batch, or as one where that is faster."""

    def __init__(
        self,
        members: Sequence[Member],
        programs: Sequence[Programs] = (),
        prospects: Prospects | None = None,
    ) -> None:
        """`programs`: what the models do, for them to be trained as one; (): they are not.
        `prospects`: of being faster so; None: not known."""
        self.members = members
        self._prospects = prospects or Prospects()
        self.gain = Gain(
            len(members), why=TOO_SHORT if programs else "their programs are not known"
        )
        self._programs = dict(zip(members, programs, strict=bool(programs)))
        self._streams = Streams([0] * len(members), members[0].device)
        self._others = OtherNumbers([member.seed for member in members])
        self._fusion: Fusion | None = None
        self._decided = not programs or len(members) == 1  # whether to be one was decided on
        self._alone: list[float] = []  # seconds of the steps before that
        self._features: list[SearchData | None] = []  # looked for once for each fusion
        self._kept: list[Snapshot] = []  # of members that were stopped

    @property
    def alive(self) -> list[Member]:
        """The members that are still trained."""
        return [member for member in self.members if member.alive]

    @property
    def lost(self) -> dict[int, NotFinite]:
        """Why members dropped out, by their places."""
        return {i: m.lost for i, m in enumerate(self.members) if m.lost is not None}

    def begin(self, epoch: int) -> None:
        """Get ready for an epoch."""
        if self._fusion is not None and self._dead(self._fusion) >= DEAD:
            self._fuse(self.alive)
        seed_model(self.members[0].seed, epoch)
        self._others.begin(epoch)
        for i, member in enumerate(self.members):
            self._streams.seed(i, torch_seed(member.seed, epoch))
            member.begin(epoch)

    @property
    def is_one(self) -> bool:
        """Whether it is known that the members are faster as one."""
        race = None if self._fusion is None else self._fusion.race
        return race is not None and race.over and race.together

    def features(self, data: SearchData) -> SearchData | None:
        """The data as a frozen part sees them that all models of a group which is one begin with,
        for examples that never change; None where there is no such part."""
        assert self._fusion is not None
        if not self._features:
            self._features.append(self._fusion.features(data))
        return self._features[0]

    def step(self, batch: Batch, at: int, total: int) -> None:
        """Train all members on a batch; those whose loss is not finite drop out."""
        if not self._decided and len(self._alone) == PROBES:
            self._decide(batch, total - at)
        if self._fusion is not None:
            self._fusion.step(batch, at, total)
        elif len(self.members) == 1:
            with self.members[0].losing():
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
                with member.losing(), self._turn(i):
                    member.step((batch[0].clone(), batch[1]), at, total)  # it may change it

    @contextmanager
    def _turn(self, place: int) -> Iterator[None]:
        """Global random numbers are those of a member; one that is alone has them in any case."""
        if len(self.members) == 1:
            yield
            return
        with self._streams.of(place), self._others.of(place):
            yield

    def _decide(self, batch: Batch, left: int) -> None:
        """Plan to train the members as one if that is worth it for the steps that are left."""
        self._decided = True
        programs = self._programs.values()
        operations = sum(len(p.train.steps) + len(p.eval.steps) for p in programs)
        obstacle = self.members[0].pieces.not_fused
        if self._others.used:
            obstacle = "a model draws random numbers of Python or numpy"
        if why := obstacle or self._prospects.refusal(operations, left * self._alone[-1]):
            self._give_up(why)
            return
        start = now(self.members[0].device)
        self._fuse(self.members, batch)  # those that are lost, too: it is as if they were lost now
        self._prospects.planned(operations, now(self.members[0].device) - start)
        if self._fusion is None:
            self._prospects.raced(0.0)
        for member in self.members:  # planning looks at them in eval mode, too
            member.model.train()

    def metrics(self, split: Split, epoch: int) -> list[Metrics]:
        """What an epoch brought to each member; nothing for those that are no longer trained."""
        found: dict[Member, Metrics] = {}
        if self._fusion is not None:
            found = self._fusion.metrics(split, epoch)
        else:
            for i, member in enumerate(self.members):
                if member.alive:
                    with member.losing(), self._turn(i):
                        found[member] = member.metrics(split, epoch)
        return [found.get(member, {}) for member in self.members]

    def stop(self, places: Collection[int]) -> None:
        """End members early; they keep the weights that they have."""
        for place in places:
            member = self.members[place]
            if member.alive:
                member.stopped = True
                self._kept.append(Snapshot([member.model]))

    def end(self) -> Gain:
        """Leave each model on its own, and say what fusion brought."""
        self._let_go()
        for before in self._kept:
            before.restore()
        return self.gain

    def _fuse(self, members: Sequence[Member], batch: Batch | None = None) -> None:
        """Train members as one from now on, if that can be; it is checked on a batch, where
        one is given."""
        self._let_go()
        if len(self.alive) < 2:
            return
        try:
            programs = [self._programs[member] for member in members]
            streams = self._streams.part([self.members.index(member) for member in members])
            self._fusion = Fusion(members, programs, streams, self._alone)
            self._alone = []  # of more members than there will be next time
            if batch is not None and (problem := self._fusion.differs(batch)):
                raise NotFused(problem)
        except (torch.OutOfMemoryError, MemoryError):
            raise
        except NotFused as reason:
            self._give_up(str(reason))
        except Exception as error:  # a fault of ours; the models can be trained nevertheless
            log.warning("A group could not be fused: %s", one_line(error), exc_info=True)
            self._give_up(one_line(error))

    def _give_up(self, why: str) -> None:
        self._let_go()
        self.gain = Gain(len(self.members), why=why)

    def _let_go(self) -> None:
        if self._fusion is not None:
            if not self.gain.launches or self.gain.why:  # else the first fusion speaks for all
                self.gain = replace(self._fusion.gain, models=len(self.members))
            if self._fusion.race.over:
                self._prospects.raced(self._fusion.race.speedup)
            self._fusion.release()
            self._fusion = None
            self._features.clear()

    @staticmethod
    def _dead(fusion: Fusion) -> float:
        """The share of members that are no longer trained."""
        return sum(not member.alive for member in fusion.members) / len(fusion.members)
