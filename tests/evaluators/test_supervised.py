"""The training loop: precision, layout, clipping, NaN, and what a list of models may not do."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from runner.data.augment import Augment
from runner.data.data import SearchData
from runner.data.splits import TensorSplit
from runner.errors import ConfigError
from runner.evaluators.evaluator import NotFinite
from runner.evaluators.member import Losses
from runner.evaluators.schedule import Constant
from runner.evaluators.supervised import Supervised, steps_per_epoch

CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Weighted(Supervised):
    """A user's own, with a weight for each class."""

    weights: list[float]

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        weights = torch.tensor(self.weights)
        return cross_entropy(outputs, targets, weight=weights, reduction="none")

    def judge(self, outputs: Tensor, targets: Tensor) -> Tensor:
        return self.losses(outputs, targets)[:, None]

    def metrics(self, judged: Tensor) -> Mapping[str, float]:
        return {"loss": float(judged.mean())}


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"epochs": -1}, "evaluator.epochs is -1; it must be at least 1"),
        ({"batch_size": 0}, "evaluator.batch_size is 0; it must be at least 1"),
        ({"lr": 0.0}, "evaluator.lr is 0.0; it must be above 0"),
        ({"lr": math.inf}, "evaluator.lr is inf"),
        ({"clip_norm": -1.0}, "evaluator.clip_norm is -1.0"),
        ({"label_smoothing": 1.0}, "evaluator.label_smoothing is 1.0"),
        ({"optimizer": partial(torch.optim.LBFGS)}, "evaluator.optimizer is LBFGS, whose step"),
    ],
)
def test_bad_settings(classification: Any, changed: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        classification(**changed)


def test_losses_are_alike_where_all_that_they_follow_from_is(classification: Any) -> None:
    one, other = (classification(augment=Augment(2, True, 0), lr=lr) for lr in (0.1, 0.2))
    assert one.has_loss_of(other)
    assert not one.has_loss_of(classification(augment=Augment(2, False, 0)))
    assert not one.has_loss_of(classification(augment=Augment(2, True, 0), label_smoothing=0.1))
    shared = {field.name: getattr(one, field.name) for field in fields(Supervised)}
    weights = [1.0, 2.0], [1.0, 2.0], [1.0, 3.0]
    first, second, third = (Weighted(**shared, weights=each) for each in weights)
    assert first.has_loss_of(second) and not first.has_loss_of(third)
    assert not first.has_loss_of(one) and not one.has_loss_of(first)


@pytest.mark.parametrize(
    ("examples", "batch_size", "steps"),
    [(25, 8, 3), (26, 8, 4), (24, 8, 3), (1, 8, 1), (5, 1, 5), (3, 8, 1)],
)
def test_last_batch_of_one_is_left_out(examples: int, batch_size: int, steps: int) -> None:
    assert steps_per_epoch(examples, batch_size) == steps


def test_not_finite_names_epoch_and_step(
    classification: Any, images: SearchData, convnet: Any, recorded: Any
) -> None:
    model, record = convnet(0), recorded()
    calls = 0

    def spoil(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor | None:
        nonlocal calls
        calls += module.training
        return output * math.nan if module.training and calls == 5 else None

    model.register_forward_hook(spoil)
    with pytest.raises(NotFinite, match=r"Loss is nan in epoch 2, step 2\."):
        classification().evaluate([model], images, record.run(0))
    assert calls == 5
    assert len(record.reports) == 1


def test_validation_loss_that_is_not_finite(
    classification: Any, images: SearchData, convnet: Any, recorded: Any
) -> None:
    model = convnet(0)
    model.register_forward_hook(lambda m, i, o: None if m.training else o * math.nan)
    with pytest.raises(NotFinite, match="Validation loss is nan after epoch 1"):
        classification().evaluate([model], images, recorded().run(0))


def test_model_that_is_lost_changes_nothing_for_the_others(
    classification: Any, images: SearchData, convnet: Any, recorded: Any
) -> None:
    together, alone = recorded(), recorded()
    sick, well = convnet(0), convnet(1)
    sick.register_forward_pre_hook(lambda m, inputs: (inputs[0] * math.nan,))
    with pytest.raises(NotFinite, match="epoch 1, step 1") as raised:
        classification().evaluate([sick, well], images, together.run(3, 4))
    assert raised.value.models == (0,)
    single = convnet(1)
    classification().evaluate([single], images, alone.run(4))
    assert together.reports == [[{}, *report] for report in alone.reports]
    assert all(
        torch.equal(a, b) for a, b in zip(single.parameters(), well.parameters(), strict=True)
    )


def test_accelerator_looks_at_losses_in_bunches_and_names_the_right_step() -> None:
    losses = Losses(0, torch.device("cuda"))  # the values may live anywhere
    for step in range(31):
        losses.add(torch.tensor(math.inf if step == 6 else 1.0), 4)
    with pytest.raises(NotFinite, match=r"Loss is inf in epoch 1, step 7\."):
        losses.add(torch.tensor(1.0), 4)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_mean_loss_counts_examples(device: str) -> None:
    losses = Losses(0, torch.device(device))
    for value, size in ((1.0, 8), (2.0, 8), (6.0, 4)):
        losses.add(torch.tensor(value), size)
    assert losses.mean() == pytest.approx(48 / 20)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_near_full_precision(
    classification: Any, images: SearchData, convnet: Any, recorded: Any, precision: str
) -> None:
    full, half = recorded(), recorded()
    classification().evaluate([convnet(0)], images, full.run(0))
    classification(precision=precision).evaluate([convnet(0)], images, half.run(0))
    near = pytest.approx(full.reports[-1][0]["train/loss"], rel=0.1)
    assert half.reports[-1][0]["train/loss"] == near
    assert half.reports != full.reports


def test_channels_last_is_near_the_other_layout(
    classification: Any, images: SearchData, convnet: Any, recorded: Any
) -> None:
    one, two = recorded(), recorded()
    classification(channels_last=True).evaluate([convnet(0)], images, one.run(0))
    classification(channels_last=False).evaluate([convnet(0)], images, two.run(0))
    near = pytest.approx(two.reports[-1][0]["train/loss"], rel=1e-3)
    assert one.reports[-1][0]["train/loss"] == near


def test_auto_layout_is_for_convolutions(
    classification: Any, images: SearchData, recorded: Any
) -> None:
    seen: list[bool] = []
    convolution = nn.Conv2d(2, 4, 3)
    model = nn.Sequential(convolution, nn.Flatten(), nn.Linear(64, 3))
    model.register_forward_pre_hook(
        lambda m, i: seen.append(
            convolution.weight.is_contiguous(memory_format=torch.channels_last)
        )
    )
    classification(epochs=1).evaluate([model], images, recorded().run(0))
    assert set(seen) == {True}
    assert convolution.weight.is_contiguous()


def test_compiled_training_gives_the_same_numbers(
    classification: Any,
    images: SearchData,
    convnet: Any,
    recorded: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compiled, plain = recorded(), recorded()
    classification().evaluate([convnet(0)], images, plain.run(0))
    with monkeypatch.context() as patch:
        patch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
        classification(compile=True).evaluate([convnet(0)], images, compiled.run(0))
    near = pytest.approx(plain.reports[0][0]["val/loss"], rel=1e-4)
    assert compiled.reports[0][0]["val/loss"] == near


def test_clipping_bounds_each_step(
    classification: Any, images: SearchData, convnet: Any, recorded: Any
) -> None:
    model = convnet(0)
    before = [p.detach().clone() for p in model.parameters()]
    classification(
        epochs=1,
        batch_size=25,
        lr=1.0,
        clip_norm=0.01,
        optimizer=torch.optim.SGD,
        schedule=Constant(0.0),
    ).evaluate([model], images, recorded().run(0))
    moved = torch.cat([(p - q).flatten() for p, q in zip(model.parameters(), before, strict=True)])
    assert moved.norm().item() == pytest.approx(0.01, rel=1e-3)


def test_learning_rate_follows_the_schedule(
    classification: Any, images: SearchData, convnet: Any, recorded: Any
) -> None:
    used: list[float] = []

    class Watched(torch.optim.SGD):
        def step(self, closure: Any = None) -> None:
            used.append(self.param_groups[0]["lr"])
            super().step(closure)

    classification(optimizer=Watched, lr=0.5, schedule=lambda step, total: step / total).evaluate(
        [convnet(0)], images, recorded().run(0)
    )
    assert used == pytest.approx([0.5 * step / 6 for step in range(6)])


@pytest.mark.parametrize(
    ("optimizer", "fused"),
    [
        (partial(torch.optim.AdamW), True),
        (partial(torch.optim.Adam, fused=False), False),
        (partial(torch.optim.SGD, momentum=0.9), None),
        (partial(torch.optim.Adam, foreach=True), False),
    ],
)
def test_fused_steps_where_they_are_safe_and_not_refused(
    classification: Any,
    images: SearchData,
    convnet: Any,
    recorded: Any,
    optimizer: Callable[..., Any],
    fused: bool | None,
) -> None:
    made: list[torch.optim.Optimizer] = []
    evaluator = classification(optimizer=optimizer, epochs=1)
    maker = type(evaluator).make_optimizer

    def watched(*args: Any) -> torch.optim.Optimizer:
        made.append(maker(*args))
        return made[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(evaluator), "make_optimizer", watched)
        evaluator.evaluate([convnet(0)], images, recorded().run(0))
    assert bool(made[0].defaults["fused"]) is bool(fused)


def test_frozen_parameters_stay(
    classification: Any, images: SearchData, convnet: Any, recorded: Any
) -> None:
    model = convnet(0)
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    classification().evaluate([model], images, recorded().run(0))
    assert torch.equal(model[0].weight, before)


def test_parameter_that_gets_no_gradient(
    classification: Any, images: SearchData, convnet: Any, recorded: Any
) -> None:
    model = convnet(0)
    model.register_parameter("idle", nn.Parameter(torch.ones(3)))
    classification(clip_norm=1.0).evaluate([model], images, recorded().run(0))
    assert model.get_parameter("idle").tolist() == [1, 1, 1]


def test_training_data_of_one_example(regression: Any, perceptron: Any, recorded: Any) -> None:
    split = TensorSplit(torch.ones(1, 4), torch.ones(1, 1))
    record = recorded()
    regression().evaluate([perceptron(0)], SearchData(split, split), record.run(0))
    assert record.reports[-1][0]["val/r2"] == 0


ODD = [{}, {"every": 0}, {"every": "x"}, {"every": 2.5}, {"every": True}, {"every": 2, "foo": 1},
       True, 5]  # fmt: skip


@pytest.mark.parametrize("given", ODD)
def test_checkpoints_come_every_so_many_epochs(given, classification):
    with pytest.raises(ConfigError, match=r"evaluator\.checkpoint is .*like \{every: 5\}"):
        classification(checkpoint=given)
