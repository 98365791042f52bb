"""The space of a model's `__init__`, explored by running it."""

import logging
import os
import random
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, final

import numpy
import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from runner.config.instantiate import build
from runner.config.targets import locate
from runner.errors import ConfigError, Refused, RunnerError, SampleError, one_line, refusal
from runner.nn.values.build import draw
from runner.nn.values.build import sample as building
from runner.space.choice import Choice, JsonValue, key
from runner.space.sample import Chooser, DrawError, Sample, Walk, lookup
from runner.space.space import Space
from runner.trial import Metrics

log = logging.getLogger(__name__)

RECENT = 64  # outcomes of walks that are cached
BuildWay = Callable[[], AbstractContextManager[Any]]


@final
@dataclass(frozen=True)
class WalkOutcome:
    """What is remembered of a walk."""

    keys: Mapping[str, str]  # of the value of each choice
    choices: Mapping[str, Choice]
    sample: Sample
    refused: Refused | None
    figures: Metrics  # of the model, as far as they were asked for


@final
class ModelSpace(Space):
    """The choices of a model's `__init__`, which walks run without values if possible: on the meta
    device, else with parameters alone on it, else on the CPU."""

    def __init__(
        self, node: Mapping[str, Any], trust: Sequence[str], shape: Sequence[int] | None = None
    ) -> None:
        """Takes the config node of a model, and the `shape` of an example if it is known."""
        self.node = node
        self._shape = shape
        self.trust = trust
        self._ways: list[BuildWay] = [*WITHOUT_VALUES, partial(torch.device, "cpu")]
        self._latest: weakref.ref[nn.Module] | None = None  # built
        self._built = False  # whether any model was built
        self.classes = frozenset[type[nn.Module]]()  # of the modules of the first model
        self._asks = True  # False once a model was built without asking for a choice
        self._refuses = False
        self._recent: deque[WalkOutcome] = deque(maxlen=RECENT)
        self._figures: Callable[[nn.Module], Metrics] = lambda model: {}
        self._latest_figures: Metrics = {}  # of the model that was built last

    @property
    def refuses(self) -> bool:
        return self._refuses

    @property
    def slow(self) -> bool:
        return True

    def draw(self, choose: Chooser) -> Sample:
        if not self._asks:
            return {}
        answers = _MemoizedChooser(choose)
        error = self._run(answers)
        refused = error if isinstance(error, Refused) else None
        if error is None or refused is not None:
            keys = {label: key(value) for label, value in answers.given.items()}
            sample, figures = {**answers.given}, {} if refused else self._latest_figures
            self._recent.append(WalkOutcome(keys, answers.choices, sample, refused, figures))
        if refused is not None:
            self._refuses = True
            raise DrawError(str(refused), answers.given) from refused
        if error is not None:
            text = f"{self.node['_target_']} raised {one_line(error)}"
            raise DrawError(text, answers.given) from error
        self._asks = bool(answers.given)
        return answers.given

    def check(self, sample: Mapping[str, JsonValue]) -> None:
        """Raises Refused for a sample that the space's own code refuses. The sample may contain
        more labels than are asked; usually it was drawn recently and is not walked again."""
        known = self._remembered(sample)
        refused = self._refusal(sample) if known is None else known.refused
        if refused is not None:
            raise refused

    def rewalk(self, sample: Mapping[str, JsonValue]) -> Walk:
        """Returns the walk of a sample, which may contain more labels than are asked; one that was
        made recently is not made again."""
        known = self._remembered(sample)
        if known is None or known.refused is not None:
            return self.walk(lookup(sample))
        return Walk(lookup(sample), {**known.sample}, {**known.choices})

    def note_figures(self, figures: Callable[[nn.Module], Metrics]) -> None:
        """From now on, remembers some figures of the models that walks build."""
        self._figures = figures

    def figures(self, sample: Mapping[str, JsonValue]) -> Metrics:
        """Returns the figures of a sample's model, if it was built recently and had any."""
        known = self._remembered(sample)
        return {} if known is None else known.figures

    def _remembered(self, sample: Mapping[str, JsonValue]) -> WalkOutcome | None:
        """Returns the latest walk that a sample leads to, if one is remembered."""
        given = {label: key(value) for label, value in sample.items()}
        recent = reversed(self._recent)
        return next((one for one in recent if one.keys.items() <= given.items()), None)

    def _refusal(self, sample: Mapping[str, JsonValue]) -> Refused | None:
        """Returns why the space's own code refuses a sample, if it does."""
        try:
            return refusal(self.walk(lookup(sample)).broken)
        except SampleError:  # drawn in a way that broke before this choice; the trial will report
            return None

    def canonical(self, sample: Sample) -> Sample:
        """Returns the sample that stands for all whose model computes the same as this one's: what
        a static method `canonical_sample` of the model's class returns, if it has one."""
        same: Callable[[Sample], Sample] | None = getattr(self._kind, "canonical_sample", None)
        if same is None:
            return sample
        try:
            return same(sample)
        except KeyError:  # drawn in a way that broke before the last choice; the trial will report
            return sample

    @cached_property
    def _kind(self) -> object:
        return locate(self.node["_target_"], self.trust)

    def _run(self, answers: "_MemoizedChooser") -> BaseException | None:
        """Runs the model's `__init__`, without values if possible; returns the exception it
        raised."""
        for place, way in enumerate(self._ways):
            # Code that reads values, such as linspace(...)[0].item(), needs the next way.
            error = self._build(answers, way)
            if error is None or isinstance(error, Refused):
                self._settle(place)
                break
        return error

    def _settle(self, place: int) -> None:
        """Drops the ways before the one that succeeded."""
        if place and place == len(self._ways) - 1:
            log.info("%s cannot be built on meta; its samples are drawn on the CPU, which is "
                     "slower.", self.node["_target_"])  # fmt: skip
        del self._ways[:place]

    def _build(self, answers: "_MemoizedChooser", way: BuildWay) -> BaseException | None:
        """Runs the model's `__init__` in one way; returns the exception its own code raised."""
        try:
            with draw(answers) as sample, quiet(), way():
                model = build(self.node, self.trust)
            self._check_new(model)
            if text := _unfilled(model, self._shape):
                if not self._built:  # probably so for all samples
                    raise ConfigError(f"{self.node['_target_']}: {text}")
                return Refused(text)
            if not self._built:
                self._built, self.classes = True, frozenset(map(type, model.modules()))
            self._latest_figures = self._figures(model)
        except Refused as refused:
            return Refused(str(refused))  # without the traceback, which would keep the model alive
        except RunnerError:
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # also SystemExit, which would end the program
            if error is answers.error:
                raise
            return error
        finally:
            answers.given = sample
        return None

    def _check_new(self, model: nn.Module) -> None:
        """Raises ConfigError for a model that an earlier walk was given, too: the trials would
        train one model together, and its choices would be asked once."""
        if self._latest is not None and self._latest() is model:
            raise ConfigError(
                f"{self.node['_target_']} returns the same model each time; each trial needs a new "
                "one. Let it keep no model, in a cache or a global variable."
            )
        self._latest = weakref.ref(model)


def _unfilled(model: nn.Module, shape: Sequence[int] | None) -> str:
    """Returns a message if a model has an uninitialized lazy layer; otherwise "". `shape` is that
    of an example, if known."""
    for path, module in model.named_modules():
        if any(map(is_lazy, (*module._parameters.values(), *module._buffers.values()))):
            batch = ", ".join(map(str, (2, *(shape or (1, 8, 8)))))  # two: batch norms need them
            return _LAZY.format(path, type(module).__name__, batch)
    return ""


_LAZY = (
    "{0!r} ({1}) has no shapes until the model runs. Give it explicit sizes, or run the model once "
    "at the end of its __init__, on the shape of the data: self(torch.zeros({2})). If the model is "
    "not yours, name a function of your own as its _target_: it makes the model, runs it once, and "
    "returns it."
)


@final
class _MemoizedChooser:
    """A chooser that calls another one once per label, and records the exception it raised."""

    def __init__(self, choose: Chooser) -> None:
        self.choose = choose
        self.given: Sample = {}
        self.choices: dict[str, Choice] = {}
        self.error: Exception | None = None

    def __call__(self, choice: Choice) -> JsonValue:
        if choice.label in self.given:
            return self.given[choice.label]
        self.choices[choice.label] = choice
        try:
            with torch._C.DisableTorchFunction():  # a strategy's own tensors have values
                return self.choose(choice)
        except Exception as error:
            self.error = error
            raise


FILLS = tuple(
    getattr(torch.Tensor, f"{name}_")
    for name in ("bernoulli", "cauchy", "exponential", "fill", "geometric", "log_normal", "normal",
                 "random", "uniform", "zero")
)  # fmt: skip


@final
class ParametersOnMeta(TorchFunctionMode):
    """Allocates the parameters of layers on the meta device, and fills nothing there. Other
    tensors, whose values a constructor may read, are made as usual."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if func is torch.empty and given.get("device") is None:
            given["device"] = "meta"
        elif func in FILLS and args[0].is_meta:
            return args[0]
        elif getattr(func, "__module__", "") == torch.nn.init.__name__:
            return _only_checked(func, *args, **given)
        return func(*args, **given)


def _only_checked(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Returns a meta tensor as it is where a function of torch.nn.init would fill it, once that
    has filled a tensor of one element, since it may not accept its arguments."""
    tensor = args[0] if args else kwargs.get("tensor")
    if not (isinstance(tensor, torch.Tensor) and tensor.is_meta):
        return func(*args, **kwargs)
    one = torch.empty((1,) * tensor.dim(), device="cpu")
    if args:
        func(one, *args[1:], **kwargs)
    else:
        func(**{**kwargs, "tensor": one})
    return tensor


@contextmanager
def on_meta() -> Iterator[None]:
    """Makes all tensors on the meta device."""
    with torch.device("meta"), ParametersOnMeta():
        yield


WITHOUT_VALUES: tuple[BuildWay, ...] = (on_meta, ParametersOnMeta)


def build_sample(node: Mapping[str, Any], trust: Sequence[str], sample: Sample) -> nn.Module:
    """Returns the model that the space of a config node builds for a sample."""
    with building(sample):
        model: nn.Module = build(node, trust)
    return model


@contextmanager
def quiet() -> Iterator[None]:
    """Preserves the global settings that constructors change, such as the random state and the
    default dtype, and suppresses warnings about weights loaded on meta."""
    with torch.random.fork_rng([]), warnings.catch_warnings(), _kept():
        warnings.filterwarnings("ignore", ".*to a meta parameter", UserWarning)
        yield


@contextmanager
def _kept() -> Iterator[None]:
    """Puts back what a model may set for the whole process, which is not the model's own."""
    folder: Path | None = None
    with suppress(OSError):  # it may be deleted
        folder = Path.cwd()
    numbers, arrays = random.getstate(), numpy.random.get_state()
    dtype, device = torch.get_default_dtype(), torch.get_default_device()
    grad, threads = torch.is_grad_enabled(), torch.get_num_threads()
    try:
        yield
    finally:
        if folder is not None:
            with suppress(OSError):
                os.chdir(folder)
        random.setstate(numbers)
        numpy.random.set_state(arrays)
        torch.set_default_dtype(dtype)
        if torch.get_default_device() != device:
            torch.set_default_device(None if device.type == "cpu" else device)
        torch.set_grad_enabled(grad)
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
