"""A sweep goes on after a member that fails, and after a kill as if there had been none."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra.core.plugins import Plugins
from sweeping import TOY, killed, members, sweep, trials

from runner import launch
from runner.errors import ConfigError
from runner.store import Store
from runner.sweeps import claimed_folder
from runner.sweeps.command_line import asked
from runner.sweeps.recorded_launcher import IN_DRIVER
from runner.sweeps.sweep_driver import SweepDriver
from runner.sweeps.sweep_folder import SweepFolder

SEEDS = ["-m", *TOY, "hydra.sweep.dir=all", "seed=0,-1,1"]
ROOT = Path(__file__).parents[2]


def hashes(folder: Path) -> dict[str, bytes]:
    """The files of the runs of a sweep, and what they contain."""
    files = [path for path in folder.rglob("*") if path.is_file() and ".sweep" not in path.parts]
    return {str(p.relative_to(folder)): p.read_bytes() for p in files if p.name != "multirun.yaml"}


def rows(done: SimpleNamespace) -> list[str]:
    """The rows of the table at the end of a sweep."""
    lines = done.out.splitlines()
    heads = [i for i, line in enumerate(lines) if line.split() == HEADS]
    assert heads, done.out + done.err
    return [" ".join(row.split()) for row in "\n".join(lines[heads[-1] + 1 :]).split("\n\n")[0]
            .splitlines()]  # fmt: skip


HEADS = ["member", "overrides", "best", "state"]


def test_a_member_that_fails_is_told_at_once_and_listed_and_the_others_go_on(here):
    done = sweep(*SEEDS)
    [line] = done.err.splitlines()
    why = "seed is -1: Input should be greater than or equal to 0."
    assert line == f"error: Member 1 (seed=-1) failed: {why}"
    assert done.code == 1
    table = rows(done)
    assert [row.split()[:2] for row in table] == [
        ["0", "seed=0"],
        ["1", "seed=-1"],
        ["2", "seed=1"],
    ]
    assert table[1] == f"1 seed=-1 failed: {why}"
    assert table[0].endswith(" ended") and table[2].endswith(" ended")
    assert [m["state"] for m in members(here / "all")] == ["ended", "failed", "ended"]


BAD_LINES = {  # what every member has, and how many members there are
    "a value": ("seed=-1,-2", 2), "one member": ("seed=-1", 1), "no mode": ("seed=-1,x", 2),
    "a key that is not": ("space.nope=1,2", 2), "an option that is not": ("strategy=a,b", 2),
    "a folder": ("seed=-1,-2 hydra.sweep.subdir=${seed}", 2),
    "a task": ("seed=0,1 task._target_=torch.nn.ReLU", 2),
    "a space": ("space._target_=toy.Broken,toy.Clash", 2),
}  # fmt: skip


@pytest.mark.sampled(3)
@pytest.mark.parametrize("kind", BAD_LINES)
def test_members_that_are_all_bad_input_are_told_and_listed(kind, here):
    line, count = BAD_LINES[kind]
    keys = [word.partition("=")[0] for word in line.split()]
    toy = [word for word in TOY if word.partition("=")[0] not in keys]
    done = sweep("-m", *toy, *line.split(), "hydra.sweep.dir=all")
    assert done.code == 2, done.err
    told = done.err.splitlines()
    assert [one.startswith(f"error: Member {i}") for i, one in enumerate(told)] == [True] * count
    assert [row.split()[0] for row in rows(done)] == [*map(str, range(count))]
    assert all(" failed: " in row for row in rows(done))
    assert [one["state"] for one in members(here / "all")] == ["failed"] * count
    assert not [*here.glob("all/*/*.db")] and not [*here.glob("all/[0-9-]*")]


BAD_FILES = {
    "when it is composed": "# @package _global_\ndefaults: [override /strategy: nope]\n",
    "when it is launched": "# @package _global_\nseed: -1\n",
    "before its first trial": "# @package _global_\nsearch: {}\n",
}


def of_files(here: Path, text: str) -> list[str]:
    """A sweep over two files with that text."""
    (here / "more" / "experiment").mkdir(parents=True)
    for name in "xy":
        (here / "more" / "experiment" / f"{name}.yaml").write_text(text)
    toy = [word for word in TOY if "strategy" not in text or "strategy" not in word]
    return ["-m", f"--config-dir={here}/more", "hydra.sweep.dir=all", "experiment=x,y", *toy]


@pytest.mark.sampled(3)
@pytest.mark.parametrize("when", BAD_FILES)
def test_bad_input_that_was_mended_is_run_when_the_sweep_goes_on(when, here):
    text = BAD_FILES[when]
    done = sweep(*of_files(here, text))
    assert done.code == 2 and len(done.err.splitlines()) == len(rows(done)) == 2, done.err
    mended = text.replace("{}", "null").replace("nope", "grid").replace("-1", "3")
    (here / "more" / "experiment" / "y.yaml").write_text(mended)
    done = sweep("-m", "sweep.resume=all")
    assert done.code == 1 and len(done.err.splitlines()) == 1
    assert [m["state"] for m in members(here / "all")] == ["failed", "ended"]
    before = hashes(here / "all")
    (here / "more" / "experiment" / "x.yaml").write_text(mended)
    done = sweep("-m", "sweep.resume=all")
    assert done.code == 0 and done.err == "", done.err
    assert [(m["state"], m["why"], m["code"]) for m in members(here / "all")] == [
        ("ended", "", 0), ("ended", "", 0)
    ]  # fmt: skip
    assert before.items() <= hashes(here / "all").items() and len(trials(here / "all")) == 4


def test_a_launcher_that_is_bad_input_leaves_the_table_and_may_be_changed(here):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    joblib = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=0"]
    done = sweep("-m", *TOY, *joblib, "hydra.sweep.dir=all", "seed=0,1")
    assert done.code == 1 and len(done.err.splitlines()) == 1
    assert "n_jobs == 0 in Parallel has no meaning" in done.err
    assert [row.split()[-2:] for row in rows(done)] == [["not", "begun"]] * 2
    done = sweep("-m", "sweep.resume=all", "hydra/launcher=basic")
    assert done.code == 0 and len(trials(here / "all")) == 4


def test_an_error_that_nobody_foresaw_fails_one_member_and_not_the_sweep(here, monkeypatch):
    begin = Store.begin

    def failing(self, config):
        if config["seed"] == 1:
            raise ZeroDivisionError("what now?")
        begin(self, config)

    monkeypatch.setattr(Store, "begin", failing)
    done = sweep("-m", *TOY, "hydra.sweep.dir=all", "seed=1,2")
    assert done.code == 1 and len(done.err.splitlines()) == 1
    assert "Member 0 (seed=1) failed: ZeroDivisionError: what now?" in done.err
    assert [m["state"] for m in members(here / "all")] == ["failed", "ended"]


def test_ctrl_c_says_how_to_go_on(here, monkeypatch):
    begin = Store.begin

    def stopped(self, config):
        if config["seed"] == 1:
            raise KeyboardInterrupt
        begin(self, config)

    monkeypatch.setattr(Store, "begin", stopped)
    done = sweep("-m", *TOY, "hydra.sweep.dir=all", "seed=0,1,2")
    assert done.code == 130 and "python -m runner -m sweep.resume=all" in done.out
    assert [m["state"] for m in members(here / "all")] == ["ended", "running", "waiting"]
    monkeypatch.undo()
    assert sweep("-m", f"sweep.resume={here}/all").code == 0


def test_ctrl_c_that_a_library_takes_for_an_error_fails_no_member(here, monkeypatch):
    execute = launch.execute

    def interrupted(config, overrides, folder):
        if config.seed != 1:
            return execute(config, overrides, folder)
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)
        except KeyboardInterrupt:
            raise ValueError("odd import") from None

    monkeypatch.setattr(launch, "execute", interrupted)
    done = sweep("-m", *TOY, "hydra.sweep.dir=all", "seed=0,1,2")
    assert done.code == 130 and "odd import" not in done.err + done.out
    assert [m["state"] for m in members(here / "all")] == ["ended", "running", "waiting"]


def test_a_member_without_a_result_failed(here):
    done = sweep("-m", *TOY, "hydra.sweep.dir=all", "evaluator._target_=toy.Raises,toy.Arithmetic")
    assert done.code == 1
    assert [m["state"] for m in members(here / "all")] == ["failed", "ended"]
    assert members(here / "all")[0]["why"] == "No trial has a result."


@pytest.mark.sampled(5)  # of which are in a member, and between two members
@pytest.mark.parametrize("after", [9, 1, 4, 13, 15, 14, 16, 17, 21])
def test_a_sweep_that_is_killed_at_any_write_goes_on_as_if_it_had_not_been(after, here):
    assert sweep(*SEEDS).code == 1
    expected, listed = trials(here / "all"), members(here / "all")
    (here / "all").rename(here / "whole")
    assert killed(*SEEDS, after=after)
    over = [m["number"] for m in members(here / "all") if m["state"] == "ended"]
    before = {name: data for name, data in hashes(here / "all").items()
              if any(name.startswith(f"{number}/") for number in over)}  # fmt: skip
    done = sweep("-m", "sweep.resume=all")
    assert done.code == 1, done.err
    assert trials(here / "all") == expected
    assert members(here / "all") == listed
    assert before.items() <= hashes(here / "all").items(), "ended members are left alone"
    assert len(rows(done)) == 3


def test_a_sweep_that_ended_is_only_shown_again(here):
    kinds = "evaluator._target_=toy.Arithmetic,toy.Raises"
    assert sweep("-m", *TOY, "hydra.sweep.dir=all", kinds).code == 1
    before = hashes(here / "all")
    done = sweep("-m", "sweep.resume=all")
    assert done.code == 1 and done.err == "" and len(rows(done)) == 2
    assert "Searching" not in done.out
    assert hashes(here / "all") == before


def test_a_shuffled_sweep_has_the_same_order_when_it_goes_on(here):
    given = ["-m", *TOY, "hydra.sweep.dir=all", "seed=shuffle(range(3))"]
    assert killed(*given, after=4)
    before = [m["overrides"] for m in members(here / "all")]
    assert len(before) == 3
    assert sweep("-m", "sweep.resume=all").code == 0
    assert [m["overrides"] for m in members(here / "all")] == before


@pytest.mark.parametrize("subdir", ["same", "x/../same"])
def test_two_members_share_no_folder(subdir, here):
    done = sweep("-m", *TOY, "hydra.sweep.dir=all", f"hydra.sweep.subdir={subdir}", "seed=0,1")
    assert done.code == 2 and len(done.err.splitlines()) == 1, done.err
    assert "hydra.sweep.subdir is " in done.err
    assert [*here.iterdir()] == []


def test_sweeps_of_one_second_share_no_folder(here, monkeypatch):
    monkeypatch.setattr(claimed_folder, "NOW", "multirun")
    given = ["-m", *TOY, "hydra.sweep.dir=multirun/then", "seed=0,1"]
    (here / "multirun" / "then").mkdir(parents=True)  # another one has just made it
    for _ in range(2):
        assert sweep(*given).code == 0
    names = [path.name for path in (here / "multirun").iterdir()]
    assert sorted(names) == ["then", "then-2", "then-3"]
    assert not [*(here / "multirun" / "then").iterdir()]
    assert all(len(trials(here / "multirun" / name)) == 4 for name in names if name != "then")


def test_a_sweep_that_another_process_runs_is_left_to_it(here):
    assert sweep("-m", *TOY, "hydra.sweep.dir=all", "seed=0,1").code == 0
    wanted = asked(["-m", "sweep.resume=all"])
    driver = SweepDriver(SweepFolder(here / "all"), wanted, ["seed"], searches=False)
    try:
        done = sweep("-m", "sweep.resume=all")
    finally:
        driver.close()
    assert done.code == 2 and len(done.err.splitlines()) == 1
    assert f"is still being run (process {os.getpid()} on " in done.err
    assert sweep("-m", "sweep.resume=all").code == 0


def test_a_member_that_another_process_still_runs_is_left_to_it(here):
    assert sweep("-m", *TOY, "hydra.sweep.dir=all", "seed=0,1").code == 0
    file = here / "all" / ".sweep" / "1.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "state": "running"}))
    from runner.goals import Goals

    with Store(here / "all" / "1", Goals()):
        done = sweep("-m", "sweep.resume=all")
    assert done.code == 2 and len(done.err.splitlines()) == 1
    assert f"Member 1 (seed=1) of the sweep in {here}/all is still being run (process " in done.err


def test_members_that_would_now_be_others_are_refused(here):
    assert sweep("-m", *TOY, "hydra.sweep.dir=all", "seed=0,1").code == 0
    file = here / "all" / ".sweep" / "1.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "overrides": ["seed=7"]}))
    done = sweep("-m", "sweep.resume=all")
    assert done.code == 1 and len(done.err.splitlines()) == 1
    assert "Member 1 of the sweep in " in done.err and "was ['seed=7'], and would now" in done.err


def test_a_second_sweep_is_not_written_over_the_first(here):
    assert sweep("-m", *TOY, "hydra.sweep.dir=all", "seed=0,1").code == 0
    before = hashes(here / "all")
    done = sweep("-m", *TOY, "hydra.sweep.dir=all", "seed=5,6")
    assert done.code == 2 and "holds a sweep already; go on with it by" in done.err
    assert "python -m runner -m sweep.resume=all" in done.err
    assert hashes(here / "all") == before


LAUNCHERS = {
    "joblib": ["hydra.launcher.n_jobs=2"],
    "submitit_local": ["hydra.launcher.timeout_min=5"],
}


@pytest.mark.sampled(2)
@pytest.mark.parametrize("name", LAUNCHERS)
def test_a_launcher_runs_members_in_processes_of_its_own(name, here):
    pytest.importorskip(f"hydra_plugins.hydra_{name.removesuffix('_local')}_launcher")
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "toys")])
    more = [f"hydra/launcher={name}", *LAUNCHERS[name]]
    command = [sys.executable, "-m", "runner", *SEEDS, "training=local", *more]
    began = time.time()
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True,
                          text=True, timeout=300)  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "error: Member 1 (seed=-1) failed: seed is -1" in done.stderr
    assert done.stderr.count("error: ") == 1 and "Traceback" not in done.stderr
    assert "Member 0 (seed=0) has begun; its output goes to all/.sweep/0.txt." in done.stdout
    assert "Member 2 (seed=1) has ended; its best is " in done.stdout
    assert "Searching Net" in (here / "all" / ".sweep" / "0.txt").read_text()
    assert "Searching" not in done.stdout
    assert len(trials(here / "all")) == 4 and began
    alone = ["hydra.sweep.dir=alone" if one.endswith("=all") else one for one in SEEDS]
    assert sweep(*alone).code == 1
    assert trials(here / "alone") == trials(here / "all"), "as in one process"


def in_processes(*words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "toys")])
    return subprocess.run([sys.executable, "-m", "runner", *words], capture_output=True, text=True,
                          timeout=300, env={**os.environ, "PYTHONPATH": path})  # fmt: skip


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", LAUNCHERS)
def test_bad_input_in_a_process_of_a_launcher_may_be_mended(name, here):
    pytest.importorskip(f"hydra_plugins.hydra_{name.removesuffix('_local')}_launcher")
    given = of_files(here, BAD_FILES["before its first trial"])
    done = in_processes(*given, f"hydra/launcher={name}", *LAUNCHERS[name])
    assert done.returncode == 2 and done.stderr.count("error: Member ") == 2, done.stderr
    assert [row.split()[0] for row in rows(SimpleNamespace(out=done.stdout, err=""))] == ["0", "1"]
    for file in "xy":
        (here / "more" / "experiment" / f"{file}.yaml").write_text("# @package _global_\n")
    done = in_processes("-m", "sweep.resume=all")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [m["state"] for m in members(here / "all")] == ["ended"] * 2
    assert len(trials(here / "all")) == 4


@pytest.mark.exhaustive
def test_a_process_of_joblib_that_dies_costs_only_the_member_that_kills_it(here):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    toy = [word for word in TOY if not word.startswith(("evaluator._t", "evaluator.lr"))]
    joblib = ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "evaluator._target_=toy.Dies"]
    done = in_processes("-m", *toy, *joblib, "hydra.sweep.dir=all", "evaluator.lr=-1,0,0.5,1.5")
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.count("error: ") == 1
    assert "Member 0 (evaluator.lr=-1) failed: Its process was killed by SIGKILL" in done.stderr
    assert [m["state"] for m in members(here / "all")] == ["failed"] + ["ended"] * 3
    again = in_processes("-m", "sweep.resume=all")
    assert again.returncode == 1 and again.stderr.count("error: ") == 1
    assert len(trials(here / "all")) == 7, "of the first member, only the one that kills"


def test_a_launcher_that_fails_says_how_to_go_on(here, monkeypatch):
    def failing(*_: object, **__: object) -> None:
        raise OSError("no more processes")

    kind = Plugins.instance().class_name_to_class[f"{IN_DRIVER}.BasicLauncher"]
    monkeypatch.setitem(kind.launch.__globals__, "run_job", failing)
    done = sweep("-m", *TOY, "hydra.sweep.dir=all", "seed=0,1")
    assert done.code == 1 and len(done.err.splitlines()) == 1
    assert "The launcher failed: OSError: no more processes." in done.err
    assert "python -m runner -m sweep.resume=all" in done.err


def dying(monkeypatch, kill):
    """Makes the processes of the launcher die, as those of joblib do, in members with a seed for
    which `kill` is true; returns the seeds of those that ran, in order."""
    kind = Plugins.instance().class_name_to_class[f"{IN_DRIVER}.BasicLauncher"]
    run_job = kind.launch.__globals__["run_job"]
    begun = []

    def run(*, task_function, config, **more):
        begun.append(config.seed)
        if not kill(config.seed):
            return run_job(task_function=task_function, config=config, **more)
        with pytest.raises(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
            patch.setattr(Store, "_append", stop)
            run_job(task_function=task_function, config=config, **more)
        raise BrokenProcessPool("The exit codes of the workers are {SIGKILL(-9), EXIT(1)}")

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setitem(kind.launch.__globals__, "run_job", run)
    return begun


def test_a_member_whose_process_dies_once_goes_on_and_the_others_too(here, monkeypatch):
    assert sweep("-m", *TOY, "hydra.sweep.dir=whole", "seed=0,1,2").code == 0
    begun = dying(monkeypatch, lambda seed: seed == 1 and begun.count(1) == 1)
    done = sweep("-m", *TOY, "hydra.sweep.dir=all", "seed=0,1,2")
    assert done.code == 0 and done.err == "" and begun == [0, 1, 1, 2]
    assert "A process of the launcher was killed by SIGKILL" in done.out
    assert "member 1 will go on" in " ".join(done.out.split())
    assert trials(here / "all") == trials(here / "whole")


def test_a_member_whose_process_dies_again_has_failed_and_the_others_run(here, monkeypatch):
    begun = dying(monkeypatch, lambda seed: seed == 1)
    done = sweep("-m", *TOY, "hydra.sweep.dir=all", "seed=0,1,2")
    assert done.code == 1 and begun == [0, 1, 1, 2]
    why = "was killed by SIGKILL (manually, or by the system for lack of memory), twice."
    assert done.err == f"error: Member 1 (seed=1) failed: Its process {why}\n"
    assert [m["state"] for m in members(here / "all")] == ["ended", "failed", "ended"]
    monkeypatch.undo()
    before = trials(here / "all")
    done = sweep("-m", f"sweep.resume={here}/all")  # with more memory, say
    assert done.code == 0, done.err
    assert [m["state"] for m in members(here / "all")] == ["ended"] * 3
    assert {*before} <= {*trials(here / "all")} and len(trials(here / "all")) == 6


def test_processes_that_die_before_any_member_begins_are_a_failure_of_the_launcher(
    here, monkeypatch
):
    def broken(**_: object) -> None:
        raise BrokenProcessPool("no module named runner")

    kind = Plugins.instance().class_name_to_class[f"{IN_DRIVER}.BasicLauncher"]
    monkeypatch.setitem(kind.launch.__globals__, "run_job", broken)
    done = sweep("-m", *TOY, "hydra.sweep.dir=all", "seed=0,1")
    assert done.code == 1 and len(done.err.splitlines()) == 1
    assert "The launcher failed: BrokenProcessPool: no module named runner." in done.err
    assert [row.split()[-2:] for row in rows(done)] == [["not", "begun"]] * 2


def test_a_file_may_not_name_a_sweep_to_go_on_with(here):
    (here / "more" / "experiment").mkdir(parents=True)
    text = "# @package _global_\nsweep: {resume: all}\n"
    (here / "more" / "experiment" / "x.yaml").write_text(text)
    done = sweep("--config-dir=more", "experiment=x", *TOY)
    assert done.code == 2 and "it may only be given on the command line" in done.err


def test_a_folder_is_free_again_after_a_sweep(here):
    wanted = asked(["-m", "seed=0,1"])
    driver = SweepDriver(SweepFolder(here / "x"), wanted, [], searches=False)
    with pytest.raises(ConfigError, match="is still being run"):
        SweepDriver(SweepFolder(here / "x"), asked(["-m"]).__class__(
            (), wanted.request, resumes=True), [], searches=False)  # fmt: skip
    driver.close()
    driver.close()
    assert not (here / "x" / ".sweep").exists(), "nothing was run"
