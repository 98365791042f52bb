"""What a model inherited, as a share and in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from torch import Tensor, nn

from runner.graph.inheriting.apply import Taken
from runner.graph.inheriting.identity import NEITHER

FRESH = "first values of its own"


@final
@dataclass(frozen=True)
class Gift:
    """What one model gave: its name in words, and what was taken over of it."""

    whom: str
    taken: Mapping[str, Taken]


def share(model: nn.Module, gifts: Sequence[Gift]) -> float:
    """The share of a model's parameters, by the number of elements, that were taken over."""
    sizes: dict[int, int] = {}
    taken: dict[int, int] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        given = (gift.taken[name].elements for gift in gifts if name in gift.taken)
        sizes[id(parameter)] = parameter.numel()
        taken[id(parameter)] = max([taken.get(id(parameter), 0), *given])
    return sum(taken.values()) / max(sum(sizes.values()), 1)


def report(
    model: nn.Module, gifts: Sequence[Gift], identities: Mapping[str, str], notes: Sequence[str]
) -> str:
    """A line for each module with tensors, or for each of its tensors where they differ, and one
    for each inserted module. Later gifts replaced what earlier ones gave."""
    count = sum(parameter.numel() for parameter in model.parameters())
    lines = [f"{share(model, gifts):.1%} of {count:,} parameters are inherited.", *notes, ""]
    rows: list[tuple[str, str]] = []
    for path, found in _said(model, gifts, identities).items():
        if len({*found.values()}) == 1:
            rows.append((path or "(the model)", next(iter(found.values()))))
        else:
            rows += [(f"{path}.{name}".lstrip("."), text) for name, text in found.items()]
    rows += [
        (path, f"inserted: {how}")
        for path, how in identities.items()
        if how == NEITHER or not any(row[0].startswith(path) for row in rows)
    ]
    width = max((len(path) for path, _ in rows), default=0)
    return "\n".join([*lines, *(f"{path:{width}}  {text}" for path, text in rows), ""])


def _said(
    model: nn.Module, gifts: Sequence[Gift], identities: Mapping[str, str]
) -> Mapping[str, Mapping[str, str]]:
    """What became of each tensor, by the path of its module and its name there."""
    said: dict[str, dict[str, str]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if not isinstance(tensor, Tensor) or not tensor.dim():  # counters of batches
            continue
        path, _, last = name.rpartition(".")
        text = FRESH
        for inserted, how in identities.items():
            if f"{name}.".startswith(f"{inserted}.") and how != NEITHER:
                text = f"inserted: {how}"
        for gift in gifts:
            if name in gift.taken:
                text = f"{gift.taken[name].how}, from {gift.whom}"
        said.setdefault(path, {})[last] = text
    return said
