"""Applies a transfer plan: copies the values of an old model into a new one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from runner.graph.weight_transfer.channel_selection import FRESH, Chosen, choose, places, shared_out
from runner.graph.weight_transfer.identity_init import EXACT, start_as_identity
from runner.graph.weight_transfer.plan import Cut, TransferPlan, source

WHOLE = "whole"


@final
@dataclass(frozen=True)
class Taken:
    """The inheritance of a tensor: how many of its elements, and in which way."""

    elements: int
    how: str


@torch.no_grad()
def take_over(model: nn.Module, plan: TransferPlan, old: Mapping[str, Tensor]) -> dict[str, Taken]:
    """Copies tensors from the state_dict of an old model; returns what was inherited, by name.

    All other tensors keep their values. Tensors of equal size are copied as a whole, those with
    narrower or wider groups of channels channel by channel, and kernels of other sizes around the
    center.
    """
    chosen = [choose(group, old) for group in plan["groups"]]
    taken: dict[str, Taken] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        before = old.get(source(name, plan["moves"]) or "")
        if not isinstance(tensor, Tensor) or before is None:
            continue
        if tensor.is_floating_point() != before.is_floating_point():
            continue
        fitting = _Fitting(name, model, tensor, before.detach().to(tensor.device))
        if fitting.cut(plan["cuts"].get(name, {}), chosen) and fitting.resize():
            taken[name] = fitting.put()
    return _under_all_names(model, taken)


def _under_all_names(model: nn.Module, taken: Mapping[str, Taken]) -> dict[str, Taken]:
    """Returns what was inherited, with tied tensors under each of their names."""
    state = model.state_dict(keep_vars=True)
    known = {id(state[name]): one for name, one in taken.items()}
    return {name: taken.get(name, known[id(t)]) for name, t in state.items() if id(t) in known}


def narrowed(model: nn.Module, plan: TransferPlan, old: Mapping[str, Tensor]) -> list[str]:
    """Returns the tensors of a model that are smaller, in some dimension, than those they
    inherit."""
    pairs = {
        name: (tensor, old.get(source(name, plan["moves"]) or ""))
        for name, tensor in model.state_dict(keep_vars=True).items()
    }
    return [
        name
        for name, (tensor, before) in pairs.items()
        if isinstance(tensor, Tensor) and before is not None and tensor.dim() == before.dim()
        if any(new < size for new, size in zip(tensor.shape, before.shape, strict=True))
    ]


def start_identities(model: nn.Module, plan: TransferPlan) -> dict[str, str]:
    """Initializes inserted modules as identities; returns by path how close each is to one."""
    said = {path: start_as_identity(model.get_submodule(path)) for path in plan["identity"]}
    return said | dict.fromkeys(plan["ready"], EXACT)


@final
class _Fitting:
    """A tensor on its way from the old shape to the new one."""

    def __init__(self, name: str, model: nn.Module, tensor: Tensor, value: Tensor) -> None:
        path, _, self.name = name.rpartition(".")
        self.module = model.get_submodule(path)
        self.tensor = tensor  # of the new model
        self.value = value  # of the old one
        self.known = torch.ones((), dtype=torch.bool, device=value.device)
        self.part = 1.0  # the fraction of the kernel that was there before
        self.how: list[str] = []

    def cut(self, cuts: Mapping[str, Cut], chosen: list[Chosen]) -> bool:
        """Selects the chosen channels in all dimensions that have some; returns whether the sizes
        match."""
        if self.tensor.dim() != self.value.dim():
            return False
        for dim, cut in ((int(dim), cut) for dim, cut in cuts.items()):
            size, wanted = self.value.shape[dim], self.tensor.shape[dim]
            found = places(cut, chosen[cut["group"]], (size, wanted))
            if found is None:
                return False
            self._pick(dim, found)
            mixes = cut["mixes"]
            if cut["uses"] and (self._mixes(dim) if mixes is None else mixes):
                self.value = shared_out(self.value, dim, found)
            if size != wanted:
                change = f"widened to {wanted}" if wanted > size else f"of {size}"
                first = size if wanted > size else wanted
                self.how.append(f"{first} {change} in dimension {dim}")
        return True

    def _pick(self, dim: int, found: list[int]) -> None:
        """Selects these places of a dimension; those that are FRESH have no known value."""
        numbers = torch.tensor(found, dtype=torch.long, device=self.value.device)
        self.value = self.value.index_select(dim, numbers.clamp(min=0))
        shape = [1] * self.value.dim()
        shape[dim] = -1
        self.known = self.known & (numbers != FRESH).view(shape)

    def _mixes(self, dim: int) -> bool:
        """Returns whether the module sums over a dimension of its input with these weights."""
        if isinstance(self.module, _ConvTransposeNd):
            return dim == 0 and self.module.groups == 1 and self.name == "weight"
        if isinstance(self.module, nn.LayerNorm | nn.RMSNorm):
            return False
        return dim > 0

    def resize(self) -> bool:
        """Crops or pads the kernel of a convolution; returns whether the shapes match now."""
        old, new = self.value.shape, self.tensor.shape
        if old == new:
            return True
        conv = isinstance(self.module, _ConvNd) and self.name == "weight"
        if not conv or old[:2] != new[:2]:
            return False
        self.how.append(f"kernel of {_times(old[2:])} brought to {_times(new[2:])}")
        known = self.known.expand(old)
        for dim in range(2, len(new)):
            self.part *= min(old[dim], new[dim]) / new[dim]
            start = (old[dim] - new[dim]) // 2
            if start >= 0:
                self.value = self.value.narrow(dim, start, new[dim])
                known = known.narrow(dim, start, new[dim])
        self.value, self.known = _padded(self.value, new, 0), _padded(known, new, True)
        return True

    def put(self) -> Taken:
        """Copies the values into the new tensor."""
        old = self.value.to(self.tensor.dtype)
        self.tensor.copy_(torch.where(self.known, old, self.tensor))
        elements = int(self.known.expand(self.tensor.shape).sum()) * self.part
        return Taken(round(elements), ", ".join(self.how) or WHOLE)


def _padded(tensor: Tensor, shape: torch.Size, value: float) -> Tensor:
    """Returns a kernel padded with a constant on all sides."""
    pads: list[int] = []
    for dim in range(tensor.dim() - 1, 1, -1):
        more = shape[dim] - tensor.shape[dim]
        pads += [more // 2, more - more // 2]
    return nn.functional.pad(tensor, pads, value=value)


def _times(sizes: torch.Size) -> str:
    return "x".join(map(str, sizes))
