"""A sweep goes on after a member that fails, and after a kill as if there had been none."""

import json
import os
import signal
import subprocess
import sys
import time
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
    assert members(here / "all")[0]["why"]


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
    assert sweep(*SEEDS).code == 1
    before = hashes(here / "all")
    done = sweep("-m", "sweep.resume=all")
    assert done.code == 1 and done.err == "" and len(rows(done)) == 3
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


def test_a_launcher_that_fails_says_how_to_go_on(here, monkeypatch):
    def failing(*_: object, **__: object) -> None:
        raise OSError("no more processes")

    kind = Plugins.instance().class_name_to_class[f"{IN_DRIVER}.BasicLauncher"]
    monkeypatch.setitem(kind.launch.__globals__, "run_job", failing)
    done = sweep("-m", *TOY, "hydra.sweep.dir=all", "seed=0,1")
    assert done.code == 1 and len(done.err.splitlines()) == 1
    assert "The launcher failed: OSError: no more processes." in done.err
    assert "python -m runner -m sweep.resume=all" in done.err


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
