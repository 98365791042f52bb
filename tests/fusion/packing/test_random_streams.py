"""Each model of a group draws the random numbers that it would draw alone."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from runner.fusion.packing.random_streams import Streams

CPU = torch.device("cpu")
SEEDS = [11, 7, 2**31 - 1]


def images(seed: int, layout: torch.memory_format = torch.contiguous_format) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(4, 5, 6, 3, generator=generator).contiguous(memory_format=layout)


def joined(owns: list[Tensor], layout: str) -> Tensor:
    if layout == "stacked":
        return torch.stack(owns)
    return torch.cat(owns, 1 if layout == "channels" else 0)


def alone(owns: list[Tensor], drops: Callable[[int, Tensor], Tensor]) -> list[Tensor]:
    """What each model gets that is seeded and run by itself, in two dropouts."""
    results = []
    for model, (seed, own) in enumerate(zip(SEEDS, owns, strict=True)):
        torch.manual_seed(seed)
        results.append(drops(model, drops(model, own)))
    return results


@pytest.mark.parametrize("layout", ["channels", "stacked", "folded"])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("drop", "kind"),
    [
        (F.dropout, {}),
        (F.dropout2d, {"feature": True}),
        (F.alpha_dropout, {"alpha": True}),
        (F.feature_alpha_dropout, {"alpha": True, "feature": True}),
    ],
)
@pytest.mark.parametrize("rates", [[0.3, 0.3, 0.3], [0.5, 0.0, 0.1], [1.0, 0.2, 0.0]])
def test_dropout_is_bit_for_bit_that_of_separate_models(
    layout: Any,
    memory: torch.memory_format,
    drop: Callable[[Tensor, float], Tensor],
    kind: dict[str, bool],
    rates: list[float],
) -> None:
    owns = [images(i, memory) for i in range(3)]
    x = joined(owns, layout)
    streams = Streams(SEEDS, CPU)
    for _ in range(2):
        x = streams.dropout(x, rates, [0, 1, 2], layout, **kind)
    expected = alone(owns, lambda model, own: drop(own, rates[model], True))
    assert torch.equal(x, joined(expected, layout))


@pytest.mark.parametrize("rank", [2, 3, 5])
def test_dropout_of_any_rank(rank: int) -> None:
    owns = [torch.randn(4, 6, *(3 for _ in range(rank - 2))) for _ in SEEDS]
    drop = {2: F.dropout, 3: F.dropout1d, 5: F.dropout3d}[rank]
    streams = Streams(SEEDS, CPU)
    x = torch.stack(owns)
    for _ in range(2):
        x = streams.dropout(x, 0.4, [0, 1, 2], "stacked", feature=rank > 2)
    assert torch.equal(x, torch.stack(alone(owns, lambda _, own: drop(own, 0.4, True))))


def test_turned_values_get_the_masks_of_turned_values() -> None:
    owns = [torch.randn(6, 4, 5).transpose(0, 1) for _ in SEEDS]
    x = torch.stack([own.transpose(0, 1) for own in owns]).transpose(1, 2)
    streams = Streams(SEEDS, CPU)
    for _ in range(2):
        x = streams.dropout(x, 0.4, [0, 1, 2], "stacked")
    assert torch.equal(x, torch.stack(alone(owns, lambda _, own: F.dropout(own, 0.4))))


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_dropout_keeps_the_layout_and_gives_the_gradient(memory: torch.memory_format) -> None:
    x = joined([images(i, memory) for i in range(3)], "channels").requires_grad_()
    y = Streams(SEEDS, CPU).dropout(x, 0.5, [0, 1, 2], "channels")
    assert y.stride() == x.stride()
    y.sum().backward()
    assert torch.equal(x.grad * x, y)
    assert 0.3 < x.grad.eq(0).double().mean() < 0.7


def test_nothing_is_drawn_where_nothing_is_dropped() -> None:
    x = torch.randn(6, 4)
    assert Streams(SEEDS, CPU).dropout(x, 0.0, [0, 1, 2], "folded") is x


def test_some_of_the_models_draw_their_own_numbers() -> None:
    owns = [images(i) for i in range(3)]
    streams = Streams(SEEDS, CPU)
    some = streams.dropout(joined(owns[1:], "channels"), 0.3, [1, 2], "channels")
    other = streams.dropout(owns[0], 0.3, [0], "channels")
    both = torch.cat([other, some], 1)
    expected = Streams(SEEDS, CPU).dropout(joined(owns, "channels"), 0.3, [0, 1, 2], "channels")
    assert torch.equal(both, expected)


def test_lent_numbers_go_on_where_the_model_stopped() -> None:
    streams = Streams(SEEDS, CPU)
    x = torch.ones(50)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    with streams.of(0):
        first = torch.randn(3)
    with streams.of(1):
        torch.randn(9)
    dropped = streams.dropout(x, 0.5, [0], "folded")
    with streams.of(0):
        last = torch.randn(3)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(SEEDS[0])
    assert torch.equal(torch.randn(3), first)
    assert torch.equal(F.dropout(x, 0.5), dropped)
    assert torch.equal(torch.randn(3), last)


def test_numbers_are_given_back_after_an_error() -> None:
    before = torch.get_rng_state()
    streams = Streams(SEEDS, CPU)
    with pytest.raises(RuntimeError, match="boom"), streams.of(2):
        torch.randn(3)
        raise RuntimeError("boom")
    assert torch.equal(torch.get_rng_state(), before)


def test_seeding_one_begins_it_anew_and_leaves_the_others() -> None:
    x = torch.ones(3, 40)
    streams, fresh = Streams(SEEDS, CPU), Streams([11, 99, 2**31 - 1], CPU)
    streams.seed(1, 99)
    first, second = (s.dropout(x, 0.5, [0, 1, 2], "folded") for s in (streams, fresh))
    assert torch.equal(first, second)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_models_draw_apart_and_anew() -> None:
    device = torch.device("cuda")
    x = torch.ones(3, 1000, device=device)
    first, second = (
        Streams(s, device).dropout(x, 0.5, [0, 1, 2], "folded") for s in (SEEDS, SEEDS)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first[0], first[1])
    with Streams(SEEDS, device).of(1):
        lent = torch.rand(5, device=device)
    torch.manual_seed(SEEDS[1])
    assert torch.equal(torch.rand(5, device=device), lent)
