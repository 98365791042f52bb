"""An export is what was trained, or is not made: nothing damaged replaces what was good."""

import errno
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import runner
from runner.errors import RunFailed, RunnerError
from runner.export import export
from runner.ranking import top
from runner.results import Run
from runner.trial import MODEL, WEIGHTS
from runner.weights import check_weights

MLP = ["space=mlp", "strategy=random", "evaluator.epochs=1", "budget.trials=4", "export.top=2",
       "export.keep_weights=3", "training=inline", "training.device=cpu"]  # fmt: skip


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return runner.run(MLP, folder=tmp_path_factory.mktemp("real") / "run")


@pytest.fixture
def run(found, tmp_path):
    """A copy of the run, to be damaged."""
    shutil.copytree(found.folder, tmp_path / "run")
    return Run(tmp_path / "run")


def again(run, told):
    """Export as a resumed run does."""
    return export(run, top(run.trials, 99), lambda trial: {"test/accuracy": 0.5}, told.append)


def truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def flipped(path, place=-5):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def flipped_in_the_header(path):
    """One letter of a type: the numbers would be read as others."""
    content = path.read_bytes()
    assert b'"F32"' in content
    path.write_bytes(content.replace(b'"F32"', b'"I32"', 1))


def empty(path):
    path.write_bytes(b"")


def other_names(path):
    save_file({f"x{name}": value for name, value in load_file(path).items()}, path)


def other_shapes(path):
    save_file({name: torch.zeros(3) for name in load_file(path)}, path)


def nan(path):
    ruined = {name: value * float("nan") if value.is_floating_point() else value
              for name, value in load_file(path).items()}  # fmt: skip
    save_file(ruined, path)


DAMAGES = {
    truncated: "is damaged", flipped: "is damaged", flipped_in_the_header: "is damaged",
    empty: "is empty", Path.unlink: "does not exist", other_names: "does not fit the model",
    other_shapes: "does not fit the model", nan: "contain NaN",
}  # fmt: skip


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_model_is_told_and_the_next_one_takes_its_place(run, damage):
    best, second, third = run.top(3)
    before = (run.folder / "top" / "1" / WEIGHTS).read_bytes()
    damage(run.weights(best))
    told: list[str] = []
    tested = again(run, told)
    assert [*tested] == [second.number, third.number] and names(run.folder / "top") == ["1", "2"]
    assert told[0].startswith(f"Trial {best.number} is not exported:") and "\n" not in told[0]
    assert DAMAGES[damage] in told[0]
    sample = json.loads((run.folder / "top" / "1" / "sample.json").read_text())
    assert sample == second.sample
    assert (run.folder / "top.old" / "1" / WEIGHTS).read_bytes() == before, "the good one is kept"
    assert "top.old" in told[-1] and not (run.folder / "top.new").exists()


@pytest.mark.parametrize("damage", DAMAGES)
def test_without_any_good_model_the_export_fails_and_the_earlier_one_stays(run, damage):
    for trial in run.top(3):
        damage(run.weights(trial))
    before = {p: p.read_bytes() for p in (run.folder / "top").rglob("*") if p.is_file()}
    told: list[str] = []
    with pytest.raises(RunFailed, match=r"No model was exported: 3 of the best trials"):
        again(run, told)
    assert len(told) == 3
    assert before == {p: p.read_bytes() for p in (run.folder / "top").rglob("*") if p.is_file()}
    assert not (run.folder / "top.new").exists() and not (run.folder / "top.old").exists()


def test_every_flipped_byte_is_found(run):
    path = run.weights(run.best)
    good = path.read_bytes()
    for place in [*range(0, 400, 7), *range(400, len(good), len(good) // 50)]:
        flipped(path, place)
        told: list[str] = []
        try:
            check_weights(path)
            run.model(run.best)
        except RunnerError as error:
            told.append(str(error))
        header = good[8 : 8 + int.from_bytes(good[:8], "little")]
        harmless = good[place : place + 1] in b" " or 8 <= place - header.find(b"runner/") < 23
        assert told or harmless, place
        path.write_bytes(good)


@pytest.mark.parametrize("damage", [truncated, flipped, empty, Path.unlink, other_names])
def test_a_model_with_damaged_weights_is_not_given(run, damage):
    damage(run.weights(run.best))
    if damage is Path.unlink:
        expected = f"weights of trial {run.best.number} were not kept"
    else:
        expected = f"weights of trial {run.best.number} cannot be used: .*{WEIGHTS} "
    with pytest.raises(RunnerError, match=expected):
        run.model(run.best)
    with pytest.raises(RunnerError, match=expected):
        run.export_top_models(1, "instance")


def test_what_is_written_wrongly_is_not_exported(run, monkeypatch):
    """As if the disk, or the generator of source, had spoilt the file after it was written."""
    write = runner.export.write_model

    def spoil(run, trial, metrics, folder, **given):
        write(run, trial, metrics, folder, **given)
        if trial == run.best:
            path = folder / MODEL
            path.write_text(path.read_text().replace("model = build()", "model = build().oops"))

    monkeypatch.setattr("runner.export.write_model", spoil)
    told: list[str] = []
    assert run.best.number not in again(run, told)
    assert "the exported model does not load: AttributeError" in told[0]


def test_a_full_disk_leaves_the_earlier_export_as_it_was(run, monkeypatch):
    before = {p: p.read_bytes() for p in (run.folder / "top").rglob("*") if p.is_file()}
    write = runner.export.write_model

    def full(run, trial, metrics, folder, **given):
        write(run, trial, metrics, folder, **given)
        if folder.name == "2":
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("runner.export.write_model", full)
    with pytest.raises(RunFailed, match=r"could not be written: .*No space left.*resume="):
        again(run, [])
    assert before == {p: p.read_bytes() for p in (run.folder / "top").rglob("*") if p.is_file()}
    assert not (run.folder / "top.new").exists()


def test_a_kill_between_two_renames_loses_nothing(run):
    (run.folder / "top").rename(run.folder / "top.old")
    for trial in run.top(3):
        truncated(run.weights(trial))
    with pytest.raises(RunFailed):
        again(run, [])
    assert names(run.folder / "top") == ["1", "2"]


def test_an_intact_run_is_exported_without_a_word(run):
    told: list[str] = []
    assert [*again(run, told)] == [trial.number for trial in run.top(2)]
    assert not told and not (run.folder / "top.old").exists()


def test_the_metrics_of_a_confirmed_model_are_those_of_its_weights_and_of_its_new_trainings(
    tmp_path,
):
    run = runner.run(
        [*MLP, "budget.trials=2", "export.top=1", "repeat=2", "confirm={top: 1, seeds: 3}"],
        folder=tmp_path / "run",
    )
    best = run.best
    assert best.confirmed and best.trainings == 3
    metrics = json.loads((run.folder / "top" / "1" / "metrics.json").read_text())
    own = run.trials[best.number].metrics
    assert {name: metrics[name] for name in own} == own
    assert metrics["confirmed/seeds"] == 3
    assert metrics["confirmed/val/loss"] == pytest.approx(best.metrics["val/loss"])
    assert metrics["confirmed/val/loss/std"] == pytest.approx(best.deviations["val/loss"])
    assert "confirmed/params" not in metrics and "test/accuracy" in metrics
    new = [t.metrics["val/loss"] for t in run.trials if t.stage == "confirm"]
    assert run.best.metrics["val/loss"] == pytest.approx(sum(new[:3]) / 3)


ROOTED = ["space._target_=rooted.Rooted", "~space.depths", "~space.widths", "~space.activations",
          "~space.norms", "~space.dropouts", "trust=[rooted]", "budget.trials=1", "export.top=1",
          *[each for each in MLP if not each.startswith(("budget", "export"))]]  # fmt: skip


@pytest.mark.parametrize("engine", ["py", "base"])
def test_what_cannot_travel_is_told_before_the_search_and_exported_with_imports(
    engine, tmp_path, caplog, capsys
):
    run = runner.run([*ROOTED, f"engine={engine}"], folder=tmp_path / "run")
    [said] = [r.message for r in caplog.records if "will import your code" in r.message]
    assert "rooted:Tail" in said and "__file__ of rooted.py" in said and "\n" not in said
    assert "export.source=import" in said
    [line] = [line for line in capsys.readouterr().out.splitlines() if "imports your code" in line]
    assert line.startswith("top/1 imports") and "__file__ of rooted.py" in line
    text = (run.folder / "top" / "1" / MODEL).read_text()
    assert "rooted import" in text and run.source(run.best).text in text
    with pytest.raises(RunnerError, match=r"__file__ of rooted\.py"):
        run.source(run.best, standalone=True)


def test_the_short_form_is_written_if_it_is_asked_for(tmp_path, caplog):
    given = [*MLP, "export.source=import", "export.top=1", "budget.trials=1"]
    run = runner.run(given, folder=tmp_path / "run")
    text = (run.folder / "top" / "1" / MODEL).read_text()
    assert "from spaces.mlp import MLP" in text
    assert not [r for r in caplog.records if "import your code" in r.message]


def samples(given):
    return [one["sample"] for one in given if isinstance(one, dict)]


class Unlucky(OSError, ArithmeticError):
    """An error of a user's code that looks like one of the disk."""


@pytest.mark.parametrize("raised", [KeyError("width"), Unlucky("2"), TypeError("two\nlines")])
@pytest.mark.parametrize("method", ["build", "source"])
def test_user_code_that_fails_costs_the_export_of_that_trial_only(run, monkeypatch, method, raised):
    best, second, third = run.top(3)
    engine = type(run._engine)
    real = getattr(engine, method)

    def failing(*given, **named):
        if best.sample in [getattr(one, "sample", one) for one in (*given, *samples(given))]:
            raise raised
        return real(*given, **named)

    patched = staticmethod(failing) if method == "build" else failing
    monkeypatch.setattr(engine, method, patched)
    told: list[str] = []
    assert [*again(run, told)] == [second.number, third.number]
    said = f"Trial {best.number} is not exported: "
    assert told[0].startswith(said) and "\n" not in told[0]
    assert type(raised).__name__ in told[0]
