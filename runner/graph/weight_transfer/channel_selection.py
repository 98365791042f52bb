"""Selects which channels of an old model initialize those of a new one."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from runner.graph.weight_transfer.plan import ChannelGroup, ChannelMember, Cut
from runner.graph.weight_transfer.run_length import from_runs

Chosen = Mapping[int, int]  # new channel -> old channel
FRESH = -1  # the place of a channel that inherits nothing


def choose(group: ChannelGroup, old: Mapping[str, Tensor]) -> Chosen:
    """Returns the old channel for each new one of a group, separately for each class of channels
    used alike.

    If there are fewer new channels, the most important old ones are kept in order. If there are
    more, all old ones keep their places, and the most important ones are repeated after them
    (Net2Wider, Chen et al. 2016, https://arxiv.org/abs/1511.05641).
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
    """Returns the importance of each channel: the L2 norm of the weights that use it, times that of
    the weights that determine its magnitude.

    The latter are the scales of norm layers after it, if any (Liu et al. 2017,
    https://arxiv.org/abs/1708.06519), since these cancel the magnitude of filters; otherwise the
    filters (Li et al. 2017, https://arxiv.org/abs/1608.08710). Other parameters that multiply
    channels count as additional factors.
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
        else:  # biases and running statistics
            continue
        for channel, norm in norms.items():
            kind[channel] += norm
    return {
        channel: size * scales.get(channel, 1.0) * users.get(channel, 1.0)
        for channel, size in (factors or filters).items()
    }


def _norms(member: ChannelMember, tensor: Tensor) -> Mapping[int, float] | None:
    """Returns the L2 norm of the part of a tensor that belongs to each channel; None if the tensor
    is not floating-point or has another size."""
    channels, dim = from_runs(member["channels"]), member["dim"]
    if not tensor.is_floating_point() or tensor.shape[dim] != len(channels):
        return None
    squares = tensor.detach().double().movedim(dim, 0).reshape(len(channels), -1).square()
    sums: dict[int, float] = defaultdict(float)
    for channel, square in zip(channels, squares.sum(1).tolist(), strict=True):
        sums[channel] += square
    return {channel: total**0.5 for channel, total in sums.items()}


def places(cut: Cut, chosen: Chosen, sizes: tuple[int, int]) -> list[int] | None:
    """Returns the old place, or FRESH, for each new place of a dimension; `sizes` are its size in
    the old and in the new model. Returns None if the channels do not match."""
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
        if len(at[before]) != counts[channel]:  # another size after flattening
            return None
        found.append(at[before][seen[channel]])
        seen[channel] += 1
    return found


def shared_out(tensor: Tensor, dim: int, chosen: Sequence[int]) -> Tensor:
    """Scales a tensor that uses copies of channels, so that the copies together count as one.

    `chosen` is the old place for each place of the dimension. Shares are random and differ by
    weight: copies with equal shares would receive equal gradients, and remain copies forever.
    """
    kept = [place for place in chosen if place != FRESH]
    if len({*kept}) == len(kept):
        return tensor
    fresh = max(chosen) + 1  # shared by all places that inherit nothing
    numbers = torch.tensor([fresh if n == FRESH else n for n in chosen], device=tensor.device)
    generator = torch.Generator(tensor.device).manual_seed(0)
    shares = torch.rand(tensor.shape, generator=generator, device=tensor.device) + 0.5
    shape = [*tensor.shape]
    shape[dim] = fresh + 1
    sums = torch.zeros(shape, device=tensor.device).index_add_(dim, numbers, shares)
    return tensor * (shares / sums.index_select(dim, numbers)).to(tensor.dtype)
