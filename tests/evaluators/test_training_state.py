"""Training states: a training that is interrupted, saved and gone on with equals a whole one."""

from functools import partial

import pytest
import torch
from torch import nn

from runner.checkpoints import Checkpoints
from runner.data.augment import Augment
from runner.evaluators.evaluator import Span, TrainingRun
from runner.evaluators.schedule import Cosine
from runner.evaluators.training_state import fits
from runner.fidelity import Fidelity

CPU = torch.device("cpu")
OPTIMIZERS = {
    "SGD": partial(torch.optim.SGD),
    "momentum": partial(torch.optim.SGD, momentum=0.9, nesterov=True, weight_decay=0.01),
    "AdamW": partial(torch.optim.AdamW, weight_decay=0.01),
    "AMSGrad": partial(torch.optim.Adam, amsgrad=True),
    "foreach": partial(torch.optim.Adam, foreach=True),
    **{name: partial(getattr(torch.optim, name))
       for name in ("NAdam", "RAdam", "Adamax", "Adagrad", "Adadelta", "RMSprop", "Rprop", "ASGD")},
}  # fmt: skip
TRAININGS = {
    **{name: {"optimizer": optimizer} for name, optimizer in OPTIMIZERS.items()},
    "clipped": {"clip_norm": 0.1},
    "bf16": {"precision": "bf16"},
    "fp16": {"precision": "fp16"},
    "augmented": {"augment": Augment(crop=1, flip=True, cutout=2)},
    "channels last": {"channels_last": True, "optimizer": OPTIMIZERS["momentum"]},
    "warm-up": {"schedule": Cosine(warmup=0.6, end=0.1)},
}
EPOCHS = 4


class Recording:
    """What a training reported, and the states that it reached."""

    def __init__(self) -> None:
        self.metrics, self.states = [], {}

    def report(self, metrics):
        self.metrics.append(metrics)
        return ()

    def run(self, *seeds, begin=0, end=EPOCHS, before=()):
        span = Span(begin, end, before, self.states.__setitem__)
        return TrainingRun(CPU, seeds, self.report, span=span)


class Counting(nn.Module):
    """Its outputs depend on how often it was called, in a number, a tensor and a buffer."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.layer = nn.Linear(72, 3)
        self.calls, self.mean = 0, torch.zeros(72)
        self.register_buffer("scale", torch.ones(1), persistent=False)

    def forward(self, x):
        x = x.flatten(1)
        if self.training:
            self.calls += 1
            self.mean.mul_(0.9).add_(0.1 * x.detach().mean(0))
            self.scale.mul_(0.99)
        return self.layer((x - self.mean) * self.scale / self.calls)


def divided(evaluator, make, data, tmp_path, *, seed=5, at=(1, 3)):
    """Trains a model in parts, each from a checkpoint; gives the model and the reports."""
    checkpoints = Checkpoints(tmp_path, Fidelity("evaluator.epochs", 1, EPOCHS, 2))
    recording, before, begin = Recording(), (), 0
    for number, end in enumerate((*at, EPOCHS)):
        torch.manual_seed(number)  # what was drawn before makes no difference
        model = make(seed)
        evaluator.evaluate([model], data, recording.run(seed, begin=begin, end=end, before=before))
        checkpoints.save(number, seed, {"evaluator.epochs": end, "a": 1}, recording.states[0])
        state = checkpoints.load(number, seed, {"evaluator.epochs": EPOCHS, "a": 1})
        assert state is not None and state.epoch == end and fits(make(seed), state)
        before, begin = (state,), end
    return model, recording


def assert_same(ours, theirs):
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("name", TRAININGS)
def test_a_divided_training_equals_an_undivided_one(
    name, classification, images, convnet, tmp_path
):
    evaluator = classification(epochs=EPOCHS, lr=0.05, **TRAININGS[name])
    whole, model = Recording(), convnet(5)
    evaluator.evaluate([model], images, whole.run(5))
    parts, recording = divided(evaluator, convnet, images, tmp_path)
    assert_same(parts.state_dict(), model.state_dict())
    assert recording.metrics == whole.metrics
    assert_same(recording.states[0].tensors, whole.states[0].tensors)
    assert recording.states[0].facts == whole.states[0].facts


def test_what_a_model_keeps_outside_of_its_weights_goes_on_too(classification, images, tmp_path):
    evaluator = classification(epochs=EPOCHS)
    whole, model = Recording(), Counting(5)
    evaluator.evaluate([model], images, whole.run(5))
    parts, recording = divided(evaluator, Counting, images, tmp_path)
    assert recording.metrics == whole.metrics
    assert parts.calls == model.calls and torch.equal(parts.mean, model.mean)


def test_a_part_reports_its_own_epochs_only(classification, images, convnet):
    evaluator, recording = classification(epochs=EPOCHS), Recording()
    evaluator.evaluate([convnet(5)], images, recording.run(5, end=3))
    assert len(recording.metrics) == 3 and recording.states[0].epoch == 3


def test_members_of_a_group_go_on_from_states_of_their_own(classification, images, convnet):
    evaluator = classification(epochs=EPOCHS)
    alone = []
    for seed in (5, 6):
        recording, model = Recording(), convnet(seed)
        evaluator.evaluate([model], images, recording.run(seed))
        alone.append((model, recording))
    first = Recording()
    evaluator.evaluate([convnet(5), convnet(6)], images, first.run(5, 6, end=2))
    second, models = Recording(), [convnet(5), convnet(6)]
    before = [first.states[0], first.states[1]]
    evaluator.evaluate(models, images, second.run(5, 6, begin=2, before=before))
    for place, (model, recording) in enumerate(alone):
        assert_same(models[place].state_dict(), model.state_dict())
        assert [m[place] for m in second.metrics] == [m[0] for m in recording.metrics[2:]]


def test_a_member_that_is_stopped_or_lost_leaves_no_state(classification, images, convnet):
    class Stopping(Recording):
        def report(self, metrics):
            super().report(metrics)
            return (1,)

    recording, broken = Stopping(), convnet(7)
    with torch.no_grad():
        next(broken.parameters()).fill_(float("nan"))
    evaluator = classification(epochs=EPOCHS)
    with pytest.raises(ArithmeticError):
        models = [convnet(5), convnet(6), broken]
        evaluator.evaluate(models, images, recording.run(5, 6, 7, end=2))
    assert [*recording.states] == [0]


def test_a_state_of_another_model_does_not_fit(classification, images, convnet):
    recording = Recording()
    classification(epochs=EPOCHS).evaluate([convnet(5)], images, recording.run(5, end=1))
    assert fits(convnet(6), recording.states[0])
    assert not fits(nn.Linear(4, 3), recording.states[0])
    assert not fits(convnet(6).double(), recording.states[0])


class Hoarding(torch.optim.SGD):
    """An optimizer that keeps a list."""

    def step(self, closure=None):
        super().step(closure)
        for group in self.param_groups:
            for own in group["params"]:
                self.state[own].setdefault("losses", []).append(0.0)


def test_an_optimizer_that_keeps_more_than_numbers_has_no_state_to_save(
    classification, images, convnet
):
    recording = Recording()
    evaluator = classification(epochs=EPOCHS, optimizer=partial(Hoarding))
    evaluator.evaluate([convnet(5)], images, recording.run(5, end=1))
    assert len(recording.metrics) == 1 and not recording.states
