"""The loop: what is proposed is recorded, trained once, and goes on exactly after any end."""

import pytest
from searches import ARITHMETIC, STRATEGIES, Picky, Stubborn, cut, history

from runner.errors import RunFailed
from runner.store import RECORD
from runner.strategies.random import Random

FRAGILE = {"_target_": "toy.Fragile"}


def trouble(kind, width=2, folder="."):
    return {"_target_": "toy.Trouble", "kind": kind, "width": width, "folder": str(folder)}


def test_a_run_ends_with_its_budget_and_every_trial_has_a_result(search):
    trials = search.run(6)
    assert [trial.number for trial in trials] == [0, 1, 2, 3, 4, 5]
    assert all(trial.scored and trial.step == 2 for trial in trials)
    assert len({trial.seed for trial in trials}) == 6


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_seed_gives_the_same_run_and_another_seed_another(strategy, new_search):
    first, second = (history(new_search().run(6, strategy=strategy)) for _ in range(2))
    assert first == second
    if strategy != "grid":
        assert history(new_search().run(6, strategy=strategy, seed=1)) != first


@pytest.mark.sampled(4)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_run_cut_at_any_event_goes_on_as_it_would_have(strategy, new_search):
    whole = new_search()
    expected = history(whole.run(9, strategy=strategy))
    content = (whole.folder / RECORD).read_bytes()
    events = cut(whole.folder, 10**6)
    for keep in range(1, events):
        part = new_search()
        part.folder.mkdir()
        (part.folder / RECORD).write_bytes(content)
        assert cut(part.folder, keep) == keep
        assert history(part.run(9, strategy=strategy)) == expected, f"cut behind event {keep}"


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_run_whose_budget_grows_equals_one_that_had_it_from_the_start(strategy, new_search):
    grown = new_search()
    grown.run(4, strategy=strategy)
    assert history(grown.run(9, strategy=strategy)) == history(
        new_search().run(9, strategy=strategy)
    )


@pytest.mark.parametrize("strategy", ["random", "grid"])
def test_a_used_up_space_ends_the_run(strategy, search):
    trials = search.run(1000, strategy=strategy, evaluator=ARITHMETIC | {"epochs": 1})
    assert len({str(t.sample) for t in trials}) == len(trials) == 3 * (2 + 2 * 4)
    assert "exhausted" in search.progress.notes[0]


def test_a_strategy_that_repeats_itself_ends_with_the_space(search):
    trials = search.run(3000, strategy="evolution", evaluator=ARITHMETIC | {"epochs": 1})
    assert len({str(sorted(t.sample.items())) for t in trials}) == 30
    assert len(trials) < 3000 and "exhausted" in search.progress.notes[0]


def test_a_repeated_sample_shares_the_first_result_and_is_not_trained(search):
    trials = search.run(40, strategy="evolution")
    repeats = [trial for trial in trials if trial.duplicate_of is not None]
    assert repeats
    for trial in repeats:
        first = trials[trial.duplicate_of]
        assert trial.sample == first.sample and trial.metrics == first.metrics
        assert trial.started_at is None and trial.state == first.state
    assert not (search.folder / "trials" / f"{repeats[0].number:04d}").exists()


def test_without_dedup_a_repeated_sample_is_trained_with_a_seed_of_its_own(search):
    trials = search.run(40, strategy="evolution", dedup=False)
    assert all(t.duplicate_of is None and t.started_at for t in trials)
    by_sample = {}
    for trial in trials:
        by_sample.setdefault(str(sorted(trial.sample.items())), []).append(trial.metrics)
    again = next(metrics for metrics in by_sample.values() if len(metrics) > 1)
    assert again[0] != again[1]


def test_repeats_of_a_trial_that_is_still_running_wait_for_its_result(search):
    slow = ARITHMETIC | {"epochs": 1, "sleep": 0.05}
    trials = search.run(40, strategy="evolution", evaluator=slow, service="local", workers=3)
    assert all(trial.scored for trial in trials)
    own = [trial for trial in trials if trial.duplicate_of is None]
    assert len(own) == len({str(trial.sample) for trial in own}) and len(trials) > len(own)


def test_hyperparameters_join_the_sample_and_reach_the_evaluator(search):
    trials = search.run(8, search={"evaluator.lr": [10.0, 20.0], "evaluator.epochs": [1, 3]})
    for trial in trials:
        assert trial.step == trial.sample["evaluator.epochs"]
        assert trial.score > trial.sample["evaluator.lr"]
    assert {trial.sample["evaluator.lr"] for trial in trials} == {10.0, 20.0}


def test_a_failed_trial_costs_that_trial_only_and_leaves_its_traceback(search):
    trials = search.run(12, evaluator=trouble("error"))
    failed = [trial for trial in trials if trial.failed]
    assert {trial.sample["width"] for trial in failed} == {2} and len(failed) < 12
    assert failed[0].failure.reason == "error" and "a user's mistake" in failed[0].failure.text
    text = (search.folder / "trials" / f"{failed[0].number:04d}" / "error.txt").read_text()
    assert "Traceback" in text and "toy.py" in text


def test_a_space_that_raises_for_one_sample_costs_that_trial(search):
    trials = search.run(3, space=FRAGILE, evaluator=trouble("error", width=99))
    assert [trial.failed for trial in trials].count(True) >= 1


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("not_finite", "not finite: the loss is nan at epoch 1, step 3"),
        ("nan_metric", "not finite: val/accuracy is nan"),
        ("other_metric", "it reported no 'val/accuracy' but ['other', 'params']"),
        ("host_memory", "out of memory"),
        ("system_exit", "error: SystemExit: 0"),
    ],
)
def test_a_trial_without_a_usable_result_has_failed_and_says_why(kind, text, search):
    failed = [trial for trial in search.run(12, evaluator=trouble(kind)) if trial.failed]
    assert failed and all(text in str(trial.failure) for trial in failed)


def test_fail_fast_ends_the_run_at_the_first_failure(search):
    with pytest.raises(RunFailed, match=r"fail_fast is on.*trials/\d+"):
        search.run(30, evaluator=trouble("error"), fail_fast=True)
    assert [trial.failed for trial in search.trials].count(True) == 1


def test_too_many_failures_end_the_run(search):
    with pytest.raises(RunFailed, match=r"3 trials failed, more than training.max_failures=2"):
        search.run(30, evaluator=trouble("error"), max_failures=2)


def test_a_run_in_which_nothing_works_ends_soon(search):
    with pytest.raises(RunFailed, match=r"None of 5 trials has a result.*a user's mistake"):
        search.run(30, strategy="grid", evaluator=trouble("error", width=1))
    assert len(search.trials) == 5


@pytest.mark.parametrize("method", ["propose", "observe"])
def test_a_strategy_that_raises_is_named_and_nothing_recorded_is_lost(method, search, monkeypatch):
    search.run(3)
    with monkeypatch.context() as broken:
        broken.setattr(Random, method, lambda *_: 1 // 0)
        with pytest.raises(RunFailed, match=r"Random raised ZeroDivisionError.*resume="):
            search.run(6)
    assert len(search.run(6)) == 6


def test_a_full_disk_ends_the_run_and_the_trial_is_run_again_afterwards(search):
    with pytest.raises(RunFailed, match=r"could not write its results.*resume="):
        search.run(12, evaluator=trouble("disk_full"))
    assert not any(trial.failed for trial in search.trials)
    trials = search.run(12, evaluator=trouble("prints"))
    assert all(trial.scored for trial in trials) and len(trials) == 12


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_refused_sample_is_recorded_costs_no_budget_and_another_one_is_drawn(strategy, search):
    trials = search.run(4, strategy=strategy, engine=Picky, dedup=False)
    refused = [trial for trial in trials if trial.refused]
    assert len(trials) - len(refused) == 4
    assert all(trial.scored for trial in trials if not trial.refused)
    assert {trial.sample["width"] == 2 for trial in refused} <= {True}
    assert all(trial.failure.text == "A width of 2 does not fit: 3 does." for trial in refused)
    assert all(trial.started_at is None for trial in refused)


@pytest.mark.exhaustive
def test_a_run_with_refusals_goes_on_as_it_would_have(new_search):
    whole = new_search()
    expected = history(whole.run(6, engine=Picky))
    assert any("refused" in line[-1] for line in expected)
    content = (whole.folder / RECORD).read_bytes()
    for keep in range(1, cut(whole.folder, 10**6)):
        part = new_search()
        part.folder.mkdir()
        (part.folder / RECORD).write_bytes(content)
        cut(part.folder, keep)
        assert history(part.run(6, engine=Picky)) == expected, f"cut behind event {keep}"


def test_samples_that_mean_the_same_model_are_trained_once(search):
    trials = search.run(20, strategy="grid", engine=Picky)
    own = [t.sample for t in trials if t.duplicate_of is None and not t.refused]
    assert len({str({**sample, "kernel": 0}) for sample in own}) == len(own)
    repeated = [t for t in trials if t.duplicate_of is not None]
    assert repeated
    for trial in repeated:
        first = trials[trial.duplicate_of]
        assert {**trial.sample, "kernel": 0} == {**first.sample, "kernel": 0}
        assert trial.metrics == first.metrics


def test_a_space_of_which_nothing_fits_ends_the_run(search):
    with pytest.raises(RunFailed, match=r"200 proposals in a row were refused.*Nothing fits"):
        search.run(1, strategy="random", engine=Stubborn, space={"_target_": "toy.Wide"})


def test_a_small_space_of_which_nothing_fits_is_used_up(search):
    with pytest.raises(RunFailed, match=r"exhausted, and all of its 30 samples.*Nothing fits\. Ch"):
        search.run(5, engine=Stubborn)
    assert all(trial.refused for trial in search.trials) and len(search.trials) == 30


def test_a_strategy_that_only_repeats_itself_gets_new_samples_without_a_parent(search, monkeypatch):
    def propose(strategy, number):
        strategy.parent = 0 if number else None
        return strategy.space.default()

    monkeypatch.setattr(Random, "propose", propose)
    monkeypatch.setattr(Random, "exhausts", False)
    trials = search.run(4)
    own = [trial for trial in trials if trial.duplicate_of is None]
    assert len(own) == 4 == len({str(trial.sample) for trial in own})
    repeated = [trial for trial in trials if trial.duplicate_of is not None]
    assert len(repeated) >= 3 and all(trial.parent == 0 for trial in repeated)
    assert all(trial.parent is None for trial in own)
