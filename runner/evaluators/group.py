"""Group: models that are trained side by side, each on the same batches."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import final

import torch
from torch import Tensor

from runner.data.data import Batch, SearchData, Split
from runner.errors import one_line
from runner.evaluators.evaluator import NotFinite
from runner.evaluators.fusion import Fusion
from runner.evaluators.member import Member
from runner.evaluators.seeds import seed_model, torch_seed
from runner.fusion.fuse import NotFused
from runner.fusion.program import Programs
from runner.fusion.streams import Streams
from runner.trial import Gain, Metrics

log = logging.getLogger(__name__)
DEAD = 0.25  # the share of members no longer trained from which they are left out


@final
class Group:
    """Members that are trained one after another on each batch, or as one where that is faster."""

    def __init__(self, members: Sequence[Member], programs: Sequence[Programs] = ()) -> None:
        """`programs`: what the models do, for them to be trained as one; (): they are not."""
        self.members = members
        self.gain = Gain(len(members), why="no programs of the models are known")
        self._programs = dict(zip(members, programs, strict=bool(programs)))
        self._streams = Streams([0] * len(members), members[0].device)
        self._fusion: Fusion | None = None
        self._tried = not programs or len(members) == 1
        self._epoch = 0
        self._features: list[SearchData | None] = []  # looked for once for each fusion
        self._kept: list[tuple[Tensor, Tensor]] = []  # buffers of stopped members, and their values

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
        self._epoch = epoch
        if self._fusion is not None and self._dead(self._fusion) >= DEAD:
            self._fuse()
        seed_model(self.members[0].seed, epoch)
        for i, member in enumerate(self.members):
            self._streams.seed(i, torch_seed(member.seed, epoch))
            member.begin(epoch)
        if self._fusion is not None:
            self._fusion.begin(epoch)

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
        if not self._tried:
            self._tried = True
            self._fuse(batch[0])
            self.begin(self._epoch)
        if self._fusion is not None:
            self._fusion.step(batch, at, total)
        elif len(self.members) == 1:
            with self.members[0].losing():
                self.members[0].step(batch, at, total)
        else:
            for i, member in enumerate(self.members):
                if member.alive:
                    with member.losing(), self._streams.of(i):
                        member.step((batch[0].clone(), batch[1]), at, total)  # it may change it

    def metrics(self, split: Split, epoch: int) -> list[Metrics]:
        """What an epoch brought to each member; nothing for those that are no longer trained."""
        found: dict[Member, Metrics] = {}
        if self._fusion is not None:
            found = self._fusion.metrics(split, epoch)
        else:
            for member in self.alive:
                with member.losing():
                    found[member] = member.metrics(split, epoch)
        return [found.get(member, {}) for member in self.members]

    def stop(self, places: Collection[int]) -> None:
        """End members early; they keep the weights that they have."""
        for place in places:
            member = self.members[place]
            if member.alive:
                member.stopped = True
                self._kept += [(buffer, buffer.clone()) for buffer in member.model.buffers()]

    def end(self) -> Gain:
        """Leave each model on its own, and say what fusion brought."""
        self._let_go()
        for buffer, value in self._kept:
            buffer.copy_(value)
        return self.gain

    def _fuse(self, inputs: Tensor | None = None) -> None:
        """Train those that are alive as one from now on, if that can be; it is checked on inputs,
        where some are given."""
        self._let_go()
        members = self.alive
        if len(members) < 2:
            return
        try:
            self._fusion = Fusion(members, [self._programs[member] for member in members])
            if inputs is not None and (problem := self._fusion.differs(inputs)):
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
            self._fusion.release()
            self._fusion = None
            self._features.clear()

    @staticmethod
    def _dead(fusion: Fusion) -> float:
        """The share of members that are no longer trained."""
        return sum(not member.alive for member in fusion.members) / len(fusion.members)
