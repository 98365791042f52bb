"""The pre-screen of a search: of several samples for a trial, a proxy chooses the one to train."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, final

from runner.duplicates import Duplicates
from runner.engines.engine import Engine
from runner.errors import Refused
from runner.prescreen import Prescreen
from runner.space.sample import DrawError, Sample
from runner.strategies.strategy import NotYet, Strategy
from runner.trial import Failure, Job, Proposal, Report, trial_seed

log = logging.getLogger(__name__)
Candidates = list[tuple[Proposal, Mapping[str, Any]]]  # with the recipes of their models
TOLD = 3  # screenings that failed, and are told, one line each
USELESS = 5  # screenings in a row without any score, after which there are no more


@final
class Screening:
    """Asks a strategy for several samples of a trial, lets a worker score them, and chooses the
    best. Nothing of that is in the record until the trial is proposed."""

    def __init__(
        self,
        memory: Prescreen,
        strategy: Strategy,
        engine: Engine,
        duplicates: Duplicates,
        seed: int,
        *,
        broken: Callable[[Sample, str], Refused | None],
        run: Callable[[Job], None],
        tell: Callable[[str], None],
    ) -> None:
        """`seed` is that of the run. `broken` returns why a sample, with the key of its trial,
        breaks a constraint, if that is known. `run` runs a job, passes its reports to `hear`, and
        returns when `is_done`. `tell` shows a sentence to the user."""
        self._memory = memory
        self._strategy = strategy
        self._engine = engine
        self._duplicates = duplicates
        self._seed = seed
        self._broken = broken
        self._run = run
        self._tell = tell
        self._number: int | None = None  # of the trial whose candidates are being scored
        self._scores: dict[int, float] = {}  # by their place
        self._failure: Failure | None = None  # the last one
        self._ended_early = False  # such as by the end of its worker
        self._failed = 0  # screenings without a score, or that ended early
        self._in_vain = 0  # screenings in a row without a score

    @property
    def is_done(self) -> bool:
        return self._number is None

    @property
    def is_on(self) -> bool:
        return self._memory.is_on and self._in_vain < USELESS

    def choose(self, number: int, usual: Proposal | None) -> Proposal | None:
        """Returns the candidate with the best score; without any score, the first that may be
        tried; None if none may be. `usual` is the usual proposal, if its walk reached its end."""
        found = self._candidates(number, usual)
        if not found:
            return None
        samples = [one.sample for one, _ in found]
        recipes = [recipe for _, recipe in found]
        seeds = [trial_seed(self._seed, number)] * len(found)
        self._number, self._scores = number, {}
        self._failure, self._ended_early = None, False
        self._run(Job([number], seeds, samples, recipes, action="screen"))
        if self._ended_early or not self._scores:
            self._tell_failure(number, len(found))
        self._in_vain = 0 if self._scores else self._in_vain + 1
        if self._in_vain == USELESS:
            self._tell(f"No further trials are screened: {USELESS} in a row had no score at all.")
        if not self._scores:
            return found[0][0]
        best = max(self._scores, key=lambda place: (self._scores[place], -place))
        return replace(found[best][0], proxy=self._scores[best], random=False)

    def hear(self, report: Report) -> bool:
        """Takes a report if it is one of the candidates, and returns whether it was."""
        if self.is_done or report.trial != self._number:
            return False
        self._failure = report.failure or self._failure
        if report.kind == "started":  # perhaps again, after a crash
            self._scores.clear()
            self._failure = None
        elif report.kind == "metrics":
            self._scores |= {int(place): score for place, score in report.metrics.items()}
        else:
            self._number, self._ended_early = None, report.kind == "failed"
        return True

    def _candidates(self, number: int, usual: Proposal | None) -> Candidates:
        """Returns different proposals that may be tried and repeat no trial."""
        found: dict[str, tuple[Proposal, Mapping[str, Any]]] = {}
        for variant in range(self._memory.candidates):
            proposal = self._variant(number, variant) if variant else usual
            if proposal is None:
                continue
            key, refusal = self._duplicates.key(proposal.sample)
            is_known = key in found or self._duplicates.first(key) is not None
            if refusal is not None or is_known or self._broken(proposal.sample, key) is not None:
                continue
            try:
                found[key] = proposal, self._engine.recipe_of(proposal.sample)
            except (DrawError, Refused) as error:
                log.info("A candidate of trial %s has no model: %s", number, error)
        return [*found.values()]

    def _variant(self, number: int, variant: int) -> Proposal | None:
        strategy = self._strategy
        strategy.vary(variant)
        try:
            sample = strategy.propose(number)
        except (DrawError, NotYet, StopIteration):
            return None
        finally:
            strategy.vary(0)
        return Proposal(sample, strategy.parent, random=strategy.random)

    def _tell_failure(self, number: int, candidates: int) -> None:
        self._failed += 1
        if self._failed > TOLD:
            return
        why = "" if self._failure is None else f" ({self._failure})"
        rest = " Further ones are not told." if self._failed == TOLD else ""
        count, chosen = "No candidate", "the first one is tried"
        if self._scores:
            count, chosen = f"{len(self._scores)} of {candidates} candidates", "the best is tried"
        verb = "have" if self._scores else "has"
        name = self._memory.proxy
        self._tell(f"{count} of trial {number} {verb} a score of {name}{why}; {chosen}.{rest}")
