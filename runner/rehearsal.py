"""Rehearsal: the default model is run on a few examples, before a search starts."""

import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, final

import torch
from torch import nn

from runner.config.data_sizes import differing_sizes, unset_sizes
from runner.config.instantiate import build
from runner.config.settings import STANDALONE, Settings
from runner.data.data import Batch, Data
from runner.data.dataset import TorchDataset
from runner.engines.engine import Engine
from runner.engines.model_space import quiet
from runner.errors import (
    ConfigError,
    Refused,
    RunnerError,
    causes,
    is_out_of_memory,
    message,
    one_line,
    place,
    refusal,
)
from runner.evaluators.evaluator import Evaluator
from runner.preflight import check_metrics
from runner.space.sample import DrawError, Sample, generator
from runner.training.devices import devices
from runner.training.process_state import ProcessState

log = logging.getLogger(__name__)

EXAMPLES = 2
OTHERS = 8  # random samples that are tried if the default model fails
BIG = 10**8  # parameters from which a model has no values, so that it costs neither time nor memory
SIZES = "Its size comes from data.shape and from the sizes in space; choose smaller ones."
CPU, META = torch.device("cpu"), torch.device("meta")


def rehearse(settings: Settings, engine: Engine) -> None:
    """Runs the default model on two examples as training would, forwards and backwards.

    If that fails, tries real examples, the device of the training and a whole batch, and then
    other samples. Logs a warning if exported models cannot stand alone.
    Raises ConfigError if nothing works; logs a warning if only the default model fails.
    """
    state = ProcessState()
    try:
        _rehearse(Rehearsal(settings, engine), engine)
        if settings.export.source == STANDALONE and settings.export.top:
            _check_source(engine)
    except KeyboardInterrupt:
        raise
    except Exception as error:
        if is_out_of_memory(error):  # of an engine that converts a model
            raise _explained(error) from error
        raise
    except BaseException as error:  # SystemExit of a model that an engine runs to convert it
        raise _explained(error) from error
    finally:  # the trials start as if no model had run
        state.restore()


def _check_source(engine: Engine) -> None:
    """Logs a warning if exported models cannot stand alone: now, not at the end of the search."""
    try:
        engine.check_source(engine.space.default())
    except (DrawError, Refused):  # others may have a valid model
        return
    except ConfigError as error:
        log.warning("Exported models will import your code: %s", message(error))


def _rehearse(rehearsal: "Rehearsal", engine: Engine) -> None:
    try:
        failure = rehearsal.failure(engine.space.default())
    except (DrawError, Refused) as error:
        if refusal(error) is None:
            raise
        return  # others are drawn in the search
    if failure is None:
        return
    if any(rehearsal.works(number) for number in range(OTHERS)):
        log.warning("The model of all first candidates fails, but others do not: %s", failure)
        return
    raise failure


@final
class Rehearsal:
    """Runs models of a search on a few examples."""

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._engine = engine
        self._settings = settings
        self._seed = settings.seed
        self._evaluator: Evaluator = build(settings.evaluator, settings.trust)
        self._data: Data = build(settings.data, settings.trust)
        self._device = settings.training.get("device", "cpu")
        self._differences = "; ".join(differing_sizes(settings.space, settings.data))
        unset = unset_sizes(settings.space, settings.data, settings.trust)
        self._sizes = "; ".join(filter(None, (self._differences, *unset)))  # of a failure

    def failure(self, sample: Sample) -> ConfigError | None:
        """Returns what `run` does, with the sizes in the config that do not fit each other. Warns
        of them if the evaluator does not say what it needs."""
        found = self.run(sample)
        untold = self._evaluator.targets is None and self._evaluator.trains
        if found is None and self._differences and untold:
            log.warning("%s.", self._differences)
        if found is None or not self._sizes:
            return found
        whole = ConfigError(f"{str(found).rstrip('.')}. In the config, {self._sizes}.")
        whole.__cause__ = found.__cause__
        return whole

    def run(self, sample: Sample) -> ConfigError | None:
        """Returns why a sample's model fails; None if it works, or if this process cannot tell.
        Raises Refused, other errors of the engine, and ConfigError for an objective that is not
        reported."""
        recipe = self._engine.recipe_of(sample)
        first: BaseException | None = None
        failure = None
        size = self._size(recipe)
        if self._is_on_cpu() and (failure := _too_large(size)):
            return failure
        for batch in self._batches(big=size > BIG):
            try:
                with _undisturbed():
                    make = partial(self._make, recipe, batch[0].device)
                    reported = self._evaluator.rehearse(make, batch, self._data.classes)
            except (Refused, KeyboardInterrupt):
                raise
            except BaseException as error:  # SystemExit, too, would also end a trial
                if _is_of_walk(error) and batch[0].device != META:
                    log.info("The default model is not tried before the search: it stores tensors "
                             "from one build to the next, which have no values here.")  # fmt: skip
                    return None
                if first is None or not _same(first, error):
                    first, failure = error, self._advised(error, recipe, batch)
            else:
                if reported is not None:
                    check_metrics(self._settings, self._evaluator, reported)
                return None
        return failure

    def _advised(
        self, error: BaseException, recipe: Mapping[str, Any], batch: Batch
    ) -> ConfigError:
        """Returns why a model fails on a batch: its inputs if it works on such numbers of another
        type, such as floats instead of bytes."""
        inputs, targets = batch
        if not isinstance(self._data, TorchDataset):  # ours are of the usual types
            return _explained(error)
        other = torch.int64 if inputs.is_floating_point() else torch.float32
        try:
            with _undisturbed():
                make = partial(self._make, recipe, inputs.device)
                self._evaluator.rehearse(make, (inputs.to(other), targets), self._data.classes)
        except KeyboardInterrupt:
            raise
        except BaseException:  # not for that reason alone
            return _explained(error)
        what = ("floats (for images, torchvision.transforms.ToTensor)"
                if other is torch.float32 else "whole numbers")  # fmt: skip
        return ConfigError(
            f"data.train returns inputs of {inputs.dtype}, on which the default model fails; it "
            f"works on {other}. Give the data set a transform that returns {what}, or let the "
            f"model convert its inputs ({one_line(error)})."
        )

    def works(self, number: int) -> bool:
        """Returns whether the model of a random sample works."""
        try:
            sample = self._engine.space.random(generator(self._seed, "rehearsal", number))
            return self.run(sample) is None
        except RunnerError:  # refused, for example
            return False

    def _is_on_cpu(self) -> bool:
        with suppress(RunnerError):  # no such device: the trials will report it
            return devices(self._device, 1, 1) == ["cpu"]
        return False

    def _size(self, recipe: Mapping[str, Any]) -> int:
        """Returns the number of parameters; 0 if it is unknown."""
        try:
            with _undisturbed():
                return sum(p.numel() for p in self._make(recipe, META).parameters())
        except KeyboardInterrupt:
            raise
        except BaseException:
            return 0

    def _make(self, recipe: Mapping[str, Any], device: torch.device) -> nn.Module:
        torch.default_generator.manual_seed(0)
        if device != META:
            return self._engine.build(recipe).to(device)
        with META:
            return self._engine.build(recipe).to(META)

    def _batches(self, *, big: bool) -> Iterator[Batch]:
        """Yields examples on the device of the model to try, those that cost least first. Made-up
        ones, and devices other than that of the training, are no proof that a model fails."""
        made_up = self._data.first(EXAMPLES) or self._made_up()
        yield _moved(made_up, META) if big else made_up
        found = self._found(EXAMPLES)
        if found is None:
            return
        with suppress(Exception):  # the device: the trials will report it
            device = torch.device(devices(self._device, 1, 1)[0])
            if not big:
                yield found
            if big or device != CPU:
                yield _moved(found, device)
            whole = self._found(getattr(self._evaluator, "batch_size", EXAMPLES))
            if whole is not None and len(whole[0]) > EXAMPLES:  # some models need more than two
                yield _moved(whole, device)

    def _found(self, count: int) -> Batch | None:
        """Returns the first examples to train on; None if the data fails, as the trials will
        report."""
        try:
            return next(iter(self._data.search().train.batches(count, CPU)))
        except KeyboardInterrupt:
            raise
        except BaseException:
            return None

    def _made_up(self) -> Batch:
        """Returns random examples of the shape of the data, with targets for the evaluator."""
        rng = torch.Generator().manual_seed(0)
        inputs = torch.randn(EXAMPLES, *self._data.shape, generator=rng)
        if (self._data.kind() or type(self._evaluator).targets) == "classes":
            return inputs, torch.arange(EXAMPLES) % self._data.classes
        return inputs, torch.zeros(EXAMPLES, self._data.classes)


def _too_large(parameters: int) -> ConfigError | None:
    """Returns the error for a model whose float weights and gradients exceed the memory of this
    machine; None if they do not."""
    need, have = 8 * parameters, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if need <= have:
        return None
    return ConfigError(
        f"The default model has {parameters:,} parameters; training it needs at least "
        f"{need / 1e9:,.0f} GB, and this machine has {have / 1e9:,.0f} GB. {SIZES}"
    )


def _moved(batch: Batch, device: torch.device) -> Batch:
    return batch[0].to(device), batch[1].to(device)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keeps the state of random numbers, and suppresses warnings, which the trials repeat."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # several wait for each other on a busy machine: 360 instead of 14 ms
    try:
        with quiet(), warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_num_threads(threads)


def _is_of_walk(error: BaseException) -> bool:
    """Returns whether an error comes from a tensor without values. On a device that has values,
    such a tensor is left over from the walks of the space, in a cache of the user's code, so it is
    no proof that the model fails in a fresh process."""
    return any(isinstance(one, RuntimeError) and re.search(r"\bmeta\b", message(one))
               for one in causes(error))  # fmt: skip


def _same(before: BaseException, now: BaseException) -> bool:
    """Returns whether two errors were raised for one reason: if so, that of few examples is
    shown."""
    if isinstance(now, RunnerError):
        return type(now) is type(before)
    return type(now) is type(before) and place(now) == place(before)


def _explained(error: BaseException) -> ConfigError:
    if isinstance(error, RunnerError):
        return ConfigError(f"The default model does not fit: {message(error)}")
    if is_out_of_memory(error):
        size = re.search(r"tried to allocate (\d+) bytes", message(error))
        how = f": it needs {int(size[1]) / 1e9:,.1f} GB at once" if size else ""
        return ConfigError(f"The default model and its inputs do not fit in memory{how}. {SIZES}")
    found = ConfigError(f"The default model fails on an example: {one_line(error)}{place(error)}")
    found.__cause__ = error
    return found
