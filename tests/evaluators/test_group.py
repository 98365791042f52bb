"""Models trained as one: each gets what it would get alone, whatever becomes of the others."""

import copy
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from fusing import read
from fusing_toys import Idle
from safetensors.torch import load_file
from torch import Tensor, nn

from runner.data.data import SearchData
from runner.data.splits import TensorSplit
from runner.evaluators import fused_group as fusion
from runner.evaluators import group
from runner.evaluators.evaluator import NotFinite, TrainingRun
from runner.evaluators.race import Prospects, Race
from runner.fusion.kernels import layers
from runner.trial import Gain
from runner.weights import save_weights

CPU = torch.device("cpu")
Reports = list[Sequence[Mapping[str, float]]]


class Outcome:
    """Models trained by some evaluators, and what was told of them."""

    def __init__(self, made: Sequence[Any], evaluators: Sequence[Any], data: Any, *,
                 fused: bool = True, stop: Callable[[int], Collection[int]] = lambda epoch: (),
                 ) -> None:  # fmt: skip
        self.reports: Reports = []
        self.gains: list[Gain] = []
        self.lost: Sequence[int] = ()
        self.models = [copy.deepcopy(model) for model, _ in made]
        self.at_report: list[list[Mapping[str, Tensor]]] = []

        def report(metrics: Sequence[Mapping[str, float]]) -> Collection[int]:
            self.reports.append(metrics)
            self.at_report.append([copied(model) for model in self.models])
            return stop(len(self.reports))

        programs = [programs for _, programs in made] if fused else ()
        seeds = [10 + i for i in range(len(made))]
        try:
            run = TrainingRun(CPU, seeds, report, evaluators, programs, self.gains.append)
            evaluators[0].evaluate(self.models, data, run)
        except NotFinite as error:
            self.lost = error.models

    @property
    def gain(self) -> Gain:
        [gain] = self.gains
        return gain

    def news(self, place: int) -> Reports:
        return [report[place] for report in self.reports if report[place]]


def copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same(ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
    """Bit for bit."""
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


@pytest.fixture(autouse=True)
def worth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans are made for the shortest training, too."""
    monkeypatch.setattr(Prospects, "refusal", lambda *_: "")


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """rig(together): from now on that is the faster way, by 2."""

    def rigged(together: bool) -> None:
        times, clock = {together: 1.0, not together: 2.0}, [0.0]

        def tick(fused: bool) -> float:
            clock[0] += times[fused]
            return clock[0]

        monkeypatch.setattr(Race, "_now", lambda race: tick(race.together))
        monkeypatch.setattr(group, "now", lambda device: tick(False))

    return rigged


@pytest.fixture
def made(convnet: Any) -> Callable[[int], list[Any]]:
    """made(K): models, in double precision so that rounding is not amplified, and programs."""

    def make(size: int) -> list[Any]:
        found = []
        for seed in range(size):
            model, programs = read(partial(convnet, seed), (2, 6, 6))
            found.append((model.double(), programs))
        return found

    return make


@pytest.fixture
def images(images: SearchData) -> SearchData:
    """The same, in double precision."""
    (train,), (validation,) = (
        split.batches(99, CPU) for split in (images.train, images.validation)
    )
    return SearchData(TensorSplit(train[0].double(), train[1]),
                      TensorSplit(validation[0].double(), validation[1]))  # fmt: skip


DIFFERENT = {
    "lr": [{"lr": 0.01 * (i + 1)} for i in range(3)],
    "decay": [{"optimizer": partial(torch.optim.AdamW, weight_decay=0.1 * i)} for i in range(3)],
    "momentum": [
        {"optimizer": partial(torch.optim.SGD, momentum=0.3 * i), "lr": 0.1} for i in range(3)
    ],
    "another optimizer": [{"optimizer": torch.optim.RMSprop, "lr": 0.01 / (i + 1)} for i in (1, 2)],
    "smoothing": [{"label_smoothing": 0.1 * i} for i in range(3)],
    "clipping": [{"clip_norm": norm} for norm in (None, 0.05, 0.5)],
    "nothing": [{}] * 3,
    "epochs": [{"epochs": 4}] * 2,
}


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("name", DIFFERENT)
def test_each_model_gets_what_it_gets_alone(
    name: str, together: bool, made: Any, rig: Any, classification: Any, images: Any
) -> None:
    rig(together)
    evaluators = [classification(**{"epochs": 3, **settings}) for settings in DIFFERENT[name]]
    members = made(len(evaluators))
    group = Outcome(members, evaluators, images)
    assert bool(group.gain.why) == (not together)
    assert group.gain.speedup == (2.0 if together else 0.5)
    assert group.gain.launches < group.gain.operations
    for i, (model, evaluator) in enumerate(zip(group.models, evaluators, strict=True)):
        single, news = copy.deepcopy(members[i][0]), []  # type: ignore[var-annotated]

        def report(metrics: Any, news: list[Any] = news) -> tuple[int, ...]:
            news.extend(metrics)
            return ()

        evaluator.evaluate([single], images, TrainingRun(CPU, [10 + i], report))
        for ours, theirs in zip(group.news(i), news, strict=True):
            assert ours["train/loss"] == pytest.approx(theirs["train/loss"], rel=1e-8)
            assert ours["val/loss"] == pytest.approx(theirs["val/loss"], rel=1e-8)
        for parameter, other in zip(model.parameters(), single.parameters(), strict=True):
            torch.testing.assert_close(parameter, other, rtol=1e-7, atol=1e-7)


def test_models_are_fused_in_half_precision(
    made: Any, rig: Any, classification: Any, images: Any
) -> None:
    rig(True)
    evaluators = [classification(precision="bf16", epochs=3)] * 3
    members = [(model.float(), programs) for model, programs in made(3)]
    [train], [validation] = (s.batches(99, CPU) for s in (images.train, images.validation))
    data = SearchData(TensorSplit(train[0].float(), train[1]),
                      TensorSplit(validation[0].float(), validation[1]))  # fmt: skip
    group, alone = (Outcome(members, evaluators, data, fused=fused) for fused in (True, False))
    assert not group.gain.why
    for i in range(3):
        losses = [[news["train/loss"] for news in o.news(i)] for o in (group, alone)]
        assert losses[0] == pytest.approx(losses[1], rel=0.03)


def test_a_group_is_trained_the_same_each_time(
    made: Any, rig: Any, classification: Any, images: Any
) -> None:
    rig(True)
    first, again = (Outcome(made(3), [classification()] * 3, images) for _ in range(2))
    assert first.reports == again.reports


# What becomes of one leaves the others as they are

WAYS = pytest.mark.parametrize("way", ["together", "one by one", "not fused"])
RATES = pytest.mark.parametrize("lrs", [[0.01] * 5, [0.01, 0.01, 0.02, 0.01, 0.01],
                                        [0.01, 0.03, 0.02, 0.05, 0.04]])  # fmt: skip


def outcome(way: str, rig: Any, made: Any, evaluators: Any, images: Any, **rest: Any) -> Outcome:
    rig(way == "together")
    return Outcome(made, evaluators, images, fused=way != "not fused", **rest)


@RATES
@WAYS
def test_a_model_that_is_not_finite_leaves_the_others_bit_for_bit(
    way: str, lrs: list[float], made: Any, rig: Any, classification: Any, images: Any
) -> None:
    evaluators = [classification(lr=lr, epochs=3) for lr in lrs]
    members = made(5)
    healthy = outcome(way, rig, members, evaluators, images)
    with torch.no_grad():
        next(members[2][0].parameters()).fill_(torch.nan)
    ill = outcome(way, rig, members, evaluators, images)
    assert ill.lost == (2,)
    assert not healthy.lost
    assert ill.news(2) == []
    for i in (0, 1, 3, 4):
        assert ill.news(i) == healthy.news(i)
        assert_same(ill.models[i].state_dict(), healthy.models[i].state_dict())


@WAYS
def test_a_model_whose_rate_is_too_high_leaves_the_others_bit_for_bit(
    way: str, made: Any, rig: Any, classification: Any, images: Any
) -> None:
    rates = [0.01, 0.02, 0.03, 0.04, 0.05]
    evaluators = [classification(lr=lr, epochs=3) for lr in rates]
    members = made(5)
    healthy = outcome(way, rig, members, evaluators, images)
    evaluators[1] = classification(lr=1e18, epochs=3)
    ill = outcome(way, rig, members, evaluators, images)
    assert ill.lost == (1,)
    for i in (0, 2, 3, 4):
        assert ill.news(i) == healthy.news(i)
        assert_same(ill.models[i].state_dict(), healthy.models[i].state_dict())


@RATES
@WAYS
def test_a_stopped_model_keeps_its_weights_and_leaves_the_others_bit_for_bit(
    way: str, lrs: list[float], made: Any, rig: Any, classification: Any, images: Any
) -> None:
    evaluators = [classification(lr=lr, epochs=3) for lr in lrs]
    members = made(5)
    whole = outcome(way, rig, members, evaluators, images)
    stopped = outcome(
        way, rig, members, evaluators, images, stop=lambda epoch: [2] if epoch == 1 else []
    )
    assert len(stopped.news(2)) == 1
    assert_same(stopped.models[2].state_dict(), stopped.at_report[0][2])
    for i in (0, 1, 3, 4):
        assert stopped.news(i) == whole.news(i)
        assert_same(stopped.models[i].state_dict(), whole.models[i].state_dict())


@pytest.mark.parametrize("stopped", [[1], [0, 2], [1, 2]])
def test_those_that_are_left_go_on_without_the_others(
    stopped: list[int], made: Any, rig: Any, classification: Any, images: Any
) -> None:
    rig(True)
    evaluators = [classification(lr=0.01 * (i + 1), epochs=6) for i in range(4)]
    members = made(4)
    whole = Outcome(members, evaluators, images)
    group = Outcome(members, evaluators, images, stop=lambda n: stopped if n == 2 else [])
    assert whole.gain.models == 4
    assert group.gain.models == 4
    assert group.gain.operations == whole.gain.operations * (4 - len(stopped)) // 4
    assert not group.gain.why
    for i in range(4):
        if i in stopped:
            assert_same(group.models[i].state_dict(), group.at_report[1][i])
            continue
        for ours, theirs in zip(group.news(i), whole.news(i), strict=True):
            assert ours == pytest.approx(theirs, rel=1e-8)
        for ours, theirs in zip(
            group.models[i].parameters(), whole.models[i].parameters(), strict=True
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-7)


def test_all_but_one_may_end(made: Any, rig: Any, classification: Any, images: Any) -> None:
    rig(True)
    evaluators = [classification(epochs=3)] * 3
    group = Outcome(made(3), evaluators, images, stop=lambda n: [0, 1] if n == 1 else [])
    assert [len(group.news(i)) for i in range(3)] == [1, 1, 3]


def test_all_may_end(made: Any, rig: Any, classification: Any, images: Any) -> None:
    rig(True)
    evaluators = [classification(epochs=5)] * 3
    group = Outcome(made(3), evaluators, images, stop=lambda n: [0, 1, 2] if n == 2 else [])
    assert [len(group.news(i)) for i in range(3)] == [2, 2, 2]
    for i, model in enumerate(group.models):
        assert_same(model.state_dict(), group.at_report[1][i])


# Nothing is lost where models are not fused


@pytest.mark.parametrize(
    ("changed", "why"),
    [({"compile": True}, "evaluator.compile"), ({"precision": "fp16"}, "evaluator.precision=fp16")],
)
def test_what_cannot_be_fused_is_said(
    changed: Any, why: str, made: Any, classification: Any, images: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(torch, "compile", lambda model: model)
    group = Outcome(made(2), [classification(**changed)] * 2, images)
    assert why in group.gain.why
    assert all(len(group.news(i)) == 2 for i in range(2))


def test_models_that_have_nothing_in_common_are_not_fused(classification: Any, images: Any) -> None:
    def make(kernel: int) -> nn.Module:
        pool = nn.AdaptiveAvgPool2d(1) if kernel == 1 else nn.MaxPool2d(4)
        return nn.Sequential(nn.Conv2d(2, 3, kernel), pool, nn.Flatten(1 if kernel == 1 else -3))

    members = [read(partial(make, kernel), (2, 6, 6)) for kernel in (1, 3)]
    for model, _ in members:
        model.double()
    group = Outcome(members, [classification()] * 2, images)
    assert "no two models share an operation" in group.gain.why
    assert all(len(group.news(i)) == 2 for i in range(2))


def plain(made: Any, evaluators: Any, images: Any) -> Outcome:
    return Outcome(made, evaluators, images, fused=False)


@pytest.mark.parametrize("factor", [1.1, float("nan")])
def test_a_plan_that_gives_other_numbers_is_not_used(
    factor: float, made: Any, classification: Any, images: Any, monkeypatch: Any
) -> None:
    right = layers.linear
    monkeypatch.setattr(layers, "linear", lambda *given: right(*given) * factor)
    members, evaluators = made(3), [classification()] * 3
    group = Outcome(members, evaluators, images)
    assert "fused results differ" in group.gain.why
    assert group.reports == plain(members, evaluators, images).reports


class Skewed(torch.autograd.Function):
    """Right forward, and wrong backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad * 1.1


def test_a_plan_that_gives_other_gradients_is_not_used(
    made: Any, classification: Any, images: Any, monkeypatch: Any
) -> None:
    right = layers.linear
    monkeypatch.setattr(layers, "linear", lambda *given: Skewed.apply(right(*given)))
    members, evaluators = made(3), [classification()] * 3
    group = Outcome(members, evaluators, images)
    assert "fused results differ" in group.gain.why
    assert group.reports == plain(members, evaluators, images).reports


def test_a_fault_of_a_plan_loses_nothing(
    made: Any, classification: Any, images: Any, monkeypatch: Any, caplog: Any
) -> None:
    def faulty(*given: Any) -> Tensor:
        raise RuntimeError("shapes that do not fit")

    monkeypatch.setattr(layers, "linear", faulty)
    members, evaluators = made(3), [classification()] * 3
    with caplog.at_level(logging.WARNING):
        group = Outcome(members, evaluators, images)
    assert "shapes that do not fit" in group.gain.why
    assert group.reports == plain(members, evaluators, images).reports


@pytest.mark.parametrize("call", [1, 2])
def test_a_fault_in_planning_loses_nothing(
    call: int, made: Any, classification: Any, images: Any, monkeypatch: Any, caplog: Any
) -> None:
    right, calls = fusion.fuse, []

    def faulty(*given: Any) -> Any:
        calls.append(1)
        if len(calls) == call:
            raise RuntimeError("no such kernel")
        return right(*given)

    monkeypatch.setattr(fusion, "fuse", faulty)
    members, evaluators = made(3), [classification()] * 3
    with caplog.at_level(logging.WARNING):
        group = Outcome(members, evaluators, images)
    assert "no such kernel" in group.gain.why
    assert "no such kernel" in caplog.text
    assert group.reports == plain(members, evaluators, images).reports


def test_a_fault_while_training_is_raised(
    made: Any, classification: Any, images: Any, monkeypatch: Any
) -> None:
    def faulty(*given: Any, **named: Any) -> None:
        raise RuntimeError("a broken model")

    monkeypatch.setattr("runner.evaluators.classification.cross_entropy", faulty)
    with pytest.raises(RuntimeError, match="a broken model"):
        Outcome(made(2), [classification()] * 2, images)


@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.SGD, torch.optim.RMSprop])
@pytest.mark.parametrize("together", [True, False])
def test_models_end_with_memory_of_their_own(
    optimizer: Any, together: bool, classification: Any, rig: Any, tmp_path: Path
) -> None:
    rig(together)
    rng = torch.Generator().manual_seed(0)
    inputs, targets = torch.randn(20, 4, generator=rng), torch.arange(20) % 3
    split = TensorSplit(inputs, targets)
    data = SearchData(split, split)
    members = [read(Idle, (4,)) for _ in range(3)]
    group = Outcome(members, [classification(optimizer=optimizer)] * 3, data)
    for model in group.models:
        for value in model.state_dict().values():
            assert value.untyped_storage().nbytes() == value.numel() * value.element_size()
        assert all(parameter.grad is None for parameter in model.parameters())
        save_weights(model, tmp_path / "weights.safetensors")
        assert_same(load_file(tmp_path / "weights.safetensors"), model.state_dict())


@WAYS
def test_a_model_that_changes_its_input_changes_that_of_no_other(
    way: str, classification: Any, images: Any, rig: Any
) -> None:
    def make(act: type[nn.Module]) -> nn.Module:
        return nn.Sequential(
            act(inplace=True), nn.Conv2d(2, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )

    torch.manual_seed(0)
    members = [read(partial(make, act), (2, 6, 6)) for act in (nn.ReLU, nn.SiLU, nn.ReLU)]
    for model, _ in members:
        model.double()
    group = outcome(way, rig, members, [classification()] * 3, images)
    for i, (model, _) in enumerate(members):
        alone = Outcome([(model, None)], [classification()], images, fused=False)
        train_losses = [news["train/loss"] for news in group.news(i)]
        assert train_losses == pytest.approx([n["train/loss"] for n in alone.news(0)], rel=1e-4)
