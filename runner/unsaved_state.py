"""What of a model its weights do not hold: attributes and constants that differ when it is built
again, and by which an exported model differs from the one that was trained."""

from collections.abc import Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from runner.errors import few
from runner.masking import masker

REMEDY = (
    "weights do not hold that; make it a persistent buffer (self.register_buffer), or compute it "
    "from the arguments of the constructor"
)
_PLAIN = (bool, int, float, complex, str)


def unsaved_difference(
    model: nn.Module, exported: nn.Module, source: ModuleType | None = None
) -> str:
    """Returns which attribute or constant of an exported model, or of its source, is another
    than that of the trained one, and what to do about it; "" if none is found."""
    trained = dict(model.named_modules())
    attributes = [
        f"{path}.{name}" if path else name
        for path, module in exported.named_modules() if path in trained
        for name in _different(_unsaved(module), _unsaved(trained[path]))
    ]  # fmt: skip
    constants = [
        f"{name} of {names.get('__name__')}"
        for names in _globals(model)
        for name in _different({} if source is None else vars(source), names)
    ]
    kind, found = ("attribute", attributes) if attributes else ("constant", constants)
    if not found:
        return ""
    kind = f"{kind}s" if len(found) > 1 else kind
    return f"the {kind} {few(found, 3)} {'differ' if len(found) > 1 else 'differs'}: {REMEDY}"


def _unsaved(module: nn.Module) -> dict[str, Any]:
    """Returns the attributes of one module that are in no state_dict."""
    loose = {name: module._buffers[name] for name in module._non_persistent_buffers_set}
    return {**{k: v for k, v in vars(module).items() if not k.startswith("_")}, **loose}


def _globals(model: nn.Module) -> Iterator[Mapping[str, Any]]:
    """Yields the names of the modules that define the classes of a model."""
    seen: set[int] = set()
    for cls in dict.fromkeys(type(module) for module in model.modules()):
        if isinstance(cls.forward, FunctionType) and not cls.__module__.startswith("torch."):
            names = cls.forward.__globals__
            if id(names) not in seen:
                seen.add(id(names))
                yield names


def _different(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[str]:
    for name, value in ours.items():
        if name in theirs and not name.startswith("__") and not _is_same(value, theirs[name]):
            yield name


def _is_same(ours: Any, theirs: Any) -> bool:
    """Returns whether two values are equal, or cannot be compared."""
    if isinstance(ours, Tensor) and isinstance(theirs, Tensor):
        same = ours.shape == theirs.shape and ours.dtype == theirs.dtype
        return same and (ours.is_meta or theirs.is_meta or bool(torch.equal(ours, theirs)))
    if isinstance(ours, str) and isinstance(theirs, str):  # no source has a secret
        return ours in (theirs, masker.clean(theirs))
    if isinstance(ours, _PLAIN) and isinstance(theirs, _PLAIN):
        return ours == theirs or ours != ours
    return True
