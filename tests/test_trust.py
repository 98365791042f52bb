"""A run folder brings no trust with it: what this user did not sign runs only what is trusted
now, and is read without running anything."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import records
import yaml

import runner
from runner.errors import ConfigError, RunFailed
from runner.goals import Goals, Objective
from runner.store import Store, read
from runner.trial import Proposal

ROOT = Path(__file__).parents[1]
CONFIG = records.CONFIG | {"space": {"_target_": "marking.Marked"}, "trust": ["toy", "marking"]}
OTHERS = "was not made by this user"


@pytest.fixture
def mark(tmp_path, monkeypatch):
    """The file that the code of the config makes when it is imported; it is imported anew."""
    monkeypatch.setenv("MARK", str(tmp_path / "mark"))
    monkeypatch.delitem(sys.modules, "marking", raising=False)
    return tmp_path / "mark"


@pytest.fixture
def user(tmp_path, monkeypatch):
    """Becomes a user of a name: one with a config folder of the name."""
    return lambda name: monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "users" / name))


def recorded(folder, config=CONFIG):
    """A run of one trial as the present user records it."""
    with Store(folder, Goals((Objective("val/accuracy", "max"),))) as store:
        store.begin(config)
        store.propose(Proposal(records.SAMPLE), 1, "k", None)
        store.record(0, "started", {})
        store.record(0, "finished", {"val/accuracy": 0.5})
    return folder


def uses(run):
    """All that builds a model."""
    return (lambda: run.model(0), lambda: run.source(run.best), lambda: run.job(run.best),
            lambda: run.export_top_models(1, "code"),
            lambda: run.export_top_models(1, "instance"))  # fmt: skip


def command(*arguments, cwd, **more):
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "toys")])
    environment = os.environ | {"PYTHONPATH": path} | more
    environment.pop("HYDRA_FULL_ERROR", None)
    return subprocess.run([sys.executable, "-m", "runner", *arguments], cwd=cwd, env=environment,
                          capture_output=True, text=True)  # fmt: skip


def test_a_folder_of_another_user_is_read_without_running_anything(tmp_path, user, mark):
    user("other")
    folder = recorded(tmp_path / "run")
    user("me")
    run = runner.load(folder)
    assert run.best.score == 0.5 and len(run.trials) == 1 and run.gains == []
    assert "0.5" in run._repr_html_() and run.export_top_models(1) == [records.SAMPLE]
    assert run.settings.trust == [] and run.settings.space == CONFIG["space"]
    for use in uses(run):
        with pytest.raises(ConfigError, match=OTHERS) as caught:
            use()
        assert "it trusted toy, marking." in str(caught.value)
        assert "'trust=[toy,marking]'" in str(caught.value) and "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=OTHERS):
        runner.run([f"resume={folder}", "budget.trials=5"])
    assert not mark.exists() and "marking" not in sys.modules
    assert len(read(folder).trials) == 1, "nothing was recorded"


def test_what_is_trusted_now_runs_and_what_was_resumed_is_this_users_own(tmp_path, user, mark):
    user("other")
    folder = recorded(tmp_path / "run")
    user("me")
    run = runner.load(folder, trust=["toy", "marking"])
    assert "marking" in run.source(run.best).text and mark.exists()
    again = runner.run([f"resume={folder}", "trust=[toy,marking]", "budget.trials=3"])
    assert len(again.trials) == 3
    again.job(again.best)
    assert len(runner.run([f"resume={folder}", "budget.trials=4"]).trials) == 4
    assert runner.load(folder).job(again.best)
    user("other")
    with pytest.raises(ConfigError, match=OTHERS):
        runner.load(folder).job(again.best)


def test_half_of_the_trust_is_not_enough(tmp_path, user, mark):
    user("other")
    folder = recorded(tmp_path / "run")
    user("me")
    run = runner.load(folder, trust=["toy"])
    for use in uses(run):
        with pytest.raises(ConfigError, match=r"it trusted marking\. If"):
            use()
    with pytest.raises(ConfigError, match=r"it trusted marking\. If"):
        runner.run([f"resume={folder}", "trust=[toy]"])
    assert not mark.exists()


def test_a_run_of_this_user_goes_on_wherever_it_lies(tmp_path, user):
    user("me")
    folder = recorded(tmp_path / "run")
    assert runner.load(folder).settings.trust == ["toy", "marking"]
    shutil.copytree(folder, tmp_path / "copy")
    for place in (folder, tmp_path / "copy"):
        assert len(runner.run([f"resume={place}", "budget.trials=3"]).trials) == 3
        assert runner.load(place).source(runner.load(place).best)


def test_a_run_that_needs_no_trust_needs_none_from_others_either(tmp_path, user):
    user("other")
    mlp = ["space=mlp", "strategy=random", "evaluator.epochs=1", "budget.trials=1", "export.top=1",
           "training=inline", "training.device=cpu", "trust=[marking]"]  # fmt: skip
    folder = runner.run(mlp, tmp_path / "run").folder
    user("me")
    run = runner.load(folder)
    assert not run.model(0).training
    assert len(runner.run([f"resume={folder}", "budget.trials=2"]).trials) == 2
    assert read(folder).config["trust"] == [], "trust that nobody here gave is not recorded"


def own_beginning(tmp_path):
    """The first event of a run of this user, with its signature."""
    import sqlite3

    folder = recorded(tmp_path / "own")
    db = sqlite3.connect(folder / "run.db")
    [text] = db.execute("select data from events where kind = 'begun'").fetchone()
    db.close()
    return json.loads(text)


EVIL = CONFIG | {"trust": ["toy", "marking", "os"], "space": {"_target_": "os.system"}}


def forged(data):
    """Records that reuse what this user signed, by name: how, and their events."""
    begun, config, signature = ("begun", None, data), data["config"], data["signature"]
    rest = records.WHOLE[1:]

    def of(**more):
        return ("begun", None, data | more)

    return {
        "another space": [of(config=config | {"space": {"_target_": "os.system"}}), *rest],
        "more trust": [of(config=config | {"trust": [*config["trust"], "os"]}), *rest],
        "another evaluator": [of(config=config | {"evaluator": {"_target_": "os.system"}}), *rest],
        "another run": [of(run="0" * 32), *rest],
        "no name of the run": [of(run=""), *rest],
        "a cut signature": [of(signature=signature[:-1]), *rest],
        "an empty signature": [of(signature=""), *rest],
        "no signature": [of(signature=None), *rest],
        "resumed unsigned": [begun, *rest, ("resumed", None, {"config": EVIL})],
        "resumed with the first signature": [
            begun, *rest, ("resumed", None, {"config": EVIL, "signature": signature})],
        "resumed unsigned with the same config": [
            begun, *rest, ("resumed", None, {"config": config})],
        "a foreign beginning before what this user signed": [
            of(config=EVIL, run="1" * 32, signature=None), *rest,
            ("resumed", None, {"config": config, "signature": signature})],
    }  # fmt: skip


NAMES = [*forged({"config": CONFIG, "signature": "x"})]


@pytest.mark.parametrize("name", NAMES)
def test_a_signature_is_of_no_use_elsewhere(name, tmp_path, user, mark):
    user("me")
    events = forged(own_beginning(tmp_path))[name]
    folder = records.write(tmp_path / "forged", *events)
    run = runner.load(folder)
    assert run.settings.trust == [] and run.best.score == 0.5
    for use in (*uses(run), lambda: runner.run([f"resume={folder}"])):
        with pytest.raises(ConfigError, match=OTHERS):
            use()
    assert not mark.exists()


def test_names_of_packages_in_a_record_are_no_commands(tmp_path, user):
    user("me")
    for trust in (["x]'; touch owned; '"], ["a\nb"], [""], ["$(id)"], ["a" * 5000]):
        config = CONFIG | {"trust": trust}
        folder = records.write(
            tmp_path / str(len(list(tmp_path.iterdir()))),
            records.changed(records.BEGUN, config=config), *records.WHOLE[1:],
        )  # fmt: skip
        with pytest.raises(ConfigError, match=OTHERS) as caught:
            runner.load(folder).model(0)
        text = str(caught.value)
        assert "\n" not in text and (trust == ["a" * 5000] or "no names of packages" in text)
    with pytest.raises(ConfigError, match="trust is 'toy'; it must be a list"):
        runner.load(folder, trust="toy")


@pytest.mark.parametrize(
    ("key", "value", "none"),
    [("shell", ["touch owned"], "[]"), ("extra", {"export": "NONE"}, "{}")],
)
def test_commands_that_a_record_asks_for_are_run_for_no_other_user(
    key, value, none, tmp_path, user, monkeypatch
):
    """They would be run by jobs of a cluster; one may give them oneself, or do without."""
    monkeypatch.chdir(tmp_path)
    user("other")
    training = yaml.safe_load((ROOT / "conf" / "training" / "slurm.yaml").read_text())
    config = CONFIG | {"training": training | {"cluster": "local", key: value}}
    folder = recorded(tmp_path / "run", config)
    user("me")
    trust = "trust=[toy,marking]"
    with pytest.raises(ConfigError, match=f"{OTHERS}.*training.{key} would be used") as caught:
        runner.run([f"resume={folder}", trust])
    assert f"training.{key}={none}" in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "owned").exists() and not (folder / "slurm").exists()


def test_hyper_parameters_of_a_record_are_candidates_of_its_config(tmp_path, user):
    user("me")
    search = {"evaluator.lr": [0.1, 0.5]}
    folder = recorded(tmp_path / "run", CONFIG | {"search": search})
    with Store(folder, Goals((Objective("val/accuracy", "max"),))) as store:
        list(store.replay())
        store.propose(Proposal({"evaluator.lr": {"_target_": "os.getcwd"}}), 1, "k2", None)
    with pytest.raises(RunFailed, match=r"in trial 1, Choice 'evaluator\.lr' was given"):
        runner.run([f"resume={folder}", "budget.trials=5"])


def test_older_records_are_read_and_ask_for_trust(tmp_path, user, mark):
    user("me")
    begun = records.changed(records.BEGUN, config=CONFIG)
    folder = records.write(tmp_path / "run", begun, *records.WHOLE[1:])
    with pytest.raises(ConfigError, match=r"not signed, or older"):
        runner.run([f"resume={folder}"])
    assert not mark.exists()
    again = runner.run([f"resume={folder}", "trust=[toy,marking]", "budget.trials=2"])
    assert len(again.trials) == 2
    assert runner.load(folder).settings.trust == ["toy", "marking"]


def test_a_user_without_a_key_runs_unsigned_and_is_told_once(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "file"))
    folder = recorded(tmp_path / "run")
    assert [r.message for r in caplog.records if "not signed" in r.message]
    run = runner.run([f"resume={folder}", "trust=[toy,marking]", "budget.trials=2"])
    assert len(run.trials) == 2 and run.job(run.best), "the session itself needs no key"
    with pytest.raises(ConfigError, match=OTHERS):
        runner.load(folder).job(run.best)
    caplog.clear()
    recorded(tmp_path / "untrusting", CONFIG | {"trust": []})
    assert not caplog.records


def test_the_command_line_says_it_in_one_line_and_what_it_says_works(tmp_path, user, mark):
    user("other")
    folder = recorded(tmp_path / "run")
    user("me")
    here = tmp_path / "here"
    here.mkdir()
    done = command("resume=../run", "budget.trials=3", cwd=here)
    told = [line for line in done.stderr.splitlines() if not line.startswith("Loading ...")]
    assert done.returncode == 2 and done.stdout == "" and len(told) == 1
    assert OTHERS in done.stderr and not mark.exists() and not [*here.iterdir()]
    assert not (folder / ".hydra").exists() and not (folder / "runner.log").exists()
    said = done.stderr.partition("say so: ")[2].partition(" on the command line")[0]
    done = command("resume=../run", "budget.trials=3", *shlex.split(said), cwd=here)
    assert done.returncode == 0, done.stderr
    assert len(read(folder).trials) == 3 and mark.exists()


CODE = ["trials/0000/model.py", "top/1/model.py", "top.new/1/model.py", "toy.py",
        "sitecustomize.py", "top/1/torch.py"]  # fmt: skip


def test_no_code_of_a_folder_is_run(tmp_path, user):
    user("other")
    mlp = ["space=mlp", "strategy=random", "evaluator.epochs=1", "budget.trials=1", "export.top=1",
           "training=inline", "training.device=cpu", "engine=base"]  # fmt: skip
    folder = runner.run(mlp, tmp_path / "run").folder
    user("me")
    for name in CODE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"open({str(tmp_path / 'mark')!r}, 'w')\n")
    run = runner.load(folder)
    run.model(0), run.source(run.best), run.export_top_models(1, "instance")
    done = command(f"resume={folder}", "budget.trials=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "mark").exists()
    assert sorted(p.name for p in (folder / "top" / "1").iterdir()) == [
        "metrics.json", "model.py", "sample.json", "weights.safetensors",
    ]  # fmt: skip
