"""Reports what a model inherited, as a fraction and in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

from torch import Tensor, nn

from runner.graph.weight_transfer.apply import WHOLE, Taken
from runner.graph.weight_transfer.comparison import Verdict
from runner.graph.weight_transfer.identity_init import NEITHER

FRESH = "first values of its own"


@final
@dataclass(frozen=True)
class Gift:
    """The contribution of one model: its name in words, and the tensors inherited from it."""

    whom: str
    taken: Mapping[str, Taken]


@final
@dataclass(frozen=True)
class Claim:
    """The claim that a model computes the function of the one it derives from: the comparison on an
    example, and the mutations that explain a difference."""

    whom: str
    verdict: Verdict
    reasons: Sequence[str] = ()

    @property
    def failed(self) -> bool:
        """Whether outputs differ without an explanation."""
        verdict = self.verdict
        return verdict.off is not None and not verdict.equal and not self.reasons

    def __str__(self) -> str:
        verdict = self.verdict
        if verdict.off is None:
            return f"not compared with {self.whom}: {verdict.why}."
        if verdict.equal:
            return f"equal: in eval mode, its outputs on an example equal those of {self.whom}."
        off = f"not equal: on an example its outputs are off by {verdict.off:.2g} from those of "
        if self.failed:
            return (
                f"{off}{self.whom}. WARNING: no mutation explains this; an operation over all of "
                "the changed channels (a softmax, a sum, a norm) may. Tensors of a different "
                "size do not count as inherited."
            )
        more = f" and {len(self.reasons) - 1} more" if len(self.reasons) > 1 else ""
        return f"{off}{self.whom}: {self.reasons[0]}{more}."


def share(model: nn.Module, gifts: Sequence[Gift], *, whole: bool = False) -> float:
    """Returns the fraction of the parameters of a model, by number of elements, that was inherited;
    with `whole`, only tensors of unchanged size count."""
    sizes: dict[int, int] = {}
    taken: dict[int, int] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        given = [gift.taken[name] for gift in gifts if name in gift.taken]
        counted = [one.elements for one in given if one.how == WHOLE or not whole]
        sizes[id(parameter)] = parameter.numel()
        taken[id(parameter)] = max([taken.get(id(parameter), 0), *counted])
    return sum(taken.values()) / max(sum(sizes.values()), 1)


def report(
    model: nn.Module,
    gifts: Sequence[Gift],
    identities: Mapping[str, str],
    notes: Sequence[str],
    claim: Claim | None = None,
) -> str:
    """Returns a report with one line for each module with tensors, or for each of its tensors if
    they differ, and one for each inserted module. Later gifts override earlier ones."""
    count = sum(parameter.numel() for parameter in model.parameters())
    part = share(model, gifts, whole=claim is not None and claim.failed)
    said = [] if claim is None else [str(claim)]
    lines = [f"{_percent(part)} of {count:,} parameters are inherited.", *said, *notes, ""]
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


def _percent(part: float) -> str:
    """Returns a fraction in percent; 100 only if it is complete."""
    return f"{part if part == 1 else min(part, 0.999):.1%}"


def _said(
    model: nn.Module, gifts: Sequence[Gift], identities: Mapping[str, str]
) -> Mapping[str, Mapping[str, str]]:
    """Returns how each tensor was initialized, by the path of its module and its name there."""
    said: dict[str, dict[str, str]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if not isinstance(tensor, Tensor) or not tensor.dim():  # num_batches_tracked
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
