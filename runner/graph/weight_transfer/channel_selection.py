"""Which channels of an old model stand for those of a new one."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from runner.graph.weight_transfer.plan import ChannelGroup, ChannelMember, Cut
from runner.graph.weight_transfer.run_length import from_runs

Chosen = Mapping[int, int]  # channel of the new model -> that of the old one it starts from
FRESH = -1  # the place of what starts from nothing


def choose(group: ChannelGroup, old: Mapping[str, Tensor]) -> Chosen:
    """The old channel for each new one of a group, those that are used alike among themselves.

    Of too many, the most important are kept, in their order. Too few all stay where they are, and
    behind them come the most important ones once more (Net2Wider, Chen et al. 2016,
    https://arxiv.org/abs/1511.05641).
    """
    scores = _importance(group, old)
    chosen: dict[int, int] = {}
    for before, after in group["classes"]:
        channels, places = from_runs(before), from_runs(after)
        ranked = sorted(channels, key=lambda channel: (-scores.get(channel, 0.0), channel))
        more = len(places) - len(channels)
        if more <= 0:
            picked = sorted(ranked[: len(places)])
        else:
            picked = [*channels, *(ranked[i % len(ranked)] for i in range(more))]
        chosen.update(zip(places, picked, strict=True))
    return chosen


def _importance(group: ChannelGroup, old: Mapping[str, Tensor]) -> Mapping[int, float]:
    """How much a channel counts: the L2 norm of the weights that use it, times that of what makes
    it as large as it is.

    That are the factors of the norm layers behind it, if there are any (Liu et al. 2017,
    https://arxiv.org/abs/1708.06519), since these undo the size of filters; else the filters (Li et
    al. 2017, https://arxiv.org/abs/1608.08710). Other parameters that channels are multiplied with
    count besides.
    """
    filters, factors, scales, users = (defaultdict[int, float](float) for _ in range(4))
    for member in group["members"]:
        tensor = old.get(member["name"])
        norms = None if tensor is None else _norms(member, tensor)
        if tensor is None or norms is None:
            continue
        if member["makes"]:
            kind = filters
        elif tensor.dim() > 1 if member["mixes"] is None else member["mixes"]:
            kind = users
        elif tensor.dim() > 1:
            kind = scales
        elif member["name"].endswith(".weight"):
            kind = factors
        else:  # what a norm layer has seen, and adds
            continue
        for channel, norm in norms.items():
            kind[channel] += norm
    return {
        channel: size * scales.get(channel, 1.0) * users.get(channel, 1.0)
        for channel, size in (factors or filters).items()
    }


def _norms(member: ChannelMember, tensor: Tensor) -> Mapping[int, float] | None:
    """The L2 norm of what a tensor has of each channel; None for one that has no such values."""
    channels, dim = from_runs(member["channels"]), member["dim"]
    if not tensor.is_floating_point() or tensor.shape[dim] != len(channels):
        return None
    squares = tensor.detach().double().movedim(dim, 0).reshape(len(channels), -1).square()
    sums: dict[int, float] = defaultdict(float)
    for channel, square in zip(channels, squares.sum(1).tolist(), strict=True):
        sums[channel] += square
    return {channel: total**0.5 for channel, total in sums.items()}


def places(cut: Cut, chosen: Chosen, sizes: tuple[int, int]) -> list[int] | None:
    """For each place of a dimension that in the old model has the first of `sizes`, in the new one
    the second: the old place it starts from, or FRESH. None where the two do not fit."""
    old, new = from_runs(cut["old"]), from_runs(cut["new"])
    if (len(old), len(new)) != sizes:
        return None
    at: dict[int, list[int]] = defaultdict(list)
    for place, channel in enumerate(old):
        at[channel].append(place)
    counts, seen = Counter(new), Counter[int]()
    found = []
    for channel in new:
        before = chosen.get(channel) if channel >= 0 else FRESH
        if before is None:
            found.append(FRESH)
            continue
        if len(at[before]) != counts[channel]:  # another size behind a flattening
            return None
        found.append(at[before][seen[channel]])
        seen[channel] += 1
    return found


def shared_out(tensor: Tensor, dim: int, chosen: Sequence[int]) -> Tensor:
    """A tensor that uses copies of channels, so that together they count for one.

    `chosen` is the old place of each place in the dimension. Shares are uneven, and other ones for
    each weight: copies with equal shares would get equal gradients, and be copies for ever.
    """
    kept = [place for place in chosen if place != FRESH]
    if len({*kept}) == len(kept):
        return tensor
    fresh = max(chosen) + 1  # all places that start from nothing are one
    numbers = torch.tensor([fresh if n == FRESH else n for n in chosen], device=tensor.device)
    generator = torch.Generator(tensor.device).manual_seed(0)
    shares = torch.rand(tensor.shape, generator=generator, device=tensor.device) + 0.5
    shape = [*tensor.shape]
    shape[dim] = fresh + 1
    sums = torch.zeros(shape, device=tensor.device).index_add_(dim, numbers, shares)
    return tensor * (shares / sums.index_select(dim, numbers)).to(tensor.dtype)
