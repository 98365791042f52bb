"""The evaluator `lightning`: training by a LightningModule of the user (the `lightning` extra)."""

import importlib
import inspect
import logging
import math
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, final

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from runner.data.data import Batch, SearchData, Split
from runner.errors import ConfigError, as_yaml, did_you_mean, one_line, require
from runner.evaluators.call_by_name import arguments_for, name_of
from runner.evaluators.evaluator import Evaluator, NotFinite, TrainingRun
from runner.evaluators.seeds import seed_model
from runner.trial import Metrics

OURS = {  # arguments of the Trainer that are given by other means
    "max_epochs": "evaluator.epochs", "max_steps": "evaluator.epochs",
    "accelerator": "training.device", "devices": "training.device", "strategy": "training.device",
    "num_nodes": "training.device",
}  # fmt: skip
QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
CPU = torch.device("cpu")


def lightning() -> Any:
    """Imports Lightning. Raises ConfigError, with the package to install, if that fails."""
    try:
        return importlib.import_module("lightning.pytorch")
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        # One of the last three, if it finds libraries that were not built for this torch.
        raise ConfigError(
            'evaluator=lightning needs Lightning: pip install "nas-runner[lightning]" '
            f"({one_line(error)})."
        ) from error


@final
class Lightning(Evaluator):
    """An evaluator that trains each model in turn with Lightning's Trainer.

    `module` is called with the model of a trial, by the name `model` or as the first argument, and
    returns a LightningModule with its steps and optimizers. What that logs is reported after each
    epoch, under the names it has there; a test step gives the test metrics.
    """

    def __init__(
        self,
        module: Callable[..., nn.Module],
        epochs: int,
        batch_size: int,
        trainer: Mapping[str, Any],
        seed: int,
    ) -> None:
        """Trains for `epochs` on batches of `batch_size` (four times as large in validation), whose
        order depends on `seed`. `trainer` are further arguments of the Trainer."""
        require(epochs >= 1, "evaluator.epochs", epochs, "at least 1")
        require(batch_size >= 1, "evaluator.batch_size", batch_size, "at least 1")
        self._module = module
        self._epochs = epochs
        self.batch_size = batch_size
        self._trainer = dict(trainer)
        self._seed = seed

    def check(self) -> None:
        known = inspect.signature(lightning().Trainer).parameters
        for name, value in self._trainer.items():
            if name in OURS:
                raise ConfigError(
                    f"evaluator.trainer.{name} is {as_yaml(value)}, but {OURS[name]} sets it; "
                    "leave it out."
                )
            if name not in known:
                raise ConfigError(
                    f"evaluator.trainer.{name}: Trainer has no argument {name!r}."
                    f"{did_you_mean(name, known)}"
                )
        kind = getattr(self._module, "func", self._module)
        if isinstance(kind, type):
            self._check_kind(kind)
        with _quiet():
            try:
                self._make_trainer(CPU)
            except Exception as error:
                raise ConfigError(f"evaluator.trainer cannot be used: {one_line(error)}") from error

    def rehearse(
        self, make: Callable[[], nn.Module], batch: Batch, classes: int
    ) -> Collection[str] | None:
        if batch[0].is_meta:  # the Trainer moves models
            return None
        module = self._make_module(make())
        with _quiet():
            trainer = self._make_trainer(batch[0].device, fast_dev_run=True)
            loader = DataLoader(TensorDataset(*batch), self.batch_size)
            self._fit(trainer, module, loader, loader)
        return _logged(trainer)

    def evaluate(self, models: Sequence[nn.Module], data: SearchData, run: TrainingRun) -> None:
        for place, (model, seed) in enumerate(zip(models, run.seeds, strict=True)):
            seed_model(seed, 0)
            root = {"default_root_dir": str(run.trials[place].folder)} if run.trials else {}
            reporter = _reporter(run, place)
            with _quiet():
                trainer = self._make_trainer(run.device, reporter=reporter, **root)
                train = data.train.loader(self.batch_size, shuffle=True, seed=self._seed)
                validation = data.validation.loader(4 * self.batch_size)
                self._fit(trainer, self._make_module(model), train, validation)
            model.to(run.device)  # the Trainer ends on the CPU

    def score(
        self, models: Sequence[nn.Module], split: Split, device: torch.device
    ) -> Sequence[Metrics]:
        scores = []
        for model in models:
            seed_model(0, 0)
            module = self._make_module(model)
            if not _defines(module, "test_step"):
                return [{} for _ in models]
            with _quiet():
                trainer = self._make_trainer(device)
                with _interruptible():
                    trainer.test(module, split.loader(4 * self.batch_size), verbose=False)
                found = _logged(trainer)
            scores.append({_without_prefix(name): value for name, value in found.items()})
            model.to(device)
        return scores

    def _fit(self, trainer: Any, module: nn.Module, train: Any, validation: Any) -> None:
        """Trains a module, on loaders of its own if it defines some."""
        loaders = {
            "train_dataloaders": None if _defines(module, "train_dataloader") else train,
            "val_dataloaders": None if _defines(module, "val_dataloader") else validation,
        }
        if not _defines(module, "validation_step"):
            del loaders["val_dataloaders"]
        with _interruptible():
            trainer.fit(module, **loaders)

    def _make_module(self, model: nn.Module) -> nn.Module:
        """Returns the LightningModule of a model. One whose constructor takes none gets it as its
        attribute `model`, or by its method `set_model`, as those of NNI."""
        args, named = arguments_for(self._module, {"model": model}, ("model",))
        module = self._module(*args, **named)
        self._check_kind(type(module))
        if not args and not named:
            setter = getattr(module, "set_model", None)
            if setter is None:
                module.model = model
            else:
                setter(model)
        return module

    def _check_kind(self, kind: type) -> None:
        if not issubclass(kind, lightning().LightningModule):
            raise ConfigError(
                f"evaluator.module is {name_of(kind)}, which is no lightning.LightningModule; "
                "derive it from that class (and not from that of pytorch_lightning)."
            )

    def _make_trainer(self, device: torch.device, reporter: Any = None, **others: Any) -> Any:
        kind = {"cuda": "gpu"}.get(device.type, device.type)
        place: Any = 1 if device.type == "cpu" else [device.index or 0]
        given = {"num_sanity_val_steps": 0, **QUIET, **self._trainer, **others}
        callbacks = given.pop("callbacks", None) or []
        callbacks = [*callbacks] if isinstance(callbacks, list) else [callbacks]
        if reporter is not None:
            callbacks.append(reporter)
        elif "enable_checkpointing" not in given:
            given["enable_checkpointing"] = False
        return lightning().Trainer(
            max_epochs=self._epochs, accelerator=kind, devices=place, callbacks=callbacks, **given
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses what Lightning says of devices, workers, and itself."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"lightning(\.|$)")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _reporter(run: TrainingRun, place: int) -> Any:
    """Returns a callback that reports what was logged, after each epoch. It poses as one that
    writes checkpoints: these come after what the module itself does at the end of an epoch, and
    keep the Trainer from adding one that does write them."""
    checkpoint: Any = lightning().callbacks.Checkpoint

    class EpochReporter(checkpoint):  # type: ignore[misc]
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            metrics = _logged(trainer)
            for name, value in metrics.items():
                if "loss" in name and not math.isfinite(value):
                    text = f"{name} is {value} in epoch {trainer.current_epoch + 1}."
                    raise NotFinite(text, (place,))
            if not metrics:
                raise ConfigError(
                    f"evaluator.module ({name_of(type(pl_module))}) logged nothing in epoch "
                    f"{trainer.current_epoch + 1}; log metrics, as in "
                    "self.log('val/accuracy', accuracy)."
                )
            news = [metrics if i == place else {} for i in range(len(run.seeds))]
            if place in run.report(news):
                trainer.should_stop = True

    return EpochReporter()


def _logged(trainer: Any) -> dict[str, float]:
    """Returns the metrics that were logged in an epoch. Of one that is logged in each step, too,
    only the mean."""
    found = {str(name): float(value) for name, value in trainer.callback_metrics.items()}
    kept = {}
    for name, value in found.items():
        stem, _, kind = name.rpartition("_")
        other = f"{stem}_epoch" if kind == "step" else stem if kind == "epoch" else ""
        if other not in found:
            kept[name] = value
    return kept


def _defines(module: nn.Module, name: str) -> bool:
    """Returns whether a LightningModule has a hook of its own."""
    return getattr(type(module), name, None) is not getattr(lightning().LightningModule, name)


def _without_prefix(name: str) -> str:
    """Returns the name of a test metric, which gets a prefix where it is recorded."""
    return name.removeprefix("test/").removeprefix("test_")


@contextmanager
def _interruptible() -> Iterator[None]:
    """Raises a KeyboardInterrupt as such, for which the Trainer would end the program."""
    try:
        yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            _raise(error.__context__)
        raise


def _raise(error: BaseException) -> NoReturn:
    raise error from None
