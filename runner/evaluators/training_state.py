"""Training states of members: everything on which the rest of their training depends."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from runner.checkpoints import TrainingState
from runner.evaluators.member import Member
from runner.evaluators.model_tensors import OWN, named_tensors

# Settings of an optimizer that select a kind of step; they follow from the device.
KINDS = ("params", "fused", "foreach", "capturable", "differentiable")
PLAIN = (bool, int, float, str, type(None))


class NotPlain(ValueError):
    """A state that consists of more than tensors and plain values."""


def state_of(member: Member, epoch: int) -> TrainingState | None:
    """Returns the state of a member after so many epochs, copied to the CPU; None if its optimizer
    keeps something that is neither a tensor nor a plain value.

    It holds parameters, buffers, attributes of modules that are tensors or plain values, and the
    states of the optimizer and of the loss scaler. Random numbers depend on the epoch alone.
    """
    parts = dict(named_tensors(member.model))
    facts: dict[str, Any] = {"attributes": _attributes(member.model)}
    try:
        facts["optimizer"] = [
            _split(f"optimizer/{i}/", member.optimizer.state.get(own, {}), parts)
            for i, own in enumerate(_owned(member))
        ]
    except NotPlain:
        return None
    facts["settings"] = [
        {name: value for name, value in group.items() if _is_setting(name, value)}
        for group in member.optimizer.param_groups
    ]
    facts["scaler"] = member.scaler.state_dict()
    tensors = {
        name: part.detach().to("cpu", copy=True).contiguous() for name, part in parts.items()
    }
    return TrainingState(epoch, tensors, facts)


def fits(model: nn.Module, state: TrainingState) -> bool:
    """Returns whether a freshly built model can take the weights of a state."""
    found = dict(named_tensors(model))
    wanted = {name for name in state.tensors if not name.startswith("optimizer/")}
    return found.keys() == wanted and all(
        not is_lazy(part) and _kind(part) == _kind(state.tensors[name])
        for name, part in found.items()
    )


@torch.no_grad()
def restore(member: Member, state: TrainingState) -> None:
    """Puts a new member into a state, which must fit its model."""
    for name, part in named_tensors(member.model):
        saved = state.tensors[name].to(part.device)
        if not torch.equal(part, saved):  # a constant may be a view that cannot be written
            part.copy_(saved)
    modules = dict(member.model.named_modules())
    for place, values in state.facts["attributes"].items():
        modules[place].__dict__.update(values)  # not through `__setattr__` of the module
    for i, own in enumerate(_owned(member)):
        start = f"optimizer/{i}/"
        values = dict(state.facts["optimizer"][i])
        for name, tensor in state.tensors.items():
            if name.startswith(start):
                key = name.removeprefix(start)
                values[key] = _like(tensor, own, on_cpu=key == "step" and not _in_kernel(member))
        if values:
            member.optimizer.state[own] = values
    for group, settings in zip(member.optimizer.param_groups, state.facts["settings"], strict=True):
        group.update(settings)
    if scaler := state.facts["scaler"]:
        member.scaler.load_state_dict(scaler)


def _attributes(model: nn.Module) -> dict[str, dict[str, Any]]:
    """Returns the plain attributes of the modules of a model, by name."""
    found = {
        place: {
            name: value
            for name, value in vars(module).items()
            if name not in OWN and type(value) in PLAIN
        }
        for place, module in model.named_modules()
    }
    return {place: values for place, values in found.items() if values}


def _owned(member: Member) -> list[Tensor]:
    """Returns the parameters of the optimizer, in its order."""
    return [own for group in member.optimizer.param_groups for own in group["params"]]


def _split(start: str, values: Mapping[str, Any], tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Returns the plain values among some, and adds the others, which are tensors, to `tensors`,
    with `start` before their names. Raises NotPlain."""
    plain = {}
    for name, value in values.items():
        if isinstance(value, Tensor):
            tensors[f"{start}{name}"] = value
        elif type(value) in PLAIN:
            plain[name] = value
        else:
            raise NotPlain(name)
    return plain


def _is_setting(name: str, value: object) -> bool:
    return name not in KINDS and type(value) in PLAIN


def _in_kernel(member: Member) -> bool:
    """Returns whether the optimizer counts its steps on the device."""
    groups = member.optimizer.param_groups
    return any(group.get("fused") or group.get("capturable") for group in groups)


def _like(tensor: Tensor, own: Tensor, *, on_cpu: bool) -> Tensor:
    """Returns a state of a parameter where it was: on its device, with its memory format."""
    if tensor.shape == own.shape and tensor.dim():
        return torch.empty_like(own, dtype=tensor.dtype).copy_(tensor)
    return tensor.clone() if on_cpu else tensor.to(own.device, copy=True)


def _kind(tensor: Tensor) -> tuple[torch.Size, torch.dtype]:
    return tensor.shape, tensor.dtype
