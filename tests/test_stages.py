"""Stages: repeats, random samples to compare with, and confirmation, in whole searches of toys."""

from collections import Counter

import pytest
from searches import ARITHMETIC, STRATEGIES, Grouped, Picky, cut

from runner.errors import Refused
from runner.ranking import top
from runner.repeats import merged
from runner.stages import FRUITLESS
from runner.store import RECORD
from runner.strategies.evolution import Evolution

ALL = {"repeat": 2, "confirm": (2, 2), "compare": True}


def history(trials):
    """What must be equal between two runs: all but the times."""
    return [
        (t.number, t.sample, t.seed, t.state, dict(t.metrics), t.duplicate_of, t.parent,
         t.repeat_of, t.stage, t.random) for t in trials
    ]  # fmt: skip


def stages(trials):
    return Counter(trial.stage for trial in trials)


def firsts(trials, stage="search"):
    return [t for t in trials if t.stage == stage and t.repeat_of is None]


def trouble(kind, width=2):
    return {"_target_": "toy.Trouble", "kind": kind, "width": width, "folder": "."}


def test_the_budget_counts_samples_and_each_is_trained_under_seeds_of_its_own(search):
    trials = search.run(4, repeat=3)
    assert len(trials) == 12 and len({trial.seed for trial in trials}) == 12
    assert [trial.repeat_of for trial in trials] == [None, 0, 0, None, 3, 3, None, 6, 6, None, 9, 9]
    for first in firsts(trials):
        group = [t for t in trials if first.number in (t.number, t.repeat_of)]
        assert len({str(t.sample) for t in group}) == 1
        assert len({t.metrics["val/accuracy"] for t in group}) == 3


def test_the_strategy_learns_from_means(search, monkeypatch):
    seen = []
    observe = Evolution.observe
    monkeypatch.setattr(Evolution, "observe", lambda s, t: (seen.append(t), observe(s, t))[1])
    trials = search.run(6, strategy="evolution", repeat=2)
    results = [trial for trial in seen if not trial.running]
    assert results == merged(trials)[: len(results)] and len(results) == 6
    assert all(trial.trainings == 2 for trial in results)


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.sampled(2)
def test_a_run_with_all_stages_cut_at_any_event_goes_on_as_it_would_have(strategy, new_search):
    whole = new_search()
    expected = history(whole.run(5, strategy=strategy, **ALL))
    assert stages(whole.trials).keys() == {"search", "confirm"} | (
        set() if strategy == "random" else {"baseline"}
    )
    content = (whole.folder / RECORD).read_bytes()
    for keep in range(1, cut(whole.folder, 10**6), 3):
        part = new_search()
        part.folder.mkdir()
        (part.folder / RECORD).write_bytes(content)
        assert cut(part.folder, keep) == keep
        assert history(part.run(5, strategy=strategy, **ALL)) == expected, f"cut behind {keep}"


def test_the_best_are_trained_again_under_new_seeds_and_ranked_by_that(search):
    trials = search.run(6, strategy="evolution", confirm=(3, 2))
    news = [trial for trial in trials if trial.stage == "confirm"]
    best = {trial.number for trial in top([t for t in trials if t.stage == "search"], 3)}
    random = top([t for t in trials if t.random], 1)[0].number
    assert {trial.repeat_of for trial in news} == best | {random}
    assert len(news) == 2 * len(best | {random})
    assert {trial.seed for trial in news}.isdisjoint(t.seed for t in trials if t not in news)
    ranked = top(trials, 10)
    confirmed = [trial.number for trial in ranked if trial.confirmed]
    assert [trial.number for trial in ranked[: len(confirmed)]] == confirmed
    assert {*confirmed} == best | {random}
    scores = [trial.scores for trial in ranked[: len(confirmed)]]
    assert scores == sorted(scores, reverse=True)


def test_no_trial_confirms_before_all_others_have_ended(search):
    trials = search.run(6, confirm=(2, 2), service="local", workers=2)
    last = max(trial.ended_at for trial in trials if trial.stage == "search")
    assert all(t.proposed_at >= last for t in trials if t.stage == "confirm")
    assert "Training the best again, to confirm them: 2 samples under 2 new seeds each." in (
        search.progress.notes
    )


def test_random_samples_fill_up_those_that_were_random_anyway(search):
    trials = search.run(9, strategy="evolution", compare=True)  # a population of 4
    assert sum(t.random for t in firsts(trials)) == 4
    baseline = firsts(trials, "baseline")
    assert len(baseline) == 5 and all(trial.random for trial in baseline)
    random = [str(trial.sample) for trial in trials if trial.random]
    assert len({*random}) == len(random) == 9


def test_a_random_search_needs_no_others_to_compare_with(search):
    assert stages(search.run(6, compare=True)) == {"search": 6}


def test_a_random_sample_that_the_search_tried_shares_its_result(search):
    trials = search.run(11, strategy="grid", compare=True)
    baseline = firsts(trials, "baseline")
    assert len(baseline) == 11
    tried = {str(trial.sample): trial.number for trial in firsts(trials)}
    assert any(str(trial.sample) in tried for trial in baseline)
    for trial in baseline:
        assert trial.scored and trial.duplicate_of == tried.get(str(trial.sample))


def test_refused_random_samples_do_not_count(search):
    trials = search.run(4, strategy="grid", compare=True, engine=Picky)
    baseline = [trial for trial in firsts(trials, "baseline") if not trial.refused]
    assert len(baseline) == 4


def test_a_sample_that_fails_is_not_trained_again(search):
    trials = search.run(12, strategy="grid", repeat=2, evaluator=trouble("error"))
    failed = [trial for trial in trials if trial.failed]
    assert failed and all(trial.repeat_of is None for trial in failed)
    assert not any(trial.repeat_of in {t.number for t in failed} for trial in trials)


def test_groups_hold_several_trainings_of_a_sample(search):
    trials = search.run(4, repeat=3, engine=Grouped, confirm=(2, 2))
    assert len(firsts(trials)) == 4 and stages(trials) == {"search": 12, "confirm": 4}
    assert all(trial.scored for trial in trials)


def test_trials_that_confirm_are_not_stopped_early(search):
    evaluator = ARITHMETIC | {"epochs": 4}
    trials = search.run(8, stopper="median", confirm=(3, 2), evaluator=evaluator)
    assert all(t.step == 4 and t.scored for t in trials if t.stage == "confirm")


def test_confirmation_can_be_asked_for_when_the_search_is_over(search):
    before = history(search.run(6, strategy="evolution"))
    after = search.run(6, strategy="evolution", confirm=(2, 3), compare=True)
    assert history(after)[:6] == before
    assert stages(after)["confirm"] >= 6 and stages(after)["baseline"] == 2


def test_a_larger_budget_confirms_those_that_are_the_best_then(search):
    search.run(4, confirm=(1, 2))
    trials = search.run(12, confirm=(1, 2))
    assert len(firsts(trials)) == 12
    best = top([t for t in trials if t.stage == "search"], 1)[0].number
    assert sum(t.repeat_of == best and t.stage == "confirm" for t in trials) == 2


def test_without_dedup_repeats_are_repeats_still(search):
    trials = search.run(15, strategy="evolution", repeat=2, dedup=False)
    assert len(firsts(trials)) == 15 and len(trials) == 30


def test_a_baseline_of_which_nothing_fits_ends_with_a_word_and_the_run_goes_on(search):
    given = {"strategy": "evolution", "search": {"evaluator.lr": {"low": 0.0, "high": 1.0}}}
    kept = {str(trial.sample) for trial in search.run(9, **given)}

    def refuse_others(sample, key):
        if str(sample) not in kept:
            raise Refused("Nothing else fits.")
        return {}

    search.measure = refuse_others
    trials = search.run(9, **given, compare=True, confirm=(1, 2))
    assert stages(trials)["baseline"] == FRUITLESS and stages(trials)["confirm"] >= 2
    assert all(trial.refused for trial in trials if trial.stage == "baseline")
    told = [note for note in search.progress.notes if "random sample" in note]
    assert told == [
        "Trying 5 random samples, to compare the best of the search with.",
        "No further random samples: 100 in a row were refused.",
    ]


def test_a_sample_that_was_begun_is_trained_as_often_as_the_others(search):
    trials = search.run(10, repeat=3, epochs=7)  # each training has two
    assert len(trials) == 6 and len(firsts(trials)) == 2
