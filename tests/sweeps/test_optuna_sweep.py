"""The sweeper for Optuna: it learns from the members, and goes on exactly after a kill."""

import pytest
from sweeping import TOY, killed, members, sweep, trials

SEARCH = ["-m", "hydra/sweeper=runner_optuna", *TOY, "budget.trials=1",
          "hydra.sweeper.n_trials=4", "hydra.sweeper.sampler.n_startup_trials=2",
          "evaluator.lr=tag(log, interval(1e-3, 1.0))", "strategy=choice(random,grid)"]  # fmt: skip


def overrides(folder):
    return [m["overrides"][-2:] for m in members(folder)]


def test_members_are_proposed_by_a_sampler_and_the_best_is_named(here):
    done = sweep(*SEARCH, "hydra.sweep.dir=all")
    assert done.code == 0, done.err
    found = members(here / "all")
    assert len(found) == 4 and all(m["state"] == "ended" for m in found)
    rates = [float(text.removeprefix("++").removeprefix("evaluator.lr=").split("=")[-1])
             for text, _ in overrides(here / "all")]  # fmt: skip
    assert all(1e-3 <= rate <= 1.0 for rate in rates) and len({*rates}) == 4
    assert {text for _, text in overrides(here / "all")} <= {"strategy=random", "strategy=grid"}
    best = max(found, key=lambda m: m["scores"][0])
    assert f"The best is member {best['number']} (" in done.out
    other = sweep(
        *SEARCH, "hydra.sweep.dir=other", "hydra.sweeper.seed=1", "hydra.sweeper.n_trials=1"
    )
    assert other.code == 0 and overrides(here / "other") != overrides(here / "all")[:1]


@pytest.mark.sampled(9)
@pytest.mark.parametrize("after", [20, 1, 3, 9, 10, 18, 29, 30, 32])
@pytest.mark.parametrize("more", [[], ["hydra.sweeper.n_jobs=2"]], ids=["one", "two"])
def test_a_search_that_is_killed_at_any_write_goes_on_as_if_it_had_not_been(after, more, here):
    assert sweep(*SEARCH, *more, "hydra.sweep.dir=whole").code == 0
    assert killed(*SEARCH, *more, "hydra.sweep.dir=all", after=after)
    done = sweep("-m", "sweep.resume=all")
    assert done.code == 0, done.err
    assert members(here / "all") == members(here / "whole")
    assert trials(here / "all") == trials(here / "whole")


def test_a_search_may_grow_and_does_not_shrink(here):
    assert sweep(*SEARCH, "hydra.sweep.dir=whole").code == 0
    assert sweep(*SEARCH, "hydra.sweep.dir=all", "hydra.sweeper.n_trials=3").code == 0
    less = sweep("-m", "sweep.resume=all", "hydra.sweeper.n_trials=2")
    assert less.code == 2 and "contradicts the sweep in " in less.err
    assert sweep("-m", "sweep.resume=all", "hydra.sweeper.n_trials=4").code == 0
    assert members(here / "all") == members(here / "whole")


def test_a_member_that_fails_is_told_to_the_sampler_as_failed(here):
    given = [
        *SEARCH,
        "hydra.sweeper.n_trials=8",
        "hydra.sweep.dir=all",
        "budget.trials=choice(1,-1)",
    ]
    done = sweep(*given)
    found = members(here / "all")
    failed = [m for m in found if m["state"] == "failed"]
    assert failed and done.code == 1 and len(failed) < len(found)
    assert done.err.count("error: Member ") == len(failed)
    assert all("budget.trials is -1" in m["why"] and not m["scores"] for m in failed)


def test_a_proposal_that_has_no_config_fails_alone_unless_it_is_the_first(here):
    groups = "strategy=choice(random,nope)"
    seeds = [f"hydra.sweeper.seed={seed}" for seed in range(8)]
    codes = {}
    for seed in seeds:
        done = sweep(
            *SEARCH, groups, "hydra.sweeper.n_trials=3", seed, f"hydra.sweep.dir=x{seed[-1]}"
        )
        assert "Traceback" not in done.err
        codes[done.code] = done
        if len(codes) > 1:
            break
    refused = codes.pop(2)
    assert "Could not find 'strategy/nope'" in refused.err
    assert len(refused.err.splitlines()) == 1
    for code, done in codes.items():
        assert code in (0, 1)
        assert code == 0 or "failed: " in done.err


def test_several_objectives_are_told_by_their_best_trial(here):
    sampler = "hydra.sweeper.sampler._target_=optuna.samplers.NSGAIISampler"
    given = [one for one in SEARCH if "n_startup" not in one]
    two = "objective=[{metric: val/accuracy, mode: max}, {metric: val/loss, mode: min}]"
    done = sweep(*given, sampler, two, "hydra.sweeper.n_trials=3", "hydra.sweep.dir=all")
    assert done.code == 0, done.err
    assert all(len(m["scores"]) == 2 for m in members(here / "all"))


BAD = [
    ("hydra.sweeper.n_trials=0", "hydra.sweeper.n_trials is 0; it must be a whole number from 1."),
    ("hydra.sweeper.n_trials=many", "hydra.sweeper.n_trials is 'many'; it must be a whole number"),
    ("hydra.sweeper.n_jobs=0", "hydra.sweeper.n_jobs is 0; it must be a whole number from 1."),
    ("hydra.sweeper.seed=-1", "hydra.sweeper.seed is -1; it must be a whole number from 0."),
    ("hydra.sweeper.sampler._target_=os.system", "'os.system' is not on the allowlist"),
    ("hydra.sweeper.sampler._partial_=false", "must be a sampler of Optuna's with _partial_: true"),
    ("hydra.sweeper.sampler.nope=1", "hydra.sweeper.sampler cannot be created: TypeError"),
    ("hydra.sweeper.sampler.n_ei_candidates=0", "hydra.sweeper.sampler.n_ei_candidates is 0"),
    ("+hydra.sweeper.nope=1", "nope"),
    ("evaluator.lr=0.1 strategy=random", "This sweeper searches, but no key has alternatives"),
    ("evaluator.lr=interval(1,0.1)", "low is above high"),
    ("evaluator.lr=tag(log,interval(0,1))", "a log scale needs low > 0"),
    ("evaluator.lr=tag(wide,interval(0,1))", "has the tag wide; known are float, int, log."),
    ("seed=tag(int,interval(0.5,2))", "both ends must be whole numbers"),
    ("strategy=tag(log,choice(random,grid))", "has tags, which are for an interval"),
    ("seed=1,1", "lists a candidate twice"),
    ("budget.lrr=interval(0,1)", "There is no key 'budget.lrr' in the config"),
]


@pytest.mark.parametrize(("more", "why"), BAD)
def test_what_cannot_be_searched_is_said_in_one_line(more, why, here):
    given = [one for one in SEARCH if not one.startswith(tuple(
        f"{word.partition('=')[0]}=" for word in more.split()))]  # fmt: skip
    done = sweep(*given, *more.split(), "hydra.sweep.dir=all")
    assert done.code == 2, done.out + done.err
    [line] = done.err.splitlines()
    assert line.startswith("error: ") and why in line, line
    assert [*here.iterdir()] == [], "nothing is left"
