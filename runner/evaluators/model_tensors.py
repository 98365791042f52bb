"""The tensors of a model: parameters, buffers, and those that are plain attributes of modules."""

from collections.abc import Iterator

from torch import Tensor, nn

OWN = frozenset(vars(nn.Module()))  # attributes that every module has


def named_tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yields the parameters and buffers of a model, and the tensors among its attributes, each
    once, by name."""
    for name, parameter in model.named_parameters():
        yield f"parameter/{name}", parameter
    for name, buffer in model.named_buffers():
        yield f"buffer/{name}", buffer
    seen: set[int] = set()
    for place, module in model.named_modules():
        for name, value in vars(module).items():
            if name not in OWN and type(value) is Tensor and id(value) not in seen:
                seen.add(id(value))
                yield f"attribute/{place}/{name}", value
