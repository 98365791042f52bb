"""Training in jobs of Slurm, as processes of this machine: a driver may be killed and resumed, and
a job may be requeued, and each trial is trained once."""

import gc
import json
import os
import signal
import stat
import time
from collections import Counter
from socket import gethostname

import pytest
from processes import alive
from searches import ARITHMETIC, NET, NOTHING, history
from services import make_service
from slurm_runs import OWN, killed_driver, messages, pids, started, until, write_slow

import runner
from runner.engines.py import PyEngine
from runner.errors import ConfigError, RunFailed
from runner.training import pilot as pilot_module
from runner.training import pilot_jobs, slurm
from runner.training.inline import Inline
from runner.training.pilot import FOLDER, PILOTS, dismiss, dismiss_all, inbox, outbox
from runner.trial import ENDS, Setup, Trial

ON = ["training=slurm", "training.cluster=local", "training.workers=1"]


@pytest.fixture
def slow(here, monkeypatch):
    return lambda pause: write_slow(here, pause, monkeypatch)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("ends", [False, True], ids=["runs on", "has ended"])
def test_a_killed_driver_that_is_resumed_goes_on_with_the_jobs_that_it_left(ends, slow, here):
    """The trial that was running is not started again, even if it ends meanwhile."""
    log, folder = slow(0.4), here / "run"
    overrides = [*OWN, *ON, "budget.trials=3", "seed=3"]
    killed_driver(folder, overrides, lambda: started(log)[1])
    [pilot] = pids(folder)
    assert alive(pilot)
    if ends:
        until(lambda: '"finished"' in str(messages(folder)).partition("'trials': [1]")[2])
    run = runner.run([f"resume={folder}"], folder)
    assert started(log) == {0: 1, 1: 1, 2: 1}
    if ends:  # it took 1.6 s and more while there was no driver, and was heard of in a moment
        assert run.trials[1].seconds > 0.8
    assert not alive(pilot)
    whole = runner.run([*OWN, "training=inline", "training.device=cpu", "budget.trials=3",
                        "seed=3"], here / "whole")  # fmt: skip
    assert history(run.trials) == history(whole.trials)
    assert not (folder / FOLDER / PILOTS).exists()


def test_a_driver_that_wants_something_else_starts_its_trials_anew(slow, here):
    """Such as one of another version of the training code's arguments."""
    log, folder = slow(0.4), here / "run"
    killed_driver(folder, [*OWN, *ON, "budget.trials=2"], lambda: started(log)[0])
    [pilot] = pids(folder)
    begin = folder / FOLDER / "begin.json"
    begin.write_text(json.dumps(json.loads(begin.read_text()) | {"threads": 7}))
    run = runner.run([f"resume={folder}"], folder)
    assert started(log) == {0: 2, 1: 1}
    assert [trial.step for trial in run.trials] == [4, 4] and not alive(pilot)


@pytest.mark.exhaustive
def test_a_driver_of_another_service_ends_the_jobs_that_it_finds(slow, here, monkeypatch):
    log, folder, submit = slow(0.4), here / "run", Inline.submit
    killed_driver(folder, [*OWN, *ON, "budget.trials=2"], lambda: started(log)[0])
    [pilot] = pids(folder)
    gone = []
    monkeypatch.setattr(Inline, "submit", lambda self, job: (
        gone.append(not [*(folder / FOLDER / PILOTS).glob("*")]), submit(self, job)
    ))  # fmt: skip
    run = runner.run([f"resume={folder}", "training=inline", "training.device=cpu"], folder)
    assert all(gone), "no trial begins before the jobs that had it have ended"
    until(lambda: not alive(pilot))
    assert [trial.step for trial in run.trials] == [4, 4]


@pytest.mark.exhaustive
def test_a_pilot_without_a_driver_ends_by_itself(slow, here):
    log, folder = slow(0.05), here / "run"
    overrides = [*OWN, *ON, "budget.trials=30", "training.idle_minutes=0.05"]
    killed_driver(folder, overrides, lambda: started(log)[1])
    [pilot] = pids(folder)
    until(lambda: not alive(pilot))
    assert messages(folder)[-1] == {"ended": "there is no driver"}


def test_a_requeued_job_costs_no_attempt_and_its_trial_goes_on_from_its_checkpoint(slow, here):
    log, folder = slow(0.3), here / "run"
    interrupted = []

    def preempt(report):
        if report.kind == "metrics" and report.trial == 1 and len(seen[1]) == 2:
            [pilot] = pids(folder)
            os.kill(pilot, signal.SIGUSR2)
            interrupted.append(pilot)

    seen = {0: [], 1: [], 2: []}
    service = of_function(folder, retries=0)
    reports = []

    def hear(report):
        reports.append(report)
        if report.kind == "metrics":
            seen[report.trial].append(report.metrics)
        preempt(report)

    run_all(service, hear, reports, 3)
    service.close()
    assert len(interrupted) == 1
    assert [r.kind for r in reports if r.kind in ENDS] == ["finished"] * 3
    assert started(log) == {0: 1, 1: 2, 2: 1}
    steps = folder / "trials" / "0001" / "files" / "steps.txt"
    assert Counter(steps.read_text().split()) == Counter("0123")


def of_function(folder, **limits):
    fn = {"_target_": "slow.train", "_partial_": True}
    evaluator = {"_target_": "runner.evaluators.function.Function", "fn": fn,
                 "metric": "val/accuracy", "test_fn": None}  # fmt: skip
    setup = Setup("runner.engines.py.PyEngine", evaluator, NOTHING, (), ("toy", "slow"), folder)
    return make_service("slurm", setup, limits)


def run_all(service, hear, reports, count):
    """Runs some trials, one after another."""
    engine = PyEngine(space=NET, trust=["toy"])
    for number in range(count):
        [job] = engine.plan([Trial(number, engine.space.default(), seed=number)])
        service.submit(job)
        while sum(report.kind in ENDS for report in reports) <= number:
            service.poll(hear, 1.0)


@pytest.mark.exhaustive
def test_a_job_that_was_told_to_end_costs_no_attempt(slow, here):
    """As by scancel, or before a preemption without a signal of its own."""
    log, folder = slow(0.3), here / "run"
    service, reports, ended = of_function(folder, retries=0), [], []

    def hear(report):
        reports.append(report)
        if report.kind == "metrics" and not ended:
            ended.extend(pids(folder))
            os.kill(ended[0], signal.SIGTERM)

    run_all(service, hear, reports, 2)
    service.close()
    assert started(log) == {0: 2, 1: 1} and not alive(ended[0])
    assert [r.kind for r in reports if r.kind in ENDS] == ["finished"] * 2


def test_a_lost_job_costs_an_attempt(slow, here):
    log, folder = slow(0.3), here / "run"
    service, reports, ended = of_function(folder, retries=0), [], []

    def hear(report):
        reports.append(report)
        if report.kind == "metrics" and not ended:
            ended.extend(pids(folder))
            os.kill(ended[0], signal.SIGKILL)

    run_all(service, hear, reports, 2)
    service.close()
    assert [r.kind for r in reports if r.kind in ENDS] == ["failed", "finished"]
    [failure] = [report.failure for report in reports if report.failure]
    assert failure.reason == "crashed" and "has ended" in failure.text
    assert started(log) == {0: 1, 1: 1}


@pytest.mark.exhaustive
def test_a_trial_that_is_longer_than_a_job_may_be_has_timed_out(slow, here):
    """It is told twice that its time is over, and stands where it stood."""
    slow(200)
    service, reports = of_function(here / "run", time=1), []
    run_all(service, reports.append, reports, 1)
    service.close()
    [failure] = [report.failure for report in reports if report.failure]
    assert failure.reason == "timed out" and "training.time" in failure.text


def test_a_job_runs_so_many_trials_and_another_follows(tmp_path):
    setup = Setup("runner.engines.py.PyEngine", ARITHMETIC, NOTHING, (), ("toy",), tmp_path)
    service, reports = make_service("slurm", setup, {"trials_per_job": 2}), []
    run_all(service, reports.append, reports, 3)
    service.close()
    assert len([*(tmp_path / FOLDER / slurm.LOGS).glob("*_submitted.pkl")]) in (2, 3)
    kinds = [type(one).__name__ for one in gc.get_objects()]
    assert "LocalJob" not in kinds, "the library cannot forget one as the interpreter ends"
    assert [r.kind for r in reports if r.kind in ENDS] == ["finished"] * 3


# What Slurm says

COMMANDS = ("sbatch", "squeue", "scancel", "srun", "scontrol")


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """commands(sbatch=..., squeue=...): Slurm's commands, as lines of shell; others do nothing."""

    def make(**lines):
        folder = tmp_path / "bin"
        folder.mkdir()
        for name in COMMANDS:
            path = folder / name
            path.write_text(f"#!/bin/sh\n{lines.get(name, 'true')}\n")
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    return make


def real(tmp_path, **changes):
    setup = Setup("runner.engines.py.PyEngine", ARITHMETIC, NOTHING, (), ("toy",), tmp_path / "run")
    return make_service("slurm", setup, {"cluster": "slurm", **changes})


def test_without_sbatch_it_is_refused_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="needs Slurm's command sbatch") as error:
        real(tmp_path)
    assert "training.cluster=local" in str(error.value) and "\n" not in str(error.value)


def test_what_sbatch_refuses_is_said_in_its_words(tmp_path, commands):
    commands(sbatch="echo 'sbatch: error: invalid partition specified: nope' >&2\n"
                    "echo 'sbatch: error: Batch job submission failed' >&2\nexit 1")  # fmt: skip
    with pytest.raises(ConfigError, match="invalid partition specified: nope") as error:
        real(tmp_path, partition="nope")
    assert "\n" not in str(error.value)


def test_a_full_queue_is_waited_for_with_a_word(tmp_path, commands, monkeypatch, caplog):
    commands(sbatch="echo Submitted batch job 7", squeue="echo '7|PENDING|Resources'")
    monkeypatch.setattr(pilot_jobs, "WORD", 0.0)
    monkeypatch.setattr(slurm, "LOOKS", {"slurm": 0.05})
    service = real(tmp_path)
    for _ in range(12):
        service.poll(lambda report: None, 0.05)
    service.close()
    assert caplog.messages == ["Waiting for Slurm to start one of 1 jobs (7: PENDING, Resources)."]


def test_a_job_that_will_never_start_ends_the_run(tmp_path, commands, monkeypatch):
    commands(sbatch="echo Submitted batch job 7", squeue="echo '7|PENDING|PartitionTimeLimit'")
    service = real(tmp_path)
    with pytest.raises(RunFailed, match=r"never start the job 7 .*training\.time"):
        service.poll(lambda report: None, 0.05)
    service.close()


def test_jobs_that_end_before_they_begin_end_the_run_with_their_last_word(
    tmp_path, commands, monkeypatch
):
    log = tmp_path / "run" / FOLDER / slurm.LOGS / "7_0_log.err"
    commands(sbatch=f"echo Submitted batch job 7; echo 'No module named runner' > {log}")
    monkeypatch.setattr(slurm, "LOOKS", {"slurm": 0.0})
    service = real(tmp_path)
    with pytest.raises(RunFailed, match=r"5 Slurm jobs ended .*7: No module named runner"):
        for _ in range(100):
            service.poll(lambda report: None, 0.05)
    service.close()


def test_a_queue_that_does_not_answer_ends_no_job(tmp_path, commands, monkeypatch):
    commands(sbatch="echo Submitted batch job 7", squeue="exit 1")
    monkeypatch.setattr(slurm, "LOOKS", {"slurm": 0.0})
    service = real(tmp_path)
    for _ in range(20):
        service.poll(lambda report: None, 0.01)
    assert [post.job for post in service._jobs.posts] == ["7"]
    service.close()


def test_closing_cancels_the_jobs_within_five_seconds(tmp_path, commands):
    commands(sbatch="echo Submitted batch job 7",
             scancel=f"echo $@ > {tmp_path}/cancelled; sleep 60")  # fmt: skip
    service = real(tmp_path)
    start = time.monotonic()
    service.close()
    assert time.monotonic() - start < 5
    assert (tmp_path / "cancelled").read_text() == "7\n"


def test_a_job_asks_for_what_the_config_says(tmp_path, commands):
    commands(sbatch=f"cp $1 {tmp_path}/script; echo Submitted batch job 7")
    service = real(tmp_path, partition="short", account="mine", gpus=2, cpus=3, memory=1.5,
                   time=90, shell=["module load cuda"],
                   extra={"qos": "high", "exclusive": True, "comment": "a 'b' $(c)"})  # fmt: skip
    service.close()
    lines = (tmp_path / "script").read_text().splitlines()
    wanted = ["partition=short", "account=mine", "gpus-per-node=2", "cpus-per-task=3", "mem=1536M",
              "time=90", "qos=high", "exclusive", "requeue", "signal=USR2@90"]  # fmt: skip
    assert {f"#SBATCH --{option}" for option in wanted} <= {*lines}
    assert "module load cuda" in lines and "#SBATCH --comment='a '\"'\"'b'\"'\"' $(c)'" in lines


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"cluster": "lsf"}, "training.cluster is 'lsf'; it is slurm or local"),
        ({"time": 0}, "training.time is 0"),
        ({"workers": None}, "training.workers is null"),
        ({"trials_per_job": 0}, "training.trials_per_job is 0"),
        ({"gpus": -1}, "training.gpus is -1"),
        ({"memory": 0}, "training.memory is 0"),
        ({"idle_minutes": float("nan")}, "training.idle_minutes is"),
        ({"partition": "a b"}, "training.partition is 'a b'"),
        ({"account": "x\n#SBATCH --wrap=ls"}, "training.account is"),
        ({"extra": {"output": "/etc/passwd"}}, "training.extra is {'output': '/etc/passwd'}"),
        ({"extra": {"qos x": 1}}, "training.extra is"),
        ({"extra": {"qos": "a\nrm"}}, "training.extra.qos is"),
        ({"extra": {"qos": None}}, "training.extra.qos is null"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(changes, text, tmp_path):
    with pytest.raises(ConfigError) as error:
        real(tmp_path, **{"cluster": "local", **changes})
    assert text in str(error.value) and "\n" not in str(error.value)


def test_a_second_driver_is_refused_and_ends_no_job_of_the_first(tmp_path):
    setup = Setup("runner.engines.py.PyEngine", ARITHMETIC, NOTHING, (), ("toy",), tmp_path)
    service, reports = make_service("slurm", setup, {}), []
    who = rf"those of another driver of this run \(process {os.getpid()} on {gethostname()}\)"
    with pytest.raises(ConfigError, match=who) as error:
        make_service("slurm", setup, {})
    assert "\n" not in str(error.value)
    dismiss_all(tmp_path)
    run_all(service, reports.append, reports, 1)
    assert [r.kind for r in reports if r.kind in ENDS] == ["finished"]
    service.close()


def test_a_module_that_a_node_does_not_have_ends_the_run(slow, here, monkeypatch):
    slow(0.0)
    monkeypatch.setattr(slurm, "search_path", list)
    service = of_function(here / "run")
    (here / "slow.py").unlink()
    with pytest.raises(RunFailed, match=r"could not start: .*No module named 'toy' on"):
        for _ in range(200):
            service.poll(lambda report: None, 0.5)
    service.close()


def test_a_pilot_that_was_dismissed_before_it_began_ends_at_once(tmp_path):
    setup = Setup("runner.engines.py.PyEngine", ARITHMETIC, NOTHING, (), ("toy",), tmp_path)
    service = make_service("slurm", setup, {})
    [post] = service._jobs.posts
    dismiss(post.folder)
    until(lambda: not alive(int(post.job)))
    assert messages(tmp_path)[-1] == {"ended": "dismissed"}
    service.close()


AHEAD = """
import time
for name in ("time", "monotonic", "perf_counter"):
    def ahead(real=getattr(time, name)):
        return real() + 86400.0
    setattr(time, name, ahead)
"""


@pytest.mark.exhaustive
def test_a_node_whose_clock_is_a_day_ahead_changes_nothing(slow, here, monkeypatch):
    """Neither its time of day nor that since its start counts for anything but its own waits."""
    log, folder = slow(0.05), here / "run"
    (here / "node").mkdir()
    (here / "node" / "sitecustomize.py").write_text(AHEAD)
    monkeypatch.setenv("PYTHONPATH", str(here / "node"), prepend=os.pathsep)
    limits = ["training.trial_timeout=60", "training.stall_timeout=60"]
    run = runner.run([*OWN, *ON, *limits, "budget.trials=2", "budget.minutes=60"], folder)
    assert started(log) == {0: 1, 1: 1}
    assert all(trial.scored and 0 <= trial.seconds < 60 for trial in run.trials)
    begun = [trial.started_at for trial in run.trials]
    assert all(abs(at - time.time()) < 3600 for at in begun)


def test_what_workers_need_to_begin_is_for_this_user_alone(tmp_path):
    evaluator = {**ARITHMETIC, "api_key": "CANARY"}
    setup = Setup("runner.engines.py.PyEngine", evaluator, NOTHING, (), ("toy",), tmp_path)
    service = make_service("slurm", setup, {})
    files = [path for path in (tmp_path / FOLDER).rglob("*") if path.is_file()]
    secret = [path for path in files if b"CANARY" in path.read_bytes()]
    assert [path.name for path in secret] == ["begin.json"]
    assert not any(path.stat().st_mode & 0o077 for path in secret)
    service.close()
    left = [path for path in (tmp_path / FOLDER).rglob("*") if path.is_file()]
    assert not [path for path in left if b"CANARY" in path.read_bytes()]


def test_jobs_that_do_not_answer_are_told_of_and_not_waited_for_for_ever(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(pilot_module, "FAREWELL", 0.2)
    posts = [tmp_path / FOLDER / PILOTS / name for name in ("silent", "over", "waiting")]
    for post in posts:
        post.mkdir(parents=True)
    outbox(posts[0], 0).write_text('{"began": "node1", "left": 5}\n')
    outbox(posts[1], 0).write_text('{"ended": "dismissed"}\n')
    dismiss_all(tmp_path)
    [line] = caplog.messages
    assert line.startswith("1 jobs of an earlier session do not answer")
    assert [post.exists() for post in posts] == [True, False, True]
    assert '{"end": true}' in inbox(posts[2], 0).read_text(), "for when it begins"
