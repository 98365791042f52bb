"""ModelSpace: what a model's `__init__` asks for, found by running it."""

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, final

import torch

from runner.choice import Choice, Value
from runner.errors import RunnerError, one_line
from runner.nn.build import draw
from runner.space import Space
from runner.targets import build
from runner.walk import Chooser, DrawError, Sample

log = logging.getLogger(__name__)


@final
class ModelSpace(Space):
    """What a model's `__init__` asks for. Walked by running it, on the meta device: no memory, no
    random numbers."""

    def __init__(self, node: Mapping[str, Any], trust: Sequence[str]) -> None:
        self.node = node
        self.trust = trust
        self._device = "meta"
        self._asks = True  # whether there may be a choice; a model that asked nothing never does

    def draw(self, choose: Chooser) -> Sample:
        if not self._asks:
            return {}
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
        self._asks = bool(answers.given)
        return answers.given

    def _build(self, answers: "_Answers") -> Exception | None:
        """Run the model's `__init__`; gives what its own code raised."""
        try:
            with draw(answers) as sample, torch.device(self._device), quiet():
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


@contextmanager
def quiet() -> Iterator[None]:
    """Leave the program's random numbers as they are, and say nothing of weights that a model on
    meta loads in vain."""
    with torch.random.fork_rng([]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*to a meta parameter", UserWarning)
        yield
