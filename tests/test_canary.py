"""No secret is in anything that a run shows or writes, and each part is given its own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
import secretive
from sweeping import members, sweep

from runner import launch
from runner.errors import ConfigError
from runner.masking import masker
from runner.results import Run, load
from runner.store import read, read_config

ROOT = Path(__file__).parents[1]
SECRET = {  # what is given -> the value that nobody may see
    "token": "CANARY-4711", "nested": "CANARY-nest", "deep": "CANARY-deep", "listed": "CANARY-list",
    "url": "CANARY-pw", "env": "CANARY-env", "named": "CANARY-hf", "logger": "CANARY-log",
}  # fmt: skip
ENVIRONMENT = {"KEY_OF_TESTS": SECRET["env"], "HF_TOKEN": SECRET["named"]}
GIVEN = {  # overrides without their prefix; they are given again to go on
    "data.token": SECRET["token"],
    "data.options": f"{{api_key:{SECRET['nested']},plain:x,deep:[{{secret:{SECRET['deep']}}}]}}",
    "data.tokens": f"[{SECRET['listed']},b-listed]",
    "data.url": f"'http://bob:{SECRET['url']}@host:80/p'",
}
BASE = ["space=mlp", "training=inline", "training.device=cpu", "budget.trials=2",
        "trust=[secretive]", "strategy=random", "data._target_=secretive.Vaulted",
        *(f"++{key}={value}" for key, value in GIVEN.items()), "+data.user=${oc.env:HF_TOKEN}",
        "evaluator=function", "evaluator.fn._target_=secretive.train",
        "+evaluator.fn.api_key='${oc.env:KEY_OF_TESTS}'", "+evaluator.fn.mode=print",
        "objective.metric=score"]  # fmt: skip
QUICK = ["export.top=0", "report=null"]
GOSSIP = f"{{_target_:secretive.Gossip,password:{SECRET['logger']},fails:true}}"
LOGGERS = ["logger=[csv]", f"+logger.gossip={GOSSIP}"]


def seen(folder: Path) -> list[str]:
    """The files below a folder that have a secret in them."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "told"]
    return [str(p.relative_to(folder)) for p in files if b"CANARY" in p.read_bytes()]


def given(folder: Path) -> dict[str, set[str]]:
    """What each part was given, in the words of JSON."""
    found: dict[str, set[str]] = {}
    for line in (folder / "told").read_text().splitlines():
        who, *what = json.loads(line)
        found.setdefault(who, set()).add(json.dumps(what))
    return found


OPTIONS = {"api_key": SECRET["nested"], "deep": [{"secret": SECRET["deep"]}], "plain": "x"}
DATA = json.dumps([
    SECRET["token"], OPTIONS, [SECRET["listed"], "b-listed"], f"http://bob:{SECRET['url']}@host:80/p",
    SECRET["named"], 1,
])  # fmt: skip


def forget(patch: pytest.MonkeyPatch) -> None:
    """What is masked so far is forgotten, and known again afterwards."""
    patch.setattr(masker, "_patterns", frozenset())
    patch.setattr(masker, "_pattern", None)


@pytest.fixture(autouse=True)
def known(monkeypatch, tmp_path) -> None:
    """A process that knows no secrets yet, with some in its environment."""
    forget(monkeypatch)
    monkeypatch.setenv(secretive.TOLD, str(tmp_path / "told"))
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def searched(tmp_path_factory) -> Iterator[SimpleNamespace]:
    """The folder of a run with loggers and a report, and what was said of it."""
    folder = tmp_path_factory.mktemp("searched")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        forget(patch)
        patch.setenv(secretive.TOLD, str(folder / "told"))
        for name, value in ENVIRONMENT.items():
            patch.setenv(name, value)
        said = {"search": sweep(*BASE, *LOGGERS, "hydra.run.dir=outputs/a")}
        for task in ("show", "report", "list"):
            said[task] = sweep(f"task={task}", "run=outputs/a")
        said["one"] = sweep("task=show", "run=outputs/a", "trial=0")
        said["compare"] = sweep("task=compare", "runs=[outputs/a]")
        said["config"] = sweep(*BASE, *LOGGERS, "--cfg", "job")
        said["resolved"] = sweep(*BASE, *LOGGERS, "--cfg", "job", "--resolve")
        said["all"] = sweep(*BASE, "--cfg", "all")
        said["info"] = sweep(*BASE, "--info", "config")
        yield SimpleNamespace(folder=folder, said=said)


OF_RUN = ["run.db", "report.html", "runner.log", "trials.csv", "metrics.csv", "environment.json",
          ".hydra/config.yaml", ".hydra/overrides.yaml", ".hydra/hydra.yaml", "loggers/gossip.txt",
          "top/1/model.py", "top/1/sample.json"]  # fmt: skip


@pytest.mark.parametrize("name", OF_RUN)
def test_no_file_of_a_run_has_a_secret(searched, name):
    run = searched.folder / "outputs" / "a"
    assert b"CANARY" not in (run / name).read_bytes()


def test_no_other_file_has_one_either(searched):
    assert not seen(searched.folder)


@pytest.mark.parametrize(
    "what",
    ["search", "show", "one", "report", "list", "compare", "config", "resolved", "all", "info"],
)
def test_nothing_that_is_said_has_a_secret(searched, what):
    done = searched.said[what]
    assert done.code == 0, done.err
    assert "CANARY" not in done.out + done.err
    assert done.out


def test_each_part_is_given_its_secret(searched):
    assert given(searched.folder) == {
        "data": {DATA},
        "evaluator": {json.dumps([SECRET["env"]])},
        "logger": {json.dumps([SECRET["logger"]])},
    }


def test_failures_and_warnings_say_that_something_was_masked(searched):
    said = searched.said["search"]
    assert "ConnectionError: cannot log in with ***" in said.out
    assert "used ***" in (searched.folder / "outputs/a/runner.log").read_text()
    assert "password: '***'" in said.out or "***" in searched.said["config"].out


def test_the_record_has_masks_and_names_of_variables(searched):
    config = read_config(searched.folder / "outputs" / "a").config
    data = config["data"]
    assert (data["token"], data["tokens"], data["url"]) == (
        "***", ["***", "***"], "http://bob:***@host:80/p",
    )  # fmt: skip
    assert data["options"] == {"api_key": "***", "plain": "x", "deep": [{"secret": "***"}]}
    assert data["user"] == "${oc.env:HF_TOKEN}"
    assert config["evaluator"]["fn"]["api_key"] == "${oc.env:KEY_OF_TESTS}"
    assert config["logger"]["gossip"]["password"] == "***"


# Going on


@pytest.fixture
def run(here) -> Path:
    """The folder of a run of two trials."""
    launch.run([*BASE, *QUICK, "hydra.run.dir=run"])
    (here / "told").unlink()
    return here / "run"


def again(*but: str) -> list[str]:
    return [f"{key}={value}" for key, value in GIVEN.items() if key not in but]


def test_a_run_goes_on_when_its_secrets_are_given_again(run):
    done = sweep("resume=run", "budget.trials=3", *again())
    assert done.code == 0, done.err
    assert given(run.parent) == {"data": {DATA}, "evaluator": {json.dumps([SECRET["env"]])}}
    assert [trial.number for trial in read(run).trials] == [0, 1, 2]
    assert not seen(run) and not read(run).doubt
    assert read(run).config["data"]["token"] == "***"


def test_a_resumed_run_goes_on_as_one_that_was_not_cut(run, here):
    sweep("resume=run", "budget.trials=4", *again())
    launch.run([*BASE, *QUICK, "budget.trials=4", "hydra.run.dir=whole"])
    found = [
        [(t.sample, t.seed, t.metrics) for t in read(here / n).trials] for n in ("run", "whole")
    ]
    assert found[0] == found[1]


def test_secrets_may_be_given_by_another_way(run, monkeypatch):
    monkeypatch.setenv("OTHER", "CANARY-other")
    done = sweep(
        "resume=run", "budget.trials=3", *again("data.token"), "data.token='${oc.env:OTHER}'"
    )
    assert done.code == 0, done.err
    assert read(run).config["data"]["token"] == "${oc.env:OTHER}"
    assert json.loads(next(iter(given(run.parent)["data"])))[0] == "CANARY-other"
    assert sweep("resume=run", "budget.trials=4", *again("data.token")).code == 0
    assert not seen(run)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "needs data.token, data.options.api_key, data.options.deep[0].secret, data.tokens[0], "
             "data.tokens[1] and 1 more, which are secrets and not saved; give them again, as in "
             "data.token=VALUE, or from the environment, as in 'data.token=${oc.env:NAME}'."),
        (again("data.token"), "needs data.token, which is a secret and not saved; give it again, "),
        (again("data.url"), "needs data.url, which is a secret and not saved; give it again"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("task", ["resume", "export", "replay"])
def test_what_is_missing_is_said_in_one_line(run, words, told, task):
    begin = ["resume=run"] if task == "resume" else [f"task={task}", "run=run", "trial=0"]
    assert_refused(run, [*begin, *words], told)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([*again(), "seed=1"], "Changed: seed: 0 -> 1."),
        ([*again("data.url"), "data.url='http://bob:CANARY-pw@other:80/p'"],
         "Changed: data.url: 'http://bob:***@host:80/p' -> 'http://bob:***@other:80/p'."),
    ],
)  # fmt: skip
def test_what_is_changed_is_said_in_one_line(run, words, told):
    assert_refused(run, ["resume=run", *words], told)


def assert_refused(run: Path, words: Sequence[str], told: str) -> None:
    """A command is refused in one line without secrets, and changes nothing."""
    before = (run / "run.db").read_bytes()
    done = sweep(*words)
    assert done.code == 2 and told in done.err and len(done.err.splitlines()) == 1, done.err
    assert "CANARY" not in done.err + done.out
    assert (run / "run.db").read_bytes() == before


def test_what_a_secret_was_interpolated_into_is_one(here):
    words = [word for word in BASE if not word.startswith("+data.user")]
    done = sweep(*words, *QUICK, "+data.user='me ${data.token}'", "hydra.run.dir=run")
    assert done.code == 0 and not seen(here), done.err
    assert read(here / "run").config["data"]["user"] == "me ***"
    done = sweep("resume=run", "budget.trials=3", *again())
    assert done.code == 2 and "needs data.user, which is a secret and not saved" in done.err
    done = sweep("resume=run", "budget.trials=3", *again(), "++data.user='me CANARY-4711'")
    assert done.code == 0 and not seen(here), done.err
    assert read(here / "run").config["data"]["user"] == "me ***"
    assert {json.loads(one)[4] for one in given(here)["data"]} == {"me CANARY-4711"}


def test_the_password_of_a_url_may_come_from_the_environment(here):
    url = "http://bob:${oc.env:KEY_OF_TESTS}@host"
    words = [word for word in BASE if not word.startswith("++data.url")]
    done = sweep(*words, *QUICK, f"+data.url='{url}'", "hydra.run.dir=run")
    assert done.code == 0 and not seen(here), done.err
    assert read(here / "run").config["data"]["url"] == url
    assert sweep("resume=run", "budget.trials=3", *again("data.url")).code == 0
    assert {json.loads(one)[3] for one in given(here)["data"]} == {"http://bob:CANARY-env@host"}


def test_a_variable_that_is_gone_is_said_in_one_line(run, monkeypatch):
    monkeypatch.delenv("KEY_OF_TESTS")
    done = sweep("resume=run", *again())
    [line] = done.err.splitlines()
    assert done.code == 2
    assert "'${oc.env:KEY_OF_TESTS}', but KEY_OF_TESTS is not set in the environment" in line


@pytest.mark.parametrize("task", ["show", "report", "compare", "list"])
def test_tasks_that_only_read_need_no_secret(run, task, monkeypatch):
    for name in ENVIRONMENT:
        monkeypatch.delenv(name)
    done = sweep(f"task={task}", "runs=[run]" if task == "compare" else "run=run")
    assert done.code == 0, done.err


@pytest.mark.parametrize("task", ["replay", "retrain"])
def test_tasks_that_run_a_trial_are_given_secrets_again(run, task):
    done = sweep(
        f"task={task}", "run=run", "trial=0", *again(), *(QUICK if task == "retrain" else ())
    )
    assert done.code == 0, done.err
    assert given(run.parent)["data"] == {DATA}
    assert not seen(run.parent)


def test_a_key_that_is_no_secret_is_still_refused_for_a_task(run):
    done = sweep("task=export", "run=run", "trial=0", *again(), "data.validation=0.5")
    assert done.code == 2 and "data.validation is given, but task=export" in done.err


def test_the_record_of_somebody_else_takes_nothing_from_the_environment(
    run, tmp_path_factory, monkeypatch
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("other")))
    done = sweep("resume=run", "trust=[secretive]", "budget.trials=3", *again())
    assert done.code == 2 and "needs evaluator.fn.api_key, data.user, which are secrets" in done.err
    words = ["data.user=${oc.env:HF_TOKEN}", "evaluator.fn.api_key='${oc.env:KEY_OF_TESTS}'"]
    assert sweep("resume=run", "trust=[secretive]", "budget.trials=3", *again(), *words).code == 0


def test_models_in_python_are_given_secrets_that_are_not_saved(here):
    words = ["space._target_=secretive.Gated", "space.hub_token=CANARY-hub", "trust=[secretive]",
             "training=inline", "training.device=cpu", "budget.trials=1", "evaluator.epochs=1",
             "report=null", "export.source=import", "hydra.run.dir=run"]  # fmt: skip
    made = launch.run(words)
    assert made is not None and made.model(made.best).token == "CANARY-hub"
    assert "hub_token='***'" in (here / "run/top/1/model.py").read_text()
    assert "CANARY" not in made.source(made.best).text
    with pytest.raises(ConfigError, match="which is a secret and not saved"):
        Run(here / "run").model(0)
    assert (
        load(here / "run", secrets={"space.hub_token": "CANARY-hub"}).model(0).token == "CANARY-hub"
    )
    assert not seen(here / "run")


# How secrets are spelled


PEM = "-----BEGIN KEY-----\nCANARY-first\n  CANARY-second\n-----END KEY-----\n"


def test_a_secret_of_several_lines_is_shown_nowhere(here, monkeypatch):
    monkeypatch.setenv("KEY_OF_TESTS", PEM)
    words = [word for word in BASE if not word.startswith("+evaluator.fn.mode")]
    done = sweep(*words, "export.top=0", "+evaluator.fn.mode=raise", "hydra.run.dir=run")
    assert done.code == 1 and "ValueError: no access with ***" in done.out + done.err
    shown = sweep("task=show", "run=run", "trial=0")
    assert "CANARY" not in done.out + done.err + shown.out + shown.err and not seen(here)
    assert {json.loads(one)[0] for one in given(here)["evaluator"]} == {PEM}
    failures = [str(trial.failure) for trial in read(here / "run").trials]
    assert failures == ["error: ValueError: no access with ***"] * 2


@pytest.mark.parametrize("value", ["CANARY-a\nCANARY-b", 'CANARY"x', "CANARY [x"])
def test_an_override_that_cannot_be_read_is_refused_without_its_secret(here, value):
    done = sweep(*BASE, f"+data.api_key={value}")
    assert done.code == 2 and "CANARY" not in done.out + done.err
    [line] = done.err.splitlines()
    assert "The override '+data.api_key=***' cannot be read; quote its value" in line


def test_a_secret_that_is_an_ordinary_word_spoils_nothing_else(here):
    words = ["space=mlp", "space.activations=[relu]", "trust=[secretive]", "training=inline",
             "training.device=cpu", "budget.trials=2", "strategy=random", "evaluator.epochs=1",
             "data._target_=secretive.Vaulted", "+data.token=relu", "report=null",
             "+data.url=http://u:1234@h", "export.source=import", "hydra.run.dir=run"]  # fmt: skip
    done = sweep(*words)
    assert done.code == 0 and "not exported" not in done.out + done.err, done.err
    assert "'relu'" in (here / "run/top/1/model.py").read_text()
    assert read(here / "run").config["space"]["activations"] == ["relu"]


def interpolated(*words: str) -> list[str]:
    """The overrides of a run whose user has the token in it, with some more."""
    return [*(one for one in BASE if not one.startswith("+data.user")), *QUICK,
            "+data.user='me ${data.token}'", "hydra.run.dir=run", *words]  # fmt: skip


@pytest.mark.parametrize("plus", ["", "++"])
@pytest.mark.parametrize("user", ["'me CANARY-4711'", "'me ${data.token}'"])
def test_what_a_secret_was_interpolated_into_is_given_again_without_a_plus(here, plus, user):
    assert sweep(*interpolated()).code == 0
    done = sweep("resume=run", "budget.trials=3", *again(), f"{plus}data.user={user}")
    assert done.code == 0 and not seen(here), done.err
    wrong = sweep("resume=run", "budget.trials=4", *again(), f"data.usr={user}")
    assert wrong.code == 2 and "CANARY" not in wrong.err
    task = ["task=retrain", "run=run", "trial=0", "hydra.run.dir=other", *QUICK]
    done = sweep(*task, *again(), f"{plus}data.user={user}")
    assert done.code == 0 and not seen(here), done.err
    assert read(here / "other").config["data"]["user"] == "me ***"
    assert {json.loads(one)[4] for one in given(here)["data"]} == {"me CANARY-4711"}


def test_a_variable_of_a_secret_is_recorded_as_written_wherever_it_is(here):
    words = [word for word in BASE if not word.startswith(("+data.user", "++data.url"))]
    done = sweep(*words, *QUICK, "+data.user='${oc.env:KEY_OF_TESTS}'",
                 "+data.url='in a ${oc.env:KEY_OF_TESTS}'", "hydra.run.dir=run")  # fmt: skip
    assert done.code == 0 and not seen(here), done.err
    data = read(here / "run").config["data"]
    assert (data["user"], data["url"]) == ("${oc.env:KEY_OF_TESTS}", "in a ***")
    done = sweep("resume=run", "budget.trials=3", *again("data.url"), "data.url='in a CANARY-env'")
    assert done.code == 0 and not seen(here), done.err
    assert {json.loads(one)[3:5] == ["in a CANARY-env", "CANARY-env"]
            for one in given(here)["data"]} == {True}  # fmt: skip


def test_a_short_secret_is_known_where_it_was_interpolated(here):
    done = sweep(*interpolated("data.token=S1k"))
    assert done.code == 0, done.err
    assert read(here / "run").config["data"]["user"] == "me ***"
    assert not [f for f in (here / "run").rglob("*") if f.is_file() and b"S1k" in f.read_bytes()]


def test_a_broken_mapping_is_refused_without_its_secret(here):
    done = sweep(*BASE, "+data={api_key: CANARY-x")
    assert done.code == 2 and "CANARY" not in done.out + done.err
    assert "The override '+data=***' cannot be read" in done.err


# Samples, and sweeps


def test_secrets_are_not_searched(here):
    done = sweep(*BASE, "search={data.token: [CANARY-a, CANARY-b]}")
    assert done.code == 2 and "search names 'data.token', which is a secret by its name" in done.err
    assert "CANARY" not in done.err


@pytest.mark.parametrize(
    "candidates", ["[{token: CANARY-a}, {token: b}]", "[[x, {a_key: CANARY}], [y]]"]
)
def test_secrets_within_candidates_are_not_searched(candidates, here):
    done = sweep(*BASE, f"search={{data.user: {candidates}}}")
    assert done.code == 2 and "which is a secret by its name" in done.err
    assert "search names 'data.user" in done.err and "CANARY" not in done.out + done.err


def test_numbers_of_a_secret_name_are_searched(here):
    done = sweep(
        *BASE, *QUICK, "+data.key_dim=1", "search={data.key_dim: [1, 2]}", "hydra.run.dir=run"
    )
    assert done.code == 0, done.err
    assert {trial.sample["data.key_dim"] for trial in read(here / "run").trials} <= {1, 2}


SWEEP = ["-m", *BASE, *QUICK, "evaluator.fn.mode=raise", "training.max_failures=0",
         "hydra.sweep.dir=all", "seed=0,1"]  # fmt: skip


def test_a_sweep_shows_and_writes_no_secret_and_goes_on_when_they_are_given_again(here):
    done = sweep(*SWEEP)
    assert done.code == 1 and "no access with ***" in done.err
    assert "CANARY" not in done.err + done.out and not seen(here)
    assert [one["state"] for one in members(here / "all")] == ["failed", "failed"]
    (here / "all/.sweep/1.json").unlink()
    shutil.rmtree(here / "all/1")
    lost = sweep("-m", "sweep.resume=all")
    assert lost.code == 2 and "needs data.token, data.options, data.tokens, data.url" in lost.err
    other = sweep("-m", "sweep.resume=all", *again("data.url"), "data.url='http://a:CANARY-x@b'")
    assert other.code == 2 and "contradicts the sweep" in other.err and "CANARY" not in other.err
    (here / "told").unlink()
    assert sweep("-m", "sweep.resume=all", *again()).code == 1
    assert given(here)["data"] == {DATA} and not seen(here)


def test_a_sweep_goes_on_when_what_a_secret_is_part_of_is_given_again(here):
    user = "++data.user='me CANARY-4711'"
    done = sweep(*SWEEP, user)
    assert done.code == 1 and not seen(here), done.err
    (here / "all/.sweep/1.json").unlink()
    shutil.rmtree(here / "all/1")
    lost = sweep("-m", "sweep.resume=all", *again())
    assert lost.code == 2 and "needs data.user, which is a secret" in lost.err
    (here / "told").unlink()
    assert sweep("-m", "sweep.resume=all", *again(), user).code == 1 and not seen(here)
    assert {json.loads(one)[4] for one in given(here)["data"]} == {"me CANARY-4711"}


def test_secrets_are_swept_as_variables_of_the_environment_only(here):
    done = sweep(*SWEEP, "data.token=CANARY-a,CANARY-b")
    assert done.code == 2 and "data.token is a secret by its name, and a sweep would" in done.err
    assert "CANARY" not in done.err
    words = [word for word in SWEEP if not word.startswith(("seed", "evaluator.fn.mode"))]
    done = sweep(*words, "data.token='${oc.env:HF_TOKEN}','${oc.env:KEY_OF_TESTS}'")
    assert done.code == 0, done.err
    tokens = [json.loads(one)[0] for one in given(here)["data"]]
    assert {*tokens} == {*ENVIRONMENT.values()} and not seen(here)


@pytest.mark.parametrize("values", [
    "{token: CANARY-a},{token: CANARY-b}", "[{token: CANARY-a}],[{token: b}]",
    "choice({b: {db_password: CANARY-a}}, {b: 1})",
])  # fmt: skip
def test_mappings_with_secrets_are_not_swept(values, here):
    words = [word for word in SWEEP if not word.startswith("seed")]
    for sweeper in ((), ("hydra/sweeper=runner_optuna",)):
        done = sweep(*words, *sweeper, f"+data.more={values}")
        assert done.code == 2 and "is a secret by its name, and a sweep would" in done.err
        assert "CANARY" not in done.out + done.err and not seen(here)


def test_an_optuna_sweep_writes_no_secret(here):
    words = [word for word in SWEEP if not word.startswith("seed")]
    done = sweep(
        *words, "hydra/sweeper=runner_optuna", "hydra.sweeper.n_trials=1", "seed=choice(0,1)"
    )
    assert "CANARY" not in done.out + done.err and not seen(here)
    assert given(here)["data"] == {DATA}


def processes(here: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Runs the program in a process of its own."""
    path = os.pathsep.join(map(str, [ROOT, ROOT / "tests" / "toys"]))
    return subprocess.run(
        [sys.executable, "-m", "runner", *words], cwd=here, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


def launcher(name: str, package: str) -> object:
    return pytest.param(name, package, marks=pytest.mark.exhaustive, id=name)


@pytest.mark.parametrize(
    ("name", "package"),
    [
        launcher("joblib", "hydra_plugins.hydra_joblib_launcher"),
        launcher("submitit_local", "hydra_plugins.hydra_submitit_launcher"),
    ],
)
def test_launchers_hand_secrets_to_their_processes_and_leave_none_behind(here, name, package):
    pytest.importorskip(package)
    words = [word for word in SWEEP if not word.startswith("evaluator.fn.mode")]
    done = processes(here, *words, f"hydra/launcher={name}")
    assert done.returncode == 0, done.stderr
    assert given(here)["data"] == {DATA}
    assert "CANARY" not in done.stdout + done.stderr and not seen(here)
    for folder in (here / "all").glob(".submitit"):
        assert folder.stat().st_mode & 0o077 == 0


SERVICES: dict[str, Sequence[str]] = {
    "local": ["training=local", "training.workers=1"],
    "slurm": ["training=slurm", "training.cluster=local", "training.workers=1"],
}


@pytest.mark.parametrize("service", ["local", pytest.param("slurm", marks=pytest.mark.exhaustive)])
def test_workers_are_given_secrets_and_their_failures_tell_none(here, service):
    if service == "slurm":
        pytest.importorskip("submitit")
    words = [*BASE, *QUICK, *SERVICES[service], "evaluator.fn.mode=raise", "hydra.run.dir=run"]
    done = sweep(*words)
    assert "CANARY" not in done.out + done.err and not seen(here)
    text = (here / "run/trials/0000/error.txt").read_text()
    assert text.endswith("ValueError: no access with ***\n")
    failures = [trial.failure for trial in read(here / "run").trials]
    assert [str(one) for one in failures] == ["error: ValueError: no access with ***"] * 2
    assert given(here)["data"] == {DATA}
    assert given(here)["processes"] == {"[]"}  # no command of ours has it among its arguments
