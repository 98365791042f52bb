"""What holds for every evaluator."""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from runner.data.augment import Augment
from runner.data.data import SearchData
from runner.evaluators.evaluator import Evaluator, NotFinite, StopTraining, TrainingRun
from runner.evaluators.function import Function
from runner.evaluators.lightning import Lightning

CPU = torch.device("cpu")


class Case(NamedTuple):
    evaluator: Evaluator
    make: Callable[[int], nn.Module]
    data: SearchData
    metric: str


def by_hand(model: nn.Module, report: Callable[[Any], None], data: SearchData) -> None:
    """What a user might write."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        losses = []
        for inputs, targets in data.train.batches(5, CPU, torch.Generator().manual_seed(1)):
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(inputs), targets)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        report({"val/mse": losses[-1], "train/loss": losses[0]})


def mse(model: nn.Module, data: Any) -> float:
    ((inputs, targets),) = data.batches(99, CPU)
    with torch.no_grad():
        return nn.functional.mse_loss(model(inputs), targets).item()


@pytest.fixture(params=["classification", "regression", "function", "lightning"])
def case(request: pytest.FixtureRequest) -> Case:
    if request.param == "lightning":
        pytest.importorskip("lightning", reason="the extra `lightning` is not installed")
        from litmodules import Plain

        make, numbers = (request.getfixturevalue(name) for name in ("perceptron", "numbers"))
        return Case(Lightning(Plain, 2, 5, {}, 0), make, numbers, "val/mse")
    if request.param == "classification":
        evaluator = request.getfixturevalue("classification")(augment=Augment(1, True, 2))
        images = request.getfixturevalue("images")
        return Case(evaluator, request.getfixturevalue("convnet"), images, "val/accuracy")
    make, numbers = (request.getfixturevalue(name) for name in ("perceptron", "numbers"))
    if request.param == "regression":
        return Case(request.getfixturevalue("regression")(), make, numbers, "val/r2")
    return Case(Function(by_hand, "val/mse", mse), make, numbers, "val/mse")


def state(model: nn.Module) -> list[float]:
    return [value for tensor in model.state_dict().values() for value in tensor.flatten().tolist()]


def test_reports_each_epoch_with_the_objective(case: Case, recorded: Any) -> None:
    record = recorded()
    case.evaluator.evaluate([case.make(0)], case.data, record.run(5))
    assert len(record.reports) == 2
    for report in record.reports:
        assert len(report) == 1
        assert case.metric in report[0]
        assert all(isinstance(value, float) for value in report[0].values())


def test_same_seed_same_numbers_and_another_seed_others(case: Case, recorded: Any) -> None:
    first, again, other = (recorded() for _ in range(3))
    models = [case.make(0) for _ in range(3)]
    for record, model, seed in zip((first, again, other), models, (5, 5, 6), strict=True):
        torch.rand(3)  # what happened before does not matter
        case.evaluator.evaluate([model], case.data, record.run(seed))
    assert first.reports == again.reports
    assert state(models[0]) == state(models[1])
    assert first.reports != other.reports


def test_models_of_a_list_get_what_each_would_get_alone(case: Case, recorded: Any) -> None:
    together = recorded()
    models = [case.make(i) for i in range(3)]
    case.evaluator.evaluate(models, case.data, together.run(7, 8, 9))
    for i, model in enumerate(models):
        alone, single = recorded(), case.make(i)
        case.evaluator.evaluate([single], case.data, alone.run(7 + i))
        assert state(single) == state(model)
        news = [report[i] for report in together.reports if report[i]]
        assert news == [report[0] for report in alone.reports]


def test_stopping_leaves_the_weights_of_the_last_report(case: Case) -> None:
    model, seen = case.make(0), []

    def report(metrics: Any) -> None:
        seen.append(state(model))
        raise StopTraining

    with pytest.raises(StopTraining):
        case.evaluator.evaluate([model], case.data, TrainingRun(CPU, [5], report))
    assert seen == [state(model)]


def test_score_gives_one_mapping_per_model_without_prefixes(case: Case, recorded: Any) -> None:
    record, models = recorded(), [case.make(0), case.make(1)]
    case.evaluator.evaluate(models, case.data, record.run(1, 2))
    scores = case.evaluator.score(models, case.data.validation, CPU)
    assert len(scores) == 2
    for i, score in enumerate(scores):
        assert not any("/" in name for name in score)
        if not isinstance(case.evaluator, Function):
            last = [report[i] for report in record.reports if report[i]][-1]
            for name, value in score.items():  # another memory layout rounds otherwise
                assert value == pytest.approx(last[f"val/{name}"], rel=1e-4)


def test_models_end_contiguous_so_that_weights_can_be_saved(case: Case, recorded: Any) -> None:
    model = case.make(0)
    case.evaluator.evaluate([model], case.data, recorded().run(1))
    assert all(value.is_contiguous() for value in model.state_dict().values())


def test_loss_that_is_not_finite(case: Case, recorded: Any) -> None:
    model, record = case.make(0), recorded()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(torch.nan)
    with pytest.raises(NotFinite) as raised:
        case.evaluator.evaluate([model], case.data, record.run(1))
    assert raised.value.models == (0,)
    assert record.reports == []


def test_metrics_are_those_that_are_declared(case: Case, recorded: Any) -> None:
    record = recorded()
    case.evaluator.evaluate([case.make(0)], case.data, record.run(1))
    declared = type(case.evaluator).reports
    assert declared is None or declared.keys() == record.reports[-1][0].keys()


def test_a_model_that_trains_can_be_rehearsed(case: Case) -> None:
    batch = next(case.data.train.batches(2, CPU))
    classes = 1 if batch[1].is_floating_point() else 3
    case.evaluator.check()
    case.evaluator.rehearse(lambda: case.make(0), batch, classes)
