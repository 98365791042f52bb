"""What TorchScript read of a module, with its doubts about that."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from torch import nn

from runner.graph.class_source.bytecode_names import used_by
from runner.graph.frontend.reading.opaque import is_opaque
from runner.graph.frontend.reading.read_module import Caller, ReadModule
from runner.graph.frontend.torchscript.compilation.pruned_type_tests import (
    pruned_result,
    pruned_test,
)
from runner.graph.frontend.torchscript.module_type import CompiledType
from runner.graph.frontend.torchscript.object_types import is_known


@final
@dataclass(eq=False)
class LoweredModule(ReadModule):
    """The lowered methods of a compiled type.

    `types` are the compiled types of all modules of the model, by id; `results_vary` is whether a
    choice of the model may return another type than TorchScript assumed.
    """

    compiled: CompiledType = field(kw_only=True)
    types: Mapping[int, CompiledType] = field(kw_only=True)
    results_vary: bool = field(kw_only=True)

    def doubt(self, module: nn.Module, caller: Caller) -> str:
        if text := self._unknown(module):
            return text
        if caller != "read":
            text = pruned_test(module, self.functions, is_root=caller == "user")
            if text:
                return text
        return pruned_result(module, self.functions) if self.results_vary else ""

    def _unknown(self, module: nn.Module) -> str:
        """Returns which attribute that the methods of a module read is an object that disagrees
        with its type; "" if there is none."""
        for place, name in self.reads:
            owner = place.below(module)
            value = vars(owner).get(name)
            if value is None or is_opaque(owner):
                continue
            if not is_known(self.types[id(owner)], name, value):
                return _OF_CLASS.format(name, type(value).__name__)
        for name in used_by(module, self.functions):
            value = vars(module).get(name)
            if value is not None and not is_known(self.compiled, name, value):
                return _OF_CLASS.format(name, type(value).__name__)
        return ""


_OF_CLASS = "self.{} is a {}, of which TorchScript may know only a part"
