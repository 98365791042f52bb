"""Trials that go on from a checkpoint equal those that are trained through, on every engine and
service, in groups, and after a kill; without a checkpoint, they are trained through."""

import signal
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from searches import ARITHMETIC, NOTHING
from services import make_service

from runner import parts
from runner.checkpoints import Checkpoints, TrainingState
from runner.config.compose import compose_config, freed
from runner.config.settings import settings_from
from runner.engines.py import PyEngine
from runner.errors import Interrupted
from runner.evaluators.classification import Classification
from runner.evaluators.function import Function
from runner.evaluators.race import Prospects
from runner.fidelity import Fidelity
from runner.partial_training import alike, goes_on
from runner.trial import CHECKPOINT, WEIGHTS, Setup, Trial, trial_folder

RUNGS = (1, 2, 4)
SAMPLE = {
    "dropout": 0.3, "depth": "2", "layer0/width": 32, "norm": "batch", "activation": "gelu",
    "layer1/width": 64,
}  # fmt: skip
GIVEN = [
    "space=mlp", "strategy=asha", "fidelity={key: evaluator.epochs, min: 1, max: 4, eta: 2}",
    "evaluator.batch_size=128", "evaluator.augment.crop=1", "evaluator.schedule.warmup=0.4",
]  # fmt: skip
MOMENTUM = ["evaluator.optimizer._target_=torch.optim.SGD", "+evaluator.optimizer.momentum=0.9",
            "evaluator.clip_norm=1.0"]  # fmt: skip
MOST = [
    ("inline", "py", []), ("inline", "py", MOMENTUM), ("inline", "base", MOMENTUM),
    ("inline", "cgo", []), ("local", "py", []), ("local", "cgo", MOMENTUM),
]  # fmt: skip


def sample(epochs, **changed):
    return {**SAMPLE, **changed, "evaluator.epochs": epochs}


class Running:
    """An engine and a service in a folder, on which jobs are run."""

    def __init__(self, folder, service, engine, *overrides):
        given = [*GIVEN, f"training={service}", f"engine={engine}", *overrides]
        if service == "local":
            given.append("training.workers=1")
        settings = settings_from(compose_config(given), freed(given))
        parts.check(settings)
        self.engine, self.folder = parts.make_engine(settings), folder
        self.service = parts.make_service(settings, folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.service.close()

    def run(self, *trials):
        """Runs trials as one job; gives the metrics of each, by number and epoch."""
        jobs = [*self.engine.plan(trials)]
        heard, ends = {t.number: [] for t in trials}, {}
        for job in jobs:
            self.service.submit(job)
        while len(ends) < len(trials):
            for report in self._reports():
                if report.kind == "metrics":
                    heard[report.trial].append(dict(report.metrics))
                elif report.kind == "started":
                    heard[report.trial].clear()
                elif report.kind in ("finished", "failed"):
                    ends[report.trial] = report.kind
                    assert report.failure is None, report.failure
        return heard

    def _reports(self):
        reports = []
        self.service.poll(reports.append, 1.0)
        return reports

    def chain(self, first=0, seed=7, **changed):
        """Trains a sample rung by rung, as trials of consecutive numbers; gives all metrics."""
        found, parent = [], None
        for number, epochs in enumerate(RUNGS, start=first):
            trial = Trial(number, sample(epochs, **changed), seed, parent=parent)
            found += self.run(trial)[number]
            parent = number
        return found


def weights(folder, number):
    return load_file(trial_folder(folder, number) / WEIGHTS)


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize(("service", "engine", "overrides"), MOST)
def test_a_promoted_trial_equals_one_trained_through(service, engine, overrides, tmp_path):
    with Running(tmp_path, service, engine, *overrides) as running:
        promoted = running.chain()
        through = running.run(Trial(9, sample(4), 7))[9]
    assert len(promoted) == len(through) == 4 and promoted == through
    assert_same(weights(tmp_path, 2), weights(tmp_path, 9))
    assert not (trial_folder(tmp_path, 0) / WEIGHTS).exists(), "a lower rung is not exported"
    assert not (trial_folder(tmp_path, 9) / CHECKPOINT).exists(), "nobody goes on from the top"


@pytest.mark.parametrize("harm", ["missing", "damaged", "other"])
def test_without_its_checkpoint_a_trial_is_trained_through(harm, tmp_path):
    with Running(tmp_path, "inline", "py") as running:
        through = running.run(Trial(9, sample(4), 7))[9]
        running.run(Trial(0, sample(2), 7))
        path = trial_folder(tmp_path, 0) / CHECKPOINT
        if harm == "missing":
            path.unlink()
        elif harm == "damaged":
            path.write_bytes(path.read_bytes()[:-1] + b"?")
        else:
            running.run(Trial(0, sample(2), 8))
        again = running.run(Trial(1, sample(4), 7, parent=0))[1]
    assert len(again) == 4 and again == through
    assert_same(weights(tmp_path, 1), weights(tmp_path, 9))


def test_members_of_a_group_go_on_from_where_each_was(tmp_path):
    """Of a job of five, two go on from epoch 1, one from 2, and two begin; one of these has lost
    its checkpoint."""
    kinds = [{"activation": name} for name in ("relu", "silu", "gelu", "tanh", "relu")]
    kinds[4]["norm"] = "layer"
    with Running(tmp_path / "alone", "inline", "cgo") as running:
        alone = [running.run(Trial(i, sample(4, **kind), i))[i] for i, kind in enumerate(kinds)]
    with Running(tmp_path / "group", "inline", "cgo", "engine.group=8") as running:
        lower = [running.run(Trial(i, sample(epochs, **kinds[i]), i))[i]
                 for i, epochs in enumerate((1, 1, 2, 1))]  # fmt: skip
        (trial_folder(tmp_path / "group", 3) / CHECKPOINT).unlink()
        trials = [Trial(10 + i, sample(4, **kind), i, parent=i if i < 4 else None)
                  for i, kind in enumerate(kinds)]  # fmt: skip
        [job] = running.engine.plan(trials)
        assert len(job.trials) == 5
        found = running.run(*trials)
    assert [len(found[10 + i]) for i in range(5)] == [3, 3, 2, 4, 4]
    for i, whole in enumerate(alone):
        gone = [*(lower[i] if len(found[10 + i]) < 4 else ()), *found[10 + i]]
        for ours, theirs in zip(gone, whole, strict=True):
            assert ours == pytest.approx(theirs, rel=1e-3, abs=5e-3)


def test_an_evaluator_that_cannot_be_divided_trains_with_the_value_of_the_rung(tmp_path):
    fidelity = {"key": "evaluator.epochs", "min": 1, "max": 4, "eta": 2}
    setup = Setup("runner.engines.py.PyEngine", ARITHMETIC, NOTHING, ("evaluator.epochs",),
                  ("toy",), tmp_path, fidelity=fidelity)  # fmt: skip
    service = make_service("inline", setup, {})
    engine = PyEngine(space={"_target_": "toy.Net"}, trust=["toy"])
    one = engine.space.default()
    for number, epochs in enumerate(RUNGS):
        trial = Trial(number, {**one, "evaluator.epochs": epochs}, 0, parent=number - 1 or None)
        [job] = engine.plan([trial])
        reports = []
        service.submit(job)
        service.poll(reports.append, 1.0)
        assert sum(report.kind == "metrics" for report in reports) == epochs
        assert not (trial_folder(tmp_path, number) / CHECKPOINT).exists()
    service.close()


def test_trials_of_one_epoch_are_trained_side_by_side():
    one, two = TrainingState(1, {}, {}), TrainingState(2, {}, {})
    assert alike([None, one, two, None, one]) == [[0, 3], [1, 4], [2]]


def test_only_epochs_of_an_evaluator_can_be_divided():
    epochs = Fidelity("evaluator.epochs", 1, 4, 2)
    assert goes_on(epochs, Classification) and not goes_on(epochs, Function)
    assert not goes_on(replace(epochs, key="evaluator.batch_size"), Classification)


def cut_after(running, reports, *trials):
    """Runs trials as one job on an inline worker, up to the session's end behind so many reports of
    metrics. The job's trials have not ended then."""
    [job] = running.engine.plan(trials)
    heard = []

    def send(report):
        heard.append(report)
        if sum(one.kind == "metrics" for one in heard) == reports:
            raise Interrupted(signal.SIGTERM)

    with pytest.raises(Interrupted):
        running.service._worker.run(job, send, ())
    assert all(report.kind not in ("finished", "failed") for report in heard)


def epochs_trained(running, *trials):
    """Runs trials as one job; gives their metrics, and the epochs that were trained for it."""
    epochs = []
    evaluate = Classification._epoch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Classification, "_epoch",
                      lambda *given: epochs.append(given[3]) or evaluate(*given))  # fmt: skip
        return running.run(*trials), epochs


@pytest.mark.parametrize("optimizer", [[], MOMENTUM])
def test_a_training_that_was_cut_goes_on_from_its_checkpoint(optimizer, tmp_path):
    """With the weights and reports of one that was not cut, or had no checkpoints."""
    given = ["space=mlp", "strategy=random", "evaluator.epochs=5", "fidelity=null",
             "evaluator.augment.crop=1", *optimizer]  # fmt: skip
    trial = Trial(0, SAMPLE, 7)
    with Running(tmp_path / "plain", "inline", "py", *given) as plain:
        [expected] = plain.run(trial).values()
    with Running(
        tmp_path / "cut", "inline", "py", *given, "evaluator.checkpoint={every: 2}"
    ) as cut:
        cut_after(cut, 4, trial)  # the fourth epoch is not in the checkpoint of the second
        assert (trial_folder(cut.folder, 0) / CHECKPOINT).is_file()
        found, epochs = epochs_trained(cut, trial)
    [found] = found.values()
    assert found == expected and epochs == [2, 3, 4]
    one, two = (load_file(trial_folder(tmp_path / name, 0) / WEIGHTS) for name in ("plain", "cut"))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_training_that_goes_on_started_as_long_ago_as_it_has_run_in_all(tmp_path):
    given = ["space=mlp", "strategy=random", "evaluator.epochs=4", "fidelity=null",
             "evaluator.checkpoint={every: 1}"]  # fmt: skip
    trial = Trial(0, SAMPLE, 7)
    with Running(tmp_path / "cut", "inline", "py", *given) as running:
        cut_after(running, 2, trial)
        checkpoints = Checkpoints(running.folder)
        state = checkpoints.load(0, 7, SAMPLE)
        assert 0 < state.seconds < 1000
        checkpoints.save(0, 7, SAMPLE, replace(state, seconds=5000.0))
        cut_after(running, 3, trial)
        assert 5000 < checkpoints.load(0, 7, SAMPLE).seconds < 6000
        reports = []
        [job] = running.engine.plan([trial])
        running.service._worker.run(job, reports.append, ())
    begun = [report.ago for report in reports if report.kind == "started"]
    assert begun[0] == 0 and 5000 < begun[1] < 6000 and len(begun) == 2
    assert [report.kind for report in reports][:3] == ["started", "started", "metrics"]
    assert all(report.ago == 0 for report in reports if report.kind != "started")


def test_a_promoted_trial_that_was_cut_goes_on_from_its_own_checkpoint(tmp_path):
    """Not from that of its parent, which is older; with the result of a trial that was not."""
    given = ["evaluator.checkpoint={every: 1}"]
    with Running(tmp_path / "plain", "inline", "py") as plain:
        whole = plain.run(Trial(9, sample(4), 7))[9]
    with Running(tmp_path / "cut", "inline", "py", *given) as cut:
        lower = cut.run(Trial(0, sample(2), 7))[0]
        promoted = Trial(1, sample(4), 7, parent=0)
        cut_after(cut, 2, promoted)
        found, epochs = epochs_trained(cut, promoted)
    assert epochs == [3] and [*lower, *found[1]] == whole
    assert_same(weights(tmp_path / "plain", 9), weights(tmp_path / "cut", 1))


KINDS = [{"activation": name} for name in ("relu", "silu", "gelu")]


def assert_near(ours, theirs):
    """Losses are near, and so few of the 144 examples are taken for another class."""
    assert ours.keys() == theirs.keys() and ours["params"] == theirs["params"]
    for name in ("train/loss", "val/loss"):
        assert ours[name] == pytest.approx(theirs[name], rel=1e-3)
    assert abs(ours["val/accuracy"] - theirs["val/accuracy"]) < 2.5 / 144


@pytest.mark.parametrize("optimizer", [[], MOMENTUM])
@pytest.mark.parametrize("fused", [True, False])
def test_a_group_that_was_cut_goes_on_where_all_its_trials_were(
    fused, optimizer, tmp_path, monkeypatch
):
    """With results equal to the last bit if its models are not fused. To fuse them rounds
    otherwise, and a group that goes on is fused at another step."""
    refusal = "" if fused else "not here"
    monkeypatch.setattr(Prospects, "refusal", lambda *given: refusal)
    given = ["engine.group=8", "fidelity=null", "strategy=random", "evaluator.epochs=6", *optimizer]
    trials = [Trial(i, {**SAMPLE, **kind}, i) for i, kind in enumerate(KINDS)]
    with Running(tmp_path / "plain", "inline", "cgo", *given) as plain:
        whole = plain.run(*trials)
    with Running(
        tmp_path / "cut", "inline", "cgo", *given, "evaluator.checkpoint={every: 2}"
    ) as cut:
        cut_after(cut, 5 * len(trials), *trials)
        found, epochs = epochs_trained(cut, *trials)
    assert epochs == [4, 5]
    for number, expected in whole.items():
        assert len(found[number]) == len(expected) == 6
        if not fused:
            assert found[number] == expected
        for ours, theirs in zip(found[number], expected, strict=True):
            assert_near(ours, theirs)
