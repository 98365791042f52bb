"""`sweep.resume=`: what its folder says is run again, and nothing that contradicts it, or that
somebody else wrote."""

import json
from pathlib import Path

import pytest

from runner.errors import ConfigError, RunFailed, RunnerError
from runner.sweeps.command_line import asked, fixed
from runner.sweeps.sweep_folder import SweepFolder, SweepRequest

GIVEN = ["-m", "hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=all",
         "seed=0,1", "++evaluator.lr=0.1", "training=local", "training.workers=2",
         "hydra.sweeper.n_trials=4"]  # fmt: skip


def begun(folder: Path, **changed: object) -> Path:
    """A folder with a sweep that this user began."""
    request = SweepRequest(name="x", arguments=GIVEN, shuffle=5).signed()
    SweepFolder(folder).begin(request.model_copy(update=changed))
    return folder


def test_a_new_sweep_is_what_the_command_line_says(here):
    wanted = asked(["-m", "seed=0,1", "sweep.resume=null"])
    assert wanted.arguments == ["-m", "seed=0,1"] and not wanted.resumes
    assert wanted.request.arguments == ["-m", "seed=0,1"] and wanted.request.doubt == ""


def test_a_sweep_goes_on_with_its_own_arguments_in_its_own_folder(here):
    begun(here / "all")
    (here / "all").rename(here / "moved")
    wanted = asked(["--multirun", "sweep.resume=moved"])
    same = [one for one in GIVEN if not one.startswith("hydra.sweep.dir")]
    assert wanted.arguments == [*same, f"hydra.sweep.dir={here}/moved"]
    assert wanted.resumes and wanted.request.shuffle == 5


@pytest.mark.parametrize(
    ("more", "gone"),
    [
        ("hydra/launcher=basic", ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]),
        ("hydra.launcher.n_jobs=8", ["hydra.launcher.n_jobs=2"]),
        ("training=inline", ["training=local", "training.workers=2"]),
        ("training.workers=1", ["training.workers=2"]), ("training.device=cpu", []),
        ("hydra.sweeper.n_trials=9", ["hydra.sweeper.n_trials=4"]),
    ],
)  # fmt: skip
def test_how_members_are_run_may_change(more, gone, here):
    begun(here / "all")
    found = asked(["-m", "sweep.resume=all", more]).arguments
    left = [one for one in GIVEN if one not in gone and not one.startswith("hydra.sweep.dir")]
    assert found == [*left, more, f"hydra.sweep.dir={here}/all"]


@pytest.mark.parametrize("same", ["seed=0,1", "evaluator.lr=0.1", "hydra.sweeper.n_trials=4"])
def test_what_the_sweep_has_may_be_repeated(same, here):
    begun(here / "all")
    assert asked(["-m", "sweep.resume=all", same]) == asked(["-m", "sweep.resume=all"])


BAD = [
    ("-m sweep.resume=nowhere", "There is no sweep in '{here}/nowhere': it has no .sweep/sweep"),
    ("-m sweep.resume=.", "There is no sweep in '{here}'"),
    ("sweep.resume=all", "sweep.resume goes on with a sweep; add -m."),
    ("-m sweep.resume=5", "'sweep.resume=5' names no folder"),
    ("-m sweep.resume=", "'sweep.resume=' names no folder"),
    ("-m sweep.resume=all,all", "'sweep.resume=all,all' names no folder"),
    ("-m sweep.resume=[all]", "'sweep.resume=[all]' names no folder"),
    ("-m sweep.resume={a:b}", "names no folder"),
    ("-m sweep.resume=all sweep.resume=all", "sweep.resume is given 2 times"),
    ("-m sweep.resume=all seed=0,2", "'seed=0,2' contradicts the sweep in {here}/all: it has 'see"),
    ("-m sweep.resume=all seed=0", "'seed=0' contradicts the sweep"),
    ("-m sweep.resume=all budget.trials=9", "'budget.trials=9' contradicts the sweep in {here}/all"
     ": it has none. Only training, the launcher, and a growing hydra.sweeper.n_trials may"),
    ("-m sweep.resume=all ~seed", "'~seed' contradicts"),
    ("-m sweep.resume=all hydra.sweep.dir=other", "'hydra.sweep.dir=other' contradicts"),
    ("-m sweep.resume=all --config-dir=x", "'--config-dir=x' contradicts"),
    ("-m sweep.resume=all hydra.sweeper.n_trials=3", "'hydra.sweeper.n_trials=3' contradicts"),
    ("-m sweep.resume=all hydra.sweeper.n_trials=x", "'hydra.sweeper.n_trials=x' contradicts"),
    ("-m sweep.resume=all trainings=x", "'trainings=x' contradicts"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "why"), BAD)
def test_what_contradicts_is_said_in_one_line(line, why, here):
    begun(here / "all")
    with pytest.raises(ConfigError) as error:
        asked(line.split())
    assert why.format(here=here) in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_the_sweep_of_somebody_else_goes_on_only_as_the_user_says(here):
    hostile = ["-m", "trust=[os]", "space._target_=os.system", "seed=0,1"]
    begun(here / "all", arguments=hostile)
    with pytest.raises(ConfigError) as error:
        asked(["-m", "sweep.resume=all", "seed=0,1"])
    assert "was not made by this user (its record is signed with another key)" in str(error.value)
    assert "'space._target_=os.system', 'trust=[os]'" in str(error.value)
    begun(here / "all", arguments=["-m", "seed=0,1"], signature=None)
    with pytest.raises(ConfigError, match="not signed"):
        asked(["-m", "sweep.resume=all"])
    assert asked(["-m", "sweep.resume=all", "seed=0,1"]).resumes


def test_a_sweep_is_not_written_through_links(here):
    begun(here / "all")
    (here / "all" / "0").symlink_to("/tmp")
    with pytest.raises(ConfigError, match="symbolic link '0', which leads out of it"):
        asked(["-m", "sweep.resume=all"])


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "5", '{"version": 2}', '{"version": 1, "name": 5}', "[" * 5000, "\xff",
     json.dumps({"version": 1, "name": "x", "arguments": [1], "shuffle": 1}),
     json.dumps({"version": 1, "name": "x", "arguments": [], "shuffle": 1, "evil": 1})],
)  # fmt: skip
def test_a_damaged_file_is_said_in_one_line(text, here):
    begun(here / "all")
    (here / "all" / ".sweep" / "sweep.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(RunnerError) as error:
        asked(["-m", "sweep.resume=all"])
    assert isinstance(error.value, RunFailed) and len(str(error.value).splitlines()) == 1


def test_what_may_change_is_not_compared():
    assert fixed(["training=local", "++seed=1", "hydra.launcher.n_jobs=3", "hydra/launcher=x"]) == [
        "seed=1"
    ]
