"""Launching from Python: which folder a run has, and what is no folder."""

import pytest

import runner
from runner.errors import ConfigError

TOY = ["trust=[toy]", "space._target_=toy.Net", "evaluator._target_=toy.Arithmetic",
       "evaluator.epochs=1", "evaluator.lr=0.5", "+evaluator.sleep=0", "strategy=random",
       "data._target_=toy.Nothing", "data.shape=[1]", "data.classes=2", "training=inline",
       "training.device=cpu", "budget.trials=1", "export.top=0"]  # fmt: skip


def test_the_folder_of_a_run_is_the_argument_else_the_override_else_a_new_one(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert runner.run([*TOY, "hydra.run.dir=a"], "b").folder == tmp_path / "b"
    assert runner.run([*TOY, "hydra.run.dir=a"]).folder == tmp_path / "a"
    assert runner.run([*TOY, "seed=3", "hydra.run.dir=of-${seed}"]).folder == tmp_path / "of-3"
    nasty = "é a=;#{[(,')]}"
    assert runner.run([*TOY, f'hydra.run.dir="{nasty}"']).folder == tmp_path / nasty
    assert runner.run(TOY).folder.is_relative_to(tmp_path / "outputs")
    again = runner.run(["resume=a", "hydra.run.dir=c", "budget.trials=2"])
    assert again.folder == tmp_path / "a" and len(again.trials) == 2
    assert not (tmp_path / "c").exists()


def test_a_task_without_a_run_returns_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert runner.run(["task=describe", *TOY]) is None
    assert "Net" in capsys.readouterr().out and not [*tmp_path.iterdir()]


@pytest.mark.parametrize("key", ["hydra.run.dir", "hydra.sweep.dir", "resume"])
@pytest.mark.parametrize("value", ["5", "1.5", "true", "[a]", "{a: b}", "''", '""', ""])
def test_what_is_no_folder_is_named_by_its_key(key, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=rf"^{key} is .*; it must be .*folder") as caught:
        runner.run([*TOY, f"{key}={value}"])
    assert "\n" not in str(caught.value) and not [*tmp_path.iterdir()]


@pytest.mark.parametrize("value", ["null", "a,b", "'a\\${b}'"])
def test_a_folder_of_hydra_must_be_one_that_it_can_make(value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=r"^hydra\.run\.dir is "):
        runner.run([*TOY, f"hydra.run.dir={value}"])
    assert not [*tmp_path.iterdir()]


def test_trust_may_change_when_a_run_goes_on_and_the_config_may_not(tmp_path):
    run = runner.run(TOY, tmp_path / "run")
    with pytest.raises(ConfigError, match=r"trust may change. Changed: seed: 0 -> 1"):
        runner.run([f"resume={run.folder}", "seed=1", "trust=[toy]"])
    more = runner.run([f"resume={run.folder}", "trust=[toy,mutable]", "budget.trials=2"])
    assert more.settings.trust == ["toy", "mutable"]
    with pytest.raises(ConfigError, match="toy"):
        runner.run([f"resume={run.folder}", "trust=[]"])


def test_values_that_look_like_interpolations_stay_what_they_were(tmp_path):
    metric = r"objective.metric='val/\${accuracy}'"
    with pytest.raises(runner.errors.RunFailed, match="result"):
        runner.run([*TOY, metric, "budget.trials=5"], tmp_path / "run")
    run = runner.load(tmp_path / "run")
    assert run.objective.metric == "val/${accuracy}"
    assert run.job(run.trials[0])
    with pytest.raises(ConfigError, match=r"seed: 0 -> 1\.$"):
        runner.run([f"resume={run.folder}", "seed=1"])


def test_data_without_a_test_split_is_said_once_and_spoils_no_trial(tmp_path, capsys, caplog):
    run = runner.run(["trust=[pairs]", "space=mlp", "data=dataset", "data.shape=[1,8,8]",
                      "data.train._target_=pairs.Pairs",
                      "data.train.size=60", "data.classes=10",
                      "strategy=random", "evaluator.epochs=1", "training=inline",
                      "training.device=cpu", "budget.trials=3"], tmp_path / "run")  # fmt: skip
    assert capsys.readouterr().out.count("no test split") == 1
    assert not [r for r in caplog.records if "could not be scored" in r.message]
    assert not [*run.folder.rglob("error.txt")]
    assert sorted(p.name for p in (run.folder / "top").iterdir()) == ["1", "2", "3"]
