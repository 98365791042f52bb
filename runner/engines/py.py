"""The engine `py`: choices are resolved while the model's own Python runs."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

from torch import nn

from runner.config.python_source import PythonSource, literal
from runner.engines.engine import Engine, ModelSource
from runner.engines.example import Example
from runner.engines.model_space import ModelSpace, build_sample
from runner.errors import ConfigError
from runner.graph.codegen.carried_source.bundle import Bundle
from runner.graph.codegen.carried_source.packages import is_own
from runner.space.sample import Sample, sample_key
from runner.trial import Job, Trial


@final
class PyEngine(Engine):
    """A trial's recipe contains the space's config node and the sample."""

    def __init__(
        self,
        *,
        space: Mapping[str, Any],
        mutators: Sequence[Mapping[str, Any]] = (),
        trust: Sequence[str] = (),
        data: Mapping[str, Any] | None = None,
    ) -> None:
        """Stores the config. `data` is the config node of the training data, of which examples are
        taken to validate source."""
        if mutators:
            raise ConfigError(
                "space.mutators modify the graph of a model, which engine=py does not create; "
                "run with engine=base."
            )
        self.space: ModelSpace = ModelSpace(space, trust)
        self.walked = self.space
        self._space, self._trust = dict(space), [*trust]
        self._example = Example(None if data is None else data.get("shape"), data, trust)

    def key(self, sample: Sample) -> str:
        self.space.check(sample)
        return sample_key(self.space.canonical(sample))

    def plan(self, trials: Sequence[Trial], jobs: int = 1) -> Iterable[Job]:
        for trial in trials:
            recipe = {"space": self._space, "trust": self._trust, "sample": trial.sample}
            yield Job.of([trial], [recipe])

    @staticmethod
    def build(recipe: Mapping[str, Any], folder: Path | None = None) -> nn.Module:
        return build_sample(recipe["space"], recipe["trust"], recipe["sample"])

    def source(self, trial: Trial, *, standalone: bool = False) -> ModelSource:
        if standalone:
            from runner.engines.built_model import written_model  # here: it imports the compiler

            return written_model(self._space, self._trust, trial.sample, self._example)
        code = PythonSource(self._trust)
        model = code.expression(self._space, indent=2)
        imports = "\n".join(sorted(code.imports))
        if code.folders:  # user modules that are not installed
            imports = f"import sys\n\nsys.path += {sorted(code.folders)!r}\n\n{imports}"
        sample = literal(trial.sample)  # of a record, which somebody else may have written
        return ModelSource(SOURCE.format(imports=imports, sample=sample, model=model))

    def check_source(self, sample: Sample) -> None:
        # All classes of the default model could be brought along: then no model needs an import.
        # Otherwise the source of that model tells.
        bundle = Bundle(lambda statement, name: name)
        classes = [cls for cls in self.space.classes if is_own(cls.__module__) and not _of_nn(cls)]
        targets = [f"{cls.__module__}:{cls.__qualname__}" for cls in classes]
        if any(bundle.name(target, base=True) is None for target in targets):
            super().check_source(sample)


def _of_nn(cls: type) -> bool:
    """Returns whether a class is a choice of runner.nn, which graphs resolve."""
    return cls.__module__.startswith("runner.nn.")


SOURCE = '''
from torch import nn

from runner.nn import sample
{imports}

SAMPLE = {sample}


def build() -> nn.Module:
    """The model with fresh weights."""
    with sample(SAMPLE):
        return {model}
'''
