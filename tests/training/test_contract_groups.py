"""A job of several trials: each ends with a report of its own, and the fault of one is its own."""

from collections import Counter

import pytest
from searches import ARITHMETIC, NOTHING, Grouped, trouble
from services import each_service, make_service

from runner.trial import Job, Setup, Trial

NET = {"_target_": "toy.Net"}
WIDTHS = [1, 2, 3, 1]


def group(widths=WIDTHS):
    engine = Grouped(space=NET, trust=["toy"])
    sample = engine.space.default()
    trials = [Trial(i, {**sample, "width": width}, seed=i) for i, width in enumerate(widths)]
    [job] = engine.plan(trials)
    return job


@pytest.fixture(params=each_service("ray", "slurm"))
def name(request):
    return request.param


@pytest.fixture
def run(name, tmp_path):
    """run(job, evaluator): all reports of a job."""

    def reports_of(job, evaluator=ARITHMETIC, **limits):
        setup = Setup("runner.engines.py.PyEngine", evaluator, NOTHING, (), ("toy",), tmp_path)
        service = make_service(name, setup, limits)
        service.submit(job)
        reports = []
        while sum(r.kind in ("finished", "stopped", "failed") for r in reports) < len(job.trials):
            service.poll(reports.append, 1.0)
        service.poll(reports.append, 0.0)
        service.close()
        return reports

    return reports_of


def ends(reports):
    return {r.trial: r.kind for r in reports if r.kind in ("finished", "stopped", "failed")}


def starts(reports):
    found = Counter(report.trial for report in reports if report.kind == "started")
    return [found[trial] for trial in sorted(found)]


def test_each_trial_of_a_group_reports_as_if_it_were_alone(run):
    job = group()
    together = [report for report in run(job) if report.kind != "grouped"]
    alone = [report for part in job.parts(4) for report in run(part)]
    for trial in job.trials:
        ours, theirs = ([r for r in found if r.trial == trial] for found in (together, alone))
        assert ours == theirs
        assert [r.kind for r in ours] == ["started", "metrics", "metrics", "finished"]


def test_each_trial_ends_once(run):
    reports = run(group())
    assert sorted(r.trial for r in reports if r.kind == "finished") == [0, 1, 2, 3]


@pytest.mark.parametrize("kind", ["error", "system_exit"])
def test_an_error_of_one_is_not_that_of_the_others(run, kind, tmp_path):
    reports = run(group(), trouble(kind, tmp_path))
    assert ends(reports) == {0: "finished", 1: "failed", 2: "finished", 3: "finished"}
    assert starts(reports) == [2, 2, 2, 2]
    [failure] = [report.failure for report in reports if report.failure]
    assert failure.reason == "error"
    assert (tmp_path / "trials" / "0001" / "error.txt").is_file()
    assert not (tmp_path / "trials" / "0000" / "error.txt").exists()


def test_a_group_that_needs_too_much_memory_is_halved(run, tmp_path):
    reports = run(group([1, 3, 2, 3]), trouble("host_memory", tmp_path))
    assert ends(reports) == {0: "finished", 1: "finished", 2: "failed", 3: "finished"}
    assert starts(reports) == [2, 2, 3, 3]
    [failure] = [report.failure for report in reports if report.failure]
    assert failure.reason == "out of memory"


def test_one_that_is_not_finite_is_named(run, tmp_path):
    reports = run(group([2, 1, 3, 1]), trouble("not_finite", tmp_path))
    [failure] = [r.failure for r in reports if r.failure and r.trial == 0]
    assert failure.reason == "not finite"
    assert starts(reports) == [1, 1, 1, 1]


def test_a_model_that_cannot_be_built_fails_alone(run):
    job = group()
    recipes = [*job.recipes]
    recipes[2] = {**recipes[2], "trust": []}
    broken = Job(job.trials, job.seeds, job.samples, recipes)
    assert ends(run(broken)) == {0: "finished", 1: "finished", 2: "failed", 3: "finished"}


@pytest.mark.parametrize("name", ["local"], indirect=True)
@pytest.mark.parametrize("kind", ["exit", "killed", "segfault"])
def test_a_worker_that_dies_costs_the_others_nothing(run, kind, tmp_path):
    reports = run(group(), trouble(kind, tmp_path), retries=0)
    assert ends(reports) == {0: "finished", 1: "failed", 2: "finished", 3: "finished"}
    assert starts(reports) == [2, 2, 2, 2]
    [failure] = [report.failure for report in reports if report.failure]
    assert failure.reason == "crashed"


@pytest.mark.parametrize("name", ["local"], indirect=True)
def test_a_group_that_hangs_is_ended_and_its_members_run_singly(run, tmp_path):
    reports = run(group([1, 2]), trouble("hang", tmp_path), stall_timeout=1.0)
    assert ends(reports) == {0: "finished", 1: "failed"}
    [failure] = [report.failure for report in reports if report.failure]
    assert failure.reason == "stalled"


@pytest.mark.parametrize("name", ["local"], indirect=True)
def test_a_group_has_as_much_time_as_its_trials_together(run):
    slow = ARITHMETIC | {"sleep": 0.6, "epochs": 2}
    reports = run(group(), slow, trial_timeout=0.9)
    assert set(ends(reports).values()) == {"finished"}
    assert starts(reports) == [1, 1, 1, 1]


def test_members_of_a_group_are_stopped_one_by_one(name, tmp_path):
    evaluator = {"_target_": "toy.Listens", "epochs": 400, "sleep": 0.005}
    setup = Setup("runner.engines.py.PyEngine", evaluator, NOTHING, (), ("toy",), tmp_path)
    service = make_service(name, setup, {})
    service.submit(group([1, 2, 3]))
    reports = []

    def handle(report):
        reports.append(report)
        if report.kind == "metrics" and report.trial in (0, 2):
            service.stop(report.trial)

    while len(ends(reports)) < 3:
        service.poll(handle, 1.0)
    service.close()
    assert ends(reports) == {0: "stopped", 1: "finished", 2: "stopped"}
    counts = Counter(report.trial for report in reports if report.kind == "metrics")
    assert counts[1] == 400
    assert counts[0] < 400
    assert counts[2] < 400


@pytest.mark.parametrize("service", ["inline", "local"])
def test_a_search_of_groups_records_each_trial_once(new_search, service):
    single, groups = new_search(), new_search()
    expected = single.run(10, service=service)
    found = groups.run(10, service=service, engine=Grouped)
    assert [(t.number, t.sample, t.state, t.metrics, t.step) for t in found] == [
        (t.number, t.sample, t.state, t.metrics, t.step) for t in expected
    ]


@pytest.mark.parametrize("service", ["inline", "local"])
def test_in_a_search_only_the_bad_one_of_a_group_fails(new_search, service, tmp_path):
    search = new_search()
    found = search.run(8, service=service, engine=Grouped, evaluator=trouble("error", tmp_path))
    assert {t.sample["width"] for t in found if t.failed} == {2}
    assert all(t.failed == (t.sample["width"] == 2) for t in found if t.duplicate_of is None)
    assert all(t.step <= 1 for t in found)
