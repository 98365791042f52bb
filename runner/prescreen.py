"""The memory of a pre-screen: how well its proxy tells good trials, and whether it goes on.

No torch.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import final

from runner.goals import Objective
from runner.repeats import SampleResults
from runner.trial import Trial

FIRST = 32  # trials after which it is first asked whether the proxy is of use; then 64, 128, ...
LEAST = 8  # trials from which an interval is right
CERTAIN = 0.8  # one-sided, to go on: only the best are trained, which makes rho smaller
SHOWN = 0.95  # two-sided, in the summary


@final
class Prescreen:
    """Compares the proxies of trials with their scores, of several objectives with the first. It is
    a fold over the record, as strategies are.

    What counts are trials that were trained to the end, with a result and a proxy. Only the best of
    several candidates are trained, so their proxies differ less than those of all samples, which
    makes the correlation smaller than over all samples.
    """

    def __init__(self, proxy: str, candidates: int, objective: Objective, repeats: int = 1) -> None:
        """`repeats` is the number of trainings of each sample, whose mean is compared."""
        self.proxy = proxy
        self.candidates = candidates
        better = "low " if objective.mode == "min" else ""
        self._metric = f"{better}{objective.metric}"
        self._repeats = SampleResults(repeats)
        self._pairs: list[tuple[float, float]] = []  # a proxy and a score
        self._next = 0  # the number of the next trial
        self._off: int | None = None  # the first trial that was not screened; None: it goes on

    @property
    def is_on(self) -> bool:
        return self._off is None

    def observe(self, trial: Trial) -> str:
        """Observes a trial, as `Strategy.observe`. Returns what to tell the user: that the screen
        is off from now on; or ""."""
        if trial.running:
            self._next = max(self._next, trial.number + 1)
        seen = self._repeats.see(trial) if trial.stage == "search" else ()
        return "".join(map(self._compare, seen))

    def _compare(self, trial: Trial) -> str:
        if trial.proxy is None or not trial.scored or trial.duplicate_of is not None:
            return ""
        self._pairs.append((trial.proxy, trial.scores[0]))
        count = len(self._pairs)
        if self._off is not None or count < FIRST or count & (count - 1):
            return ""
        rho = spearman(self._pairs)
        low, _ = interval(rho, count, 2 * CERTAIN - 1)
        if low > 0:
            return ""
        self._off = self._next
        return (
            f"The screen is off from trial {self._off} on: over {count} trials, Spearman's rho of "
            f"{self.proxy} with {self._metric} is {rho:.2f}, which is not above chance (with "
            f"{100 * CERTAIN:g} % confidence, above {low:.2f} only)."
        )

    def summary(self) -> str:
        """Returns how well the proxy told which trials are good."""
        count = len(self._pairs)
        if count < LEAST:
            return (
                f"Too few trials ({count}) finished with a score of {self.proxy} to tell whether "
                "it is of use."
            )
        rho = spearman(self._pairs)
        low, high = interval(rho, count, SHOWN)
        how = f" ({100 * SHOWN:g} % interval {low:.2f} to {high:.2f})" if abs(rho) < 1 else ""
        off = "" if self._off is None else f" The screen was off from trial {self._off} on."
        return (
            f"Spearman's rho of {self.proxy} with {self._metric} over {count} trials: "
            f"{rho:.2f}{how}.{off}"
        )


def spearman(pairs: Sequence[tuple[float, float]]) -> float:
    """Returns Spearman's rank correlation; 0 if all of one side are equal, which tells nothing."""
    from scipy.stats import spearmanr  # here: it takes a second to import

    one, other = zip(*pairs, strict=True)
    if len({*one}) < 2 or len({*other}) < 2:
        return 0.0
    return float(spearmanr(one, other).statistic)


def interval(rho: float, count: int, confidence: float) -> tuple[float, float]:
    """Returns a two-sided interval of Spearman's rho over so many pairs, at least 4: Fisher's z,
    with the standard error of Bonett and Wright 2000 (https://doi.org/10.1007/BF02294183)."""
    z = math.atanh(max(-1 + 1e-12, min(rho, 1 - 1e-12)))
    error = math.sqrt((1 + rho * rho / 2) / (count - 3))
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * error
    return math.tanh(z - reach), math.tanh(z + reach)
