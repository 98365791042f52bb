"""How much each choice mattered for good results, by Optuna's PED-ANOVA."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, final

from runner.ranking import results
from runner.report.choices import DECADES, SeenChoice, seen_choices
from runner.space.choice import JsonValue, Numeric, key
from runner.space.structure import Part
from runner.trial import Trial

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

FEWEST = 10  # results below which nothing is said
MOST = 2_000  # results that are analysed: the latest ones
GOOD = 0.1  # the share of the results that count as good, but at least
LEAST_GOOD = 5  # of them
RANGE = 12  # values of a numeric choice from which on it is taken as a range


@final
@dataclass(frozen=True)
class Importance:
    """The importance of choices, the most important first; their sum is 1. There are none if all
    results are equal."""

    shares: Sequence[tuple[str, float]]  # label and importance
    results: int  # how many were analysed
    good: int  # how many of them count as good


def importance_of(trials: Sequence[Trial], parts: Sequence[Part] = ()) -> Importance | None:
    """Returns how much each choice mattered for reaching the best tenth of the results (Watanabe
    et al. 2023, https://arxiv.org/abs/2304.10255), also of choices that are not always asked; with
    several objectives, for reaching the front. None with fewer than 10 results to compare, and
    where no choice had two values; without shares if all results are equal."""
    found = results(trials)[-MOST:]
    varied = [one for one in seen_choices(found, parts) if len(one.values) > 1]
    if len(found) < FEWEST or not varied:
        return None
    if len({one.scores for one in found}) == 1:
        return Importance((), len(found), 0)
    good = max(round(GOOD * len(found)), LEAST_GOOD)
    shares = _evaluated(found, varied, good / len(found))
    ordered = sorted(shares.items(), key=lambda pair: -pair[1])
    return Importance(ordered, len(found), good)


def _evaluated(
    results: Sequence[Trial], choices: Sequence[SeenChoice], quantile: float
) -> dict[str, float]:
    """Returns Optuna's figures, by label."""
    import optuna  # here: with what it imports, it takes more than a second
    from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
    from optuna.trial import create_trial

    from runner.quiet_optuna import quiet

    directions: Sequence[Literal["maximize"]] = ["maximize"] * len(results[0].scores)
    # Optuna takes a name only once, and "label" would not say which of two choices has it.
    names = {one.label: f"choice {i}" for i, one in enumerate(choices)}
    distributions = {names[one.label]: _distribution(one) for one in choices}
    with quiet():
        study = optuna.create_study(directions=directions)
        study.add_trials([
            create_trial(values=[*trial.scores], **_parameters(trial, names, distributions))
            for trial in results
        ])  # fmt: skip
        found = get_param_importances(
            study, evaluator=PedAnovaImportanceEvaluator(target_quantile=quantile)
        )
    return {label: found[name] for label, name in names.items() if name in found}


def _parameters(
    trial: Trial, names: dict[str, str], distributions: dict[str, "BaseDistribution"]
) -> dict[str, Any]:
    used = {name: distributions[name] for label, name in names.items() if label in trial.sample}
    values = {
        name: _value(trial.sample[label], distributions[name])
        for label, name in names.items() if label in trial.sample
    }  # fmt: skip
    return {"params": values, "distributions": used}


def _value(value: JsonValue, distribution: "BaseDistribution") -> JsonValue:
    from optuna.distributions import CategoricalDistribution

    return key(value) if isinstance(distribution, CategoricalDistribution) else value


def _distribution(one: SeenChoice) -> "BaseDistribution":
    """Returns what Optuna is told of a choice: a range where it has many numbers, or else a list of
    the values that were tried."""
    from optuna.distributions import (
        CategoricalDistribution,
        FloatDistribution,
        IntDistribution,
    )

    if not one.is_numeric or len(one.values) < RANGE:
        return CategoricalDistribution([key(value) for value in one.values])
    choice = None if one.part is None else one.part.choice
    low, high = min(one.values), max(one.values)
    is_wide = low > 0 and high / low >= DECADES
    log = low > 0 and (choice.log if isinstance(choice, Numeric) else is_wide)
    if all(type(value) is int for value in one.values):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)
