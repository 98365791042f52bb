"""Reads the modules of a model through TorchScript: compiles their types, and lowers these."""

from typing import final

from torch import Tensor, nn

from runner.graph.frontend.reading.opaque import is_opaque
from runner.graph.frontend.torchscript.compilation.choice_result_types import may_return_other_types
from runner.graph.frontend.torchscript.compilation.compile import compiled
from runner.graph.frontend.torchscript.lowering.lower import lower
from runner.graph.frontend.torchscript.reading.lowered_module import LoweredModule
from runner.graph.ir.function import Function


@final
class TorchScriptFrontEnd:
    """The front end that reads what TorchScript compiles."""

    def read(
        self, model: nn.Module, functions: dict[str, Function], tensors: dict[str, Tensor]
    ) -> dict[int, LoweredModule]:
        """Returns the read modules of a model by their ids; see `FrontEnd.read`."""
        with compiled(model) as compiled_model:
            types = lower(compiled_model, functions, tensors)
        varies = may_return_other_types(model, compiled_model.types)
        read = {
            lowered: LoweredModule(
                lowered.problem, lowered.functions, lowered.reads,
                compiled=lowered.compiled, types=compiled_model.types, results_vary=varies,
            )
            for lowered in types.values()
        }  # fmt: skip
        return {id(m): read[types[id(m)]] for m in model.modules() if not is_opaque(m)}
