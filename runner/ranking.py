"""Rankings of trials: the best ones, the front of a trade-off, and its hypervolume."""

import math
from collections.abc import Sequence

from runner.repeats import merged
from runner.trial import Trial

Scores = Sequence[float]  # a number per objective; more is better


def dominates(a: Scores, b: Scores) -> bool:
    """Returns whether a point is nowhere worse than another one, and somewhere better."""
    return a != b and all(x >= y for x, y in zip(a, b, strict=True))


def fronts(points: Sequence[Scores]) -> list[list[int]]:
    """Sorts points, by index, into fronts: the points that no other dominates, those that only
    the first front dominates, and so on (Deb et al. 2002, https://doi.org/10.1109/4235.996017)."""
    order = sorted(range(len(points)), key=lambda i: (*(-x for x in points[i]), i))
    found: list[list[int]] = []
    for i in order:  # whatever dominates a point comes before it
        for front in found:
            if not any(dominates(points[j], points[i]) for j in reversed(front)):
                front.append(i)
                break
        else:
            found.append([i])
    return [sorted(front) for front in found]


def undominated(points: Sequence[Scores]) -> list[int]:
    """Returns the indices of the points that no other one dominates: the first of the `fronts`."""
    found: list[int] = []
    # Whatever dominates a point comes before it.
    for i in sorted(range(len(points)), key=lambda i: (*points[i],), reverse=True):
        if not any(dominates(points[j], points[i]) for j in found):
            found.append(i)
    return sorted(found)


def spread(points: Sequence[Scores], k: int) -> list[int]:
    """Returns the indices of `k` points that cover a front: the ends of each objective first, and
    then always the point that is farthest from all chosen ones."""
    if len(points) <= k:
        return [*range(len(points))]
    ranges = [(min(axis), max(axis)) for axis in zip(*points, strict=True)]
    unit = [[(x - low) / (high - low or 1.0) for x, (low, high) in zip(p, ranges, strict=True)]
            for p in points]  # fmt: skip
    ends = [max(range(len(points)), key=lambda i: (points[i][axis], -i))
            for axis in range(len(ranges))]  # fmt: skip
    chosen = [*dict.fromkeys(ends)][:k]
    far = [min(math.dist(p, unit[i]) for i in chosen) for p in unit]
    for i in chosen:  # no point is chosen twice, also of several at one place
        far[i] = -1.0
    while len(chosen) < k:
        new = max(range(len(points)), key=lambda i: (far[i], -i))
        chosen.append(new)
        far = [min(d, math.dist(p, unit[new])) for d, p in zip(far, unit, strict=True)]
        far[new] = -1.0
    return chosen


def hypervolume(points: Sequence[Scores], reference: Scores) -> float:
    """Returns the volume that points dominate, above a reference point (Zitzler and Thiele 1998).

    Slices along the last objective; exact for any number of objectives, and quick for few.
    """
    above = [p for p in points if all(x > r for x, r in zip(p, reference, strict=True))]
    if not above:
        return 0.0
    if len(reference) == 1:
        return max(p[0] for p in above) - reference[0]
    above.sort(key=lambda p: -p[-1])
    total = 0.0
    for i, point in enumerate(above):
        below = above[i + 1][-1] if i + 1 < len(above) else reference[-1]
        if height := point[-1] - below:
            total += height * hypervolume([p[:-1] for p in above[: i + 1]], reference[:-1])
    return total


def worst(trials: Sequence[Trial]) -> list[float]:
    """Returns the worst score of some scored trials in each objective."""
    return [min(axis) for axis in zip(*(trial.scores for trial in trials), strict=True)]


def results(trials: Sequence[Trial]) -> list[Trial]:
    """Returns the results to compare: shared ones count once, and the trainings of one sample are
    one trial; see `repeats.merged`."""
    return [t for t in merged(trials) if t.scored and t.duplicate_of is None]


def front(trials: Sequence[Trial]) -> list[Trial]:
    """Returns the trials with the best trade-offs, the best in the first objective first: nothing
    feasible is better than one of them in all objectives. See `results`."""
    found = [t for t in results(trials) if t.feasible]
    first = [found[i] for i in undominated([t.scores for t in found])]
    return sorted(first, key=lambda t: (-t.scores[0], t.number))


def winners(trials: Sequence[Trial]) -> list[Trial]:
    """Returns which of some scored trials win a tournament: those that no other one beats in every
    objective, among those that keep all constraints, or else that break them the least."""
    least = min(trial.violation for trial in trials)
    left = [trial for trial in trials if trial.violation == least]
    return [left[i] for i in undominated([trial.scores for trial in left])]


def top(trials: Sequence[Trial], k: int) -> list[Trial]:
    """Returns the k best trials, best first, then earlier first; see `results`.

    Those that keep all constraints come first, the others by how much they break them, and samples
    that were confirmed before those that were not, whose results are still by chance. With several
    objectives, trials of the front come first, the best in the first objective foremost; if they
    are too many, those that are spread over it.
    """
    own = sorted(results(trials), key=lambda t: t.number)
    confirmed = _ranked([t for t in own if t.feasible and t.confirmed], k)
    others = _ranked([t for t in own if t.feasible and not t.confirmed], k - len(confirmed))
    rest = sorted((t for t in own if not t.feasible), key=lambda t: (t.violation, t.number))
    return [*confirmed, *others, *rest][:k]


def pillars(trials: Sequence[Trial]) -> list[Trial]:
    """Returns the best trial of the search and the best of those that were drawn at random, which
    are compared at the end of a run."""
    searched = [trial for trial in trials if trial.stage == "search"]
    return [*top(searched, 1), *top([trial for trial in trials if trial.random], 1)]


def _ranked(trials: Sequence[Trial], k: int) -> list[Trial]:
    """Returns the k best of some trials that keep all constraints."""
    if not any(len(t.scores) > 1 for t in trials):
        return sorted(trials, key=lambda t: -t.scores[0])[:k]
    found: list[Trial] = []
    for indices in fronts([t.scores for t in trials]):
        if len(found) >= k:
            break
        members = [trials[i] for i in indices]
        chosen = [members[i] for i in spread([t.scores for t in members], k - len(found))]
        found += sorted(chosen, key=lambda t: (-t.scores[0], t.number))
    return found


def curve(trials: Sequence[Trial], cost: str) -> list[tuple[float, float]]:
    """Returns what trials cost so far, by a metric that sums up, such as seconds, and the best
    first score so far, after each that improved it. Trials count in the order they ended; shared
    results cost nothing, and those that break constraints do not improve it."""
    own = [t for t in trials if t.duplicate_of is None and cost in t.metrics and not t.running]
    own.sort(key=lambda t: (t.ended_at or 0.0, t.number))
    spent, best = 0.0, -math.inf
    points = []
    for trial in own:
        spent += trial.metrics[cost]
        if trial.scored and trial.feasible and trial.scores[0] > best:
            best = trial.scores[0]
            points.append((spent, best))
    return points
