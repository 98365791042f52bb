"""What every training service promises: each job ends, and each report comes once and in order."""

import os
from pathlib import Path

import pytest
from searches import ARITHMETIC, NOTHING
from services import SERVICES, each_service, make_service

from runner.engines.py import PyEngine
from runner.errors import ConfigError
from runner.training.leftovers import descendants
from runner.trial import Setup, Trial


def setup(folder: Path, evaluator=ARITHMETIC) -> Setup:
    return Setup("runner.engines.py.PyEngine", evaluator, NOTHING, (), ("toy",), folder)


def jobs(count: int):
    engine = PyEngine(space={"_target_": "toy.Net"}, trust=["toy"])
    sample = engine.space.default()
    for number in range(count):
        yield from engine.plan([Trial(number, {**sample, "width": 1 + number % 3}, seed=number)])


def drain(service, trials: int):
    """All reports until so many trials have ended."""
    reports = []
    while sum(r.kind in ("finished", "stopped", "failed") for r in reports) < trials:
        service.poll(reports.append, 1.0)
    return reports


@pytest.fixture(params=each_service("ray"))  # where the folder is not seen, more can go wrong
def name(request):
    return request.param


def make(name, folder, evaluator=ARITHMETIC, **limits):
    return make_service(name, setup(folder, evaluator), limits)


def test_every_job_starts_reports_and_ends(name, tmp_path):
    service = make(name, tmp_path)
    for job in jobs(3):
        service.submit(job)
        kinds = [report.kind for report in drain(service, 1)]
        assert kinds == ["started", "metrics", "metrics", "finished"]
    service.close()


def test_reports_say_what_the_trial_measured_and_how_large_its_model_is(name, tmp_path):
    service = make(name, tmp_path)
    service.submit(next(jobs(1)))
    [_, first, second, _] = drain(service, 1)
    assert first.trial == second.trial == 0 and first.metrics != second.metrics
    assert set(first.metrics) == {"val/accuracy", "val/loss", "params"}
    assert first.metrics["params"] == 4  # Linear(1, 2)
    service.close()


def test_all_services_give_the_same_numbers(tmp_path):
    results = []
    for service in (make(name, tmp_path / name) for name in SERVICES):
        reports = []
        for job in jobs(3):
            service.submit(job)
            reports += drain(service, 1)
        results.append([(r.trial, r.kind, dict(r.metrics)) for r in reports])
        service.close()
    assert all(result == results[0] for result in results)


def test_a_stopped_trial_ends_early_and_says_so(name, tmp_path):
    service = make(name, tmp_path, ARITHMETIC | {"epochs": 10_000, "sleep": 0.01})
    service.submit(next(jobs(1)))
    reports = []

    def handle(report):
        reports.append(report)
        if report.kind == "metrics":
            service.stop(report.trial)

    while not reports or reports[-1].kind != "stopped":
        service.poll(handle, 1.0)
    assert len(reports) < 1000
    service.close()


def test_the_weights_of_a_finished_trial_lie_in_its_folder(name, tmp_path):
    service = make(name, tmp_path)
    service.submit(next(jobs(1)))
    drain(service, 1)
    assert (tmp_path / "trials" / "0000" / "weights.safetensors").is_file()
    service.close()


def test_closing_twice_is_fine_and_leaves_no_process(name, tmp_path):
    before = {*descendants(os.getpid())}
    service = make(name, tmp_path)
    service.submit(next(jobs(1)))
    service.close()
    service.close()
    assert {*descendants(os.getpid())} <= before


def test_closing_in_the_middle_of_a_trial_leaves_no_process(name, tmp_path):
    before = {*descendants(os.getpid())}
    service = make(name, tmp_path)
    service.submit(next(jobs(1)))
    reports = []
    while not reports:
        service.poll(reports.append, 1.0)
    assert name == "inline" or {*descendants(os.getpid())} > before
    service.close()
    assert {*descendants(os.getpid())} <= before


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"device": "cuda:7"}, "training.device is 'cuda:7'"),
        ({"device": "gpu"}, "training.device is 'gpu'"),
        ({"max_failures": -1}, "training.max_failures is -1"),
    ],
)
def test_a_bad_setting_is_refused_in_one_line(name, limits, text, tmp_path):
    with pytest.raises(ConfigError, match=text) as error:
        make(name, tmp_path, **limits)
    assert "\n" not in str(error.value)
