"""The pre-screen in the loop: what it chooses among, what it costs a search that goes wrong, and
that a run with one goes on as it would have."""

import math
import os
from dataclasses import replace

import pytest
import torch
from searches import NET, STRATEGIES, Search, cut, history

import runner
from runner import parts
from runner.config.instantiate import build
from runner.engines.py import PyEngine
from runner.errors import Interrupted
from runner.space.sample import sample_key
from runner.store import RECORD
from runner.trial import State

GOOD = {"_target_": "toy.Scores"}
SCREENED = {
    **{name: node for name, node in STRATEGIES.items() if name != "grid"},
    "nsga2": {
        "_target_": "runner.strategies.optuna.OptunaStrategy",
        "sampler": {
            "_target_": "optuna.samplers.NSGAIISampler", "_partial_": True, "population_size": 4,
        },
    },
}  # fmt: skip


def mine(candidates=4, **given):
    """A screen by a function of the user's."""
    node = {"_target_": "runner.proxies.function.FunctionProxy", "fn": {**GOOD, **given}}
    return node, candidates


def proxy_of(sample):
    return float(sample["width"] + 2 * sample.get("kernel", 0))


def told(trials):
    return [(*line, t.proxy) for line, t in zip(history(trials), trials, strict=True)]


def content_of(search):
    return (search.folder / RECORD).read_bytes()


def part_of(new_search, content, keep):
    part = new_search()
    part.folder.mkdir()
    (part.folder / RECORD).write_bytes(content)
    assert cut(part.folder, keep) == keep
    return part


@pytest.fixture
def strategies(monkeypatch):
    for name, node in SCREENED.items():
        monkeypatch.setitem(STRATEGIES, name, node)


def test_each_trial_is_the_best_of_its_candidates_and_the_first_of_equal_ones(search):
    trials = search.run(8, screen=mine(5))
    space = PyEngine(space=NET, trust=["toy"]).space
    strategy = build(STRATEGIES["random"], (), space=space, seed=0)
    for trial in trials:
        found = []
        for variant in range(5):
            strategy.vary(variant)
            found.append(strategy.propose(trial.number))
        best = max(map(proxy_of, found))
        assert trial.proxy == best
        assert trial.sample == next(sample for sample in found if proxy_of(sample) == best)
        strategy.observe(replace(trial, state=State.RUNNING))
    usual = history(Search(search.folder.parent / "usual").run(8))
    assert usual != history(trials)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("strategy", SCREENED)
def test_a_run_with_a_screen_cut_at_any_event_goes_on_as_it_would_have(
    strategy, new_search, strategies
):
    whole = new_search()
    expected = told(whole.run(6, strategy=strategy, screen=mine(3)))
    assert sum(t.proxy is not None for t in whole.trials) > 4
    for keep in range(1, cut(whole.folder, 10**6)):
        part = part_of(new_search, content_of(whole), keep)
        assert told(part.run(6, strategy=strategy, screen=mine(3))) == expected, f"event {keep}"


WIDE = {"evaluator.lr": [0.5, 0.6, 0.7]}  # a space that has enough samples


def test_a_screen_that_is_of_no_use_goes_off_says_so_and_stays_off_after_a_resume(new_search):
    whole = new_search()
    trials = whole.run(36, screen=mine(2, sign=-1), search=WIDE)
    assert [t.proxy is None for t in trials] == [False] * 32 + [True] * 4
    [note] = [note for note in whole.progress.notes if "screen" in note]
    assert note.startswith("The screen is off from trial 32 on: over 32 trials, Spearman's rho of")
    assert whole.summary.endswith("The screen was off from trial 32 on.")
    events = cut(whole.folder, 10**6)
    for keep in (events - 8, events - 16, events - 18, events - 21, events - 25):
        part = part_of(new_search, content_of(whole), keep)
        assert told(part.run(36, screen=mine(2, sign=-1), search=WIDE)) == told(trials)
        assert part.summary == whole.summary


def test_a_screen_that_is_of_use_stays_on(search):
    trials = search.run(20, screen=mine(2))
    assert all(trial.proxy is not None for trial in trials)
    assert "over 20 trials: 0." in search.summary and search.progress.notes == []


def test_candidates_repeat_neither_trials_nor_each_other(search):
    trials = search.run(28, screen=mine(8), evaluator=quick(1))
    assert len({sample_key(t.sample) for t in trials}) == 28
    own = Search(search.folder.parent / "evolution")
    trials = own.run(12, strategy="evolution", screen=mine(8))
    assert sum(t.duplicate_of is not None for t in trials) <= 1


def quick(epochs):
    return {"_target_": "toy.Arithmetic", "epochs": epochs, "lr": 0.5, "sleep": 0.0}


def test_the_parent_is_that_of_the_chosen_candidate(search):
    trials = search.run(20, strategy="evolution", screen=mine(6))
    derived = [t for t in trials if t.parent is not None]
    assert len(derived) > 8 and all(t.proxy is not None for t in derived if t.duplicate_of is None)
    for trial in derived:
        before = trials[trial.parent].sample
        shared = before.keys() & trial.sample.keys()
        assert sum(before[label] != trial.sample[label] for label in shared) <= 1


@pytest.mark.parametrize("kind", ["error", "memory"])
def test_a_candidate_that_fails_has_no_score_and_is_not_chosen(kind, search):
    trials = search.run(6, screen=mine(8, kind=kind, width=3))
    assert all(t.sample["width"] < 3 and t.proxy is not None for t in trials)
    assert search.progress.notes == []


def test_if_no_candidate_has_a_score_the_first_is_tried_and_the_user_is_told(search):
    trials = search.run(6, screen=mine(4, kind="error", width=0))
    assert all(t.proxy is None and t.scored for t in trials)
    assert history(trials) == history(Search(search.folder.parent / "usual").run(6))
    assert search.progress.notes[0] == (
        "No candidate of trial 0 has a score of mine (error: KeyError: 'it has no score'); the "
        "first one is tried."
    )
    assert len(search.progress.notes) == 4
    assert search.progress.notes[3] == (
        "No further trials are screened: 5 in a row had no score at all."
    )
    assert search.progress.notes[2].endswith("the first one is tried. Further ones are not told.")


@pytest.mark.parametrize(
    ("kind", "limits", "why"),
    [("exit", {"retries": 0}, "crashed: the "),
     ("hang", {"trial_timeout": 1.0}, "timed out: terminated after 1 s (training.trial_timeout)"),
     ("hang", {"stall_timeout": 1.0}, "stalled: terminated after 1 s (training.stall_timeout)")],
)  # fmt: skip
def test_a_worker_that_dies_of_a_candidate_costs_what_was_not_scored(kind, limits, why, search):
    trials = search.run(1, screen=mine(2, kind=kind, width=0), service="local", **limits)
    assert all(t.scored and t.proxy is None for t in trials)
    [note] = search.progress.notes
    assert why in note


def test_what_was_scored_before_a_worker_died_counts(search):
    trials = search.run(4, screen=mine(4, kind="exit", width=3), service="local", retries=0)
    assert all(t.scored for t in trials)
    assert any(t.proxy is not None for t in trials)
    some = [note for note in search.progress.notes if "candidates of trial" in note]
    assert some and all("(crashed: the " in n and "; the best is tried." in n for n in some)


def test_other_trials_are_heard_while_candidates_are_scored(search):
    slow = {"_target_": "toy.Arithmetic", "epochs": 3, "lr": 0.5, "sleep": 0.02}
    trials = search.run(12, screen=mine(4), service="local", workers=3, evaluator=slow)
    assert all(t.scored and t.step == 3 and t.proxy == proxy_of(t.sample) for t in trials)


@pytest.mark.watched
def test_what_a_score_leaves_in_the_process_is_put_back(search):
    trials = search.run(3, screen=mine(4, kind="changes_the_process", width=0))
    assert torch.get_default_dtype() == torch.float32 and "LEFT" not in os.environ
    assert history(trials) == history(Search(search.folder.parent / "a").run(3, screen=mine(4)))
    assert any("put back" in note for note in search.left)


def test_nothing_of_a_screening_that_was_interrupted_is_in_the_record(new_search):
    whole, part = new_search(), new_search()
    expected = told(whole.run(5, screen=mine(4)))
    part.run(2, screen=mine(4))
    before = cut(part.folder, 10**6)
    with pytest.raises(Interrupted):
        part.run(5, screen=mine(4, kind="interrupt", width=0))
    assert cut(part.folder, 10**6) == before
    assert told(part.run(5, screen=mine(4))) == expected


MLP = ["space=mlp", "training=inline", "evaluator.epochs=1", "export.top=0", "budget.trials=4",
       "strategy=random", "data.shape=[1,8,8]"]  # fmt: skip


def fates(run):
    return [(t.number, t.sample, t.seed, t.proxy, t.metrics.get("params"), t.refused)
            for t in run.trials]  # fmt: skip


def test_all_engines_choose_the_same_and_by_the_same_scores(here):
    given = [*MLP, "screen.proxy=naswot", "screen.candidates=3"]
    engines = ("py", "base", "cgo")
    found = [runner.run([*given, f"engine={name}", f"hydra.run.dir={name}"]) for name in engines]
    assert fates(found[0]) == fates(found[1]) == fates(found[2])
    assert all(t.scored and math.isfinite(t.proxy) for t in found[0].trials)
    assert sum(gain.models for gain in found[2].gains) == 4, "the chosen ones are still grouped"


@pytest.mark.parametrize("proxy", ["params", "grad_norm", "snip", "synflow", "jacob_cov"])
def test_every_proxy_chooses_and_the_chosen_model_is_trained_as_if_there_was_no_screen(proxy, here):
    given = [*MLP, "budget.trials=2", "hydra.run.dir=screened"]
    run = runner.run([*given, f"screen.proxy={proxy}", "screen.candidates=3"])
    assert all(t.scored and t.proxy is not None for t in run.trials)
    service = parts.make_service(run.settings, here / "again")
    for trial in run.trials:
        heard = []
        service.submit(run.job(trial))
        service.poll(heard.append, 1.0)
        assert heard[-1].kind == "finished"
        assert heard[-2].metrics == trial.metrics
    service.close()


def test_what_breaks_a_constraint_is_no_candidate_and_hyper_parameters_come_with_it(here):
    run = runner.run([
        *MLP, "constraints=[params <= 8k]", "screen={proxy: grad_norm, candidates: 8}",
        "search={evaluator.label_smoothing: [0.0, 0.1]}", "measures=[flops]",
        "objective=[{metric: val/accuracy, mode: max}, {metric: params, mode: min}]",
    ])  # fmt: skip
    assert sum(t.scored for t in run.trials) == 4
    assert all(t.proxy is None for t in run.trials if t.refused)
    assert sum(t.refused for t in run.trials) <= 1, "unless none keeps it"


def test_samples_that_are_given_are_tried_as_they_are(here):
    first = '[{depth: "1"}, {depth: "2"}]'
    run = runner.run([*MLP, f"strategy.first={first}", "screen={proxy: params, candidates: 4}"])
    assert [t.proxy is None for t in run.trials] == [True, True, False, False]


def test_a_promoted_trial_is_not_screened_and_keeps_the_score_of_its_sample(here):
    run = runner.run([
        *MLP, "strategy=asha", "fidelity={key: evaluator.epochs, min: 1, max: 2, eta: 2}",
        "budget.trials=8", "screen={proxy: params, candidates: 3}",
    ])  # fmt: skip
    promoted = [t for t in run.trials if t.parent is not None]
    assert promoted and all(t.proxy == run.trials[t.parent].proxy for t in promoted)
    assert all(t.proxy == t.metrics["params"] for t in run.trials)


def test_a_screen_goes_with_a_stopper_and_ends_with_the_budget(here):
    run = runner.run([
        *MLP, "evaluator.epochs=3", "stopper=median", "stopper.pruner.n_startup_trials=1",
        "budget.trials=20", "budget.epochs=8", "screen={proxy: params, candidates: 3}",
    ])  # fmt: skip
    assert all(t.proxy == t.metrics["params"] for t in run.trials)
    assert 8 <= sum(t.step for t in run.trials) <= 10


def test_a_resumed_run_must_have_the_same_screen(here):
    runner.run([*MLP, "screen.proxy=params", "hydra.run.dir=run"])
    with pytest.raises(runner.errors.ConfigError, match=r"screen.candidates: 8 -> 4"):
        runner.run(["resume=run", "budget.trials=5", "screen.candidates=4"])


def test_repeats_of_a_sample_are_compared_as_one_and_later_stages_are_not_screened(search):
    trials = search.run(9, screen=mine(4), repeat=2, confirm=(1, 1), compare=True)
    firsts = [t for t in trials if t.stage == "search" and t.repeat_of is None]
    assert len(firsts) == 9 and all(t.proxy == proxy_of(t.sample) for t in firsts)
    rest = [t for t in trials if t not in firsts]
    assert {t.stage for t in rest} == {"search", "baseline", "confirm"}
    assert all(t.proxy is None for t in rest)
    assert " over 9 trials: " in search.summary
    baseline = [t for t in trials if t.stage == "baseline" and t.repeat_of is None]
    assert len(baseline) == 9, "a trial that was chosen is none that chance found"


def test_the_loss_is_that_of_the_candidates_own_evaluator(here):
    """Smoothed labels have smaller gradients, here by far."""
    smooth = "search={evaluator.label_smoothing: [0.0, 0.9]}"
    run = runner.run([*MLP, smooth, "screen={proxy: grad_norm, candidates: 8}"])
    assert all(t.sample["evaluator.label_smoothing"] == 0 for t in run.trials)


@pytest.mark.sampled(2)
@pytest.mark.watched
@pytest.mark.parametrize("proxy", ["grad_norm", "snip", "synflow", "naswot", "jacob_cov"])
def test_a_proxy_itself_leaves_nothing_in_the_process(proxy, here, capsys):
    runner.run([*MLP, "budget.trials=1", f"screen.proxy={proxy}", "screen.candidates=2"])
    assert "put back" not in capsys.readouterr().out
