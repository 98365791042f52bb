"""Engine `py`: choices are decided while the model's own Python runs."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, final

import torch
from torch import nn

from runner.choice import Choice, Value
from runner.engines.engine import Engine
from runner.errors import RunnerError, one_line
from runner.nn.build import draw
from runner.nn.build import sample as building
from runner.source import Source
from runner.space import Space
from runner.targets import build
from runner.trial import Job, Trial
from runner.walk import Chooser, DrawError, Sample

log = logging.getLogger(__name__)


@final
class PyEngine(Engine):
    """A job's recipe is the space's config node and the sample."""

    def __init__(self, space: Mapping[str, Any], trust: Sequence[str]) -> None:
        self.space = ModelSpace(space, trust)
        self._recipe = {"space": dict(space), "trust": [*trust]}

    def plan(self, trials: Sequence[Trial]) -> Iterable[Job]:
        for trial in trials:
            recipe = {**self._recipe, "sample": trial.sample}
            yield Job([trial.number], [trial.seed], [trial.sample], recipe)

    @staticmethod
    def build(recipe: Mapping[str, Any]) -> Sequence[nn.Module]:
        with building(recipe["sample"]):
            return [build(recipe["space"], recipe["trust"])]

    @staticmethod
    def source(recipe: Mapping[str, Any], index: int) -> str:
        code = Source(recipe["trust"])
        model = code.expression(recipe["space"], indent=2)
        imports = "\n".join(sorted(code.imports))
        if code.folders:  # the user's own modules, found where they were
            imports = f"import sys\n\nsys.path += {sorted(code.folders)!r}\n\n{imports}"
        return SOURCE.format(imports=imports, sample=code.expression(recipe["sample"]), model=model)


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


@final
class ModelSpace(Space):
    """What a model's `__init__` asks for. Walked by running it, on the meta device: no memory, no
    random numbers."""

    def __init__(self, node: Mapping[str, Any], trust: Sequence[str]) -> None:
        self.node = node
        self.trust = trust
        self._device = "meta"

    def draw(self, choose: Chooser) -> Sample:
        answers = _Answers(choose)
        error = self._build(answers)
        if error is not None and self._device == "meta":
            # Code that looks at values, such as linspace(...)[0].item(), cannot run on meta.
            self._device = "cpu"
            if (error := self._build(answers)) is None:
                log.info("%s cannot be built on meta; its samples are drawn on the CPU, which is "
                         "slower.", self.node["_target_"])  # fmt: skip
            else:
                self._device = "meta"
        if error is not None:
            text = f"{self.node['_target_']} raised {one_line(error)}"
            raise DrawError(text, answers.given) from error
        return answers.given

    def _build(self, answers: "_Answers") -> Exception | None:
        """Run the model's `__init__`; gives what its own code raised."""
        try:
            with draw(answers) as sample, torch.device(self._device), torch.random.fork_rng([]):
                build(self.node, self.trust)
        except RunnerError:
            raise
        except Exception as error:
            if error is answers.error:
                raise
            return error
        finally:
            answers.given = sample
        return None


@final
class _Answers:
    """A chooser that asks another one once per label, and remembers what that one raised."""

    def __init__(self, choose: Chooser) -> None:
        self.choose = choose
        self.given: Sample = {}
        self.error: Exception | None = None

    def __call__(self, choice: Choice) -> Value:
        if choice.label in self.given:
            return self.given[choice.label]
        try:
            return self.choose(choice)
        except Exception as error:
            self.error = error
            raise
