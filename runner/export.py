"""Exports the best models of a run: writes, verifies, and then atomically replaces `top/`."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import torch
from torch import nn

from runner.bare_interpreter import BareInterpreter
from runner.config.allowlist import nodes
from runner.config.settings import STANDALONE
from runner.engines.example import Example
from runner.errors import RunFailed, RunnerError, message, one_line
from runner.graph.codegen.carried_source.packages import is_own
from runner.graph.codegen.load import load_file
from runner.graph.interpreter.threads import single_threaded
from runner.nested import leaves
from runner.results import Run, write_model
from runner.resume import resume_override
from runner.run_folder import check_links
from runner.trial import MODEL, TOP, WEIGHTS, Metrics, Trial
from runner.unsaved_state import unsaved_difference
from runner.weights import WeightsError, check_weights

NEW = "top.new"  # the export being written
EARLIER = "top.old"  # an earlier export, while it is being replaced

Test = Callable[[Trial], Metrics]  # returns the test metrics of a trained model


def export(
    run: Run, ranked: Sequence[Trial], test: Test, tell: Callable[[str], None]
) -> dict[int, Metrics]:
    """Writes the best of some trials, best first, to `top/`; returns their metrics by number.

    The export is loaded and run before it replaces an earlier one. If a trial's model cannot be
    exported, the user is told and the next trial takes its place; the earlier export is then kept,
    since it may contain that model. Raises RunFailed if no model is left or the disk is full; the
    earlier export is then unchanged. Raises ConfigError if the folder has links that lead out of
    it.
    """
    check_links(run.folder)
    top, new, earlier = (run.folder / name for name in (TOP, NEW, EARLIER))
    if earlier.exists() and not top.exists():  # a session was killed in between
        earlier.rename(top)
    shutil.rmtree(new, ignore_errors=True)
    if os.path.lexists(new):  # it would be mixed with the files of another, which nobody checks
        raise RunFailed(f"{new} cannot be deleted; delete it, then export again.")
    try:
        tested, lost = _write(run, ranked, test, tell, new)
    except OSError as error:
        raise RunFailed(
            f"The best models could not be written: {error}. The previous export is unchanged. "
            f"Free some space, then continue with {resume_override(run.folder)}."
        ) from error
    finally:
        if not new.exists() or not any(new.iterdir()):
            shutil.rmtree(new, ignore_errors=True)
    if lost and not tested:
        raise RunFailed(
            f"No model was exported: {lost} of the best trials cannot be used, and no weights of "
            "others were kept. The previous export is unchanged."
        )
    if tested:
        _replace(top, new, earlier, keep=lost > 0, tell=tell)
    return tested


def _write(
    run: Run, ranked: Sequence[Trial], test: Test, tell: Callable[[str], None], new: Path
) -> tuple[dict[int, Metrics], int]:
    """Writes models until there are enough; returns their metrics, and how many were skipped."""
    wanted, kept = run.settings.export.top, run.settings.export.keep_weights
    tested: dict[int, Metrics] = {}
    lost = 0
    writer = ModelWriter(run)
    try:
        for rank, trial in enumerate(ranked):
            if len(tested) >= wanted:
                break
            if not run.weights(trial).is_file() and kept is not None and rank >= kept:
                continue  # its weights were not to be kept
            folder = new / str(len(tested) + 1)
            try:
                tested[trial.number] = _one(run, trial, test, folder, writer)
            except RunnerError as error:
                shutil.rmtree(folder, ignore_errors=True)
                tell(f"Trial {trial.number} is not exported: {_text(error)}")
                lost += 1
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    finally:
        writer.close()
    for line in writer.told():
        tell(line)
    return tested, lost


def _one(run: Run, trial: Trial, test: Test, folder: Path, writer: "ModelWriter") -> Metrics:
    """Writes one model, after checking its weights, and verifies the result."""
    model = trained_model(run, trial)
    metrics = {**_of_weights(run, trial), **test(trial)}
    writer.write(trial, model, metrics, folder)
    return metrics


def trained_model(run: Run, trial: Trial) -> nn.Module:
    """Returns the model of a trial as `Run.model` does. Raises RunnerError also if the user's code
    fails, which may depend on more than the sample."""
    with _told("its model cannot be built again"):
        return run.model(trial)


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Raises exceptions of the user's code as RunnerError, which says what is not possible."""
    try:
        yield
    except RunnerError:
        raise
    except Exception as error:
        raise RunnerError(f"{what}: {one_line(error)}") from error


@final
class ModelWriter:
    """Writes models to folders, each in the form that the run's config asks for: stand-alone, if
    that can be, and proven; otherwise with imports of the user's code."""

    def __init__(self, run: Run, source: str | None = None, place: str = TOP) -> None:
        """Takes the run, the form of the `source`, None: that of the run, and the name of the
        folder that contains those of the models."""
        self._run = run
        self._place = place
        self._alone = (source or run.settings.export.source) == STANDALONE
        self._shape = run.settings.data.get("shape")
        self._bare = BareInterpreter()
        self._reasons: dict[str, list[str]] = {}  # why a form was not possible: its folders

    def write(
        self, trial: Trial, model: nn.Module, metrics: Mapping[str, Any], folder: Path
    ) -> None:
        """Writes one model, loads it back and runs it. Raises RunnerError if it differs from the
        trained one in any form."""
        problem = self._write_alone(trial, model, metrics, folder) if self._alone else ""
        if self._alone and not problem:
            return
        write_model(self._run, trial, metrics, folder, standalone=False)
        prove(folder, model, self._shape)
        if problem:
            self._reasons.setdefault(problem, []).append(folder.name)

    def _write_alone(
        self, trial: Trial, model: nn.Module, metrics: Mapping[str, Any], folder: Path
    ) -> str:
        """Writes one model as stand-alone source, and tries it in a bare interpreter; returns why
        it is none, "" if it is."""
        self._bare.start()  # it imports torch meanwhile
        try:
            write_model(self._run, trial, metrics, folder, standalone=True)
            prove(folder, model, self._shape)
            with _told("no example of its inputs can be made"):
                example = example_of(self._run, model)
            self._bare.check(folder, model, example, self._absent())
        except WeightsError:
            raise
        except RunnerError as error:
            return message(error).rstrip(".")
        return ""

    def told(self) -> list[str]:
        """Returns a line for each reason why models import the user's code."""
        return [
            f"{' and '.join(f'{self._place}/{name}' for name in names)} "
            f"{'imports' if len(names) == 1 else 'import'} your code: {reason}."
            for reason, names in self._reasons.items()
        ]

    def _absent(self) -> set[str]:
        """Returns the packages that a stand-alone model must not need."""
        named = [node.get("_target_") for _, node in nodes(self._run.settings.model, "space")]
        names = {str(name).partition(".")[0] for name in (*named, *self._run.settings.trust)}
        return {name for name in names if is_own(name)}

    def close(self) -> None:
        """Ends the interpreter in which models are tried."""
        self._bare.close()


def example_of(run: Run, model: nn.Module) -> Sequence[torch.Tensor] | None:
    """Returns inputs that a model accepts: random ones, or some of the data; None if no shape is
    known."""
    shape = run.settings.data.get("shape")
    if shape is None:
        return None
    random = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    with single_threaded(), torch.random.fork_rng([]), torch.no_grad():
        try:
            model(random.clone())
        except Exception:  # a model of other inputs, such as whole numbers
            return Example(shape, run.settings.data, run.settings.trust).inputs
    return (random,)


def _of_weights(run: Run, trial: Trial) -> Metrics:
    """Returns the metrics of the very training that left a trial's weights, and beside them those
    of all trainings of its sample that count, if there are several: means, standard deviations and
    how many there are."""
    if trial.trainings == 1 and not trial.confirmed:
        return trial.metrics
    name = "confirmed" if trial.confirmed else "repeated"
    own: dict[str, float] = {**run.trials[trial.number].metrics, f"{name}/seeds": trial.trainings}
    for metric, deviation in trial.deviations.items():
        own[f"{name}/{metric}"] = trial.metrics[metric]
        own[f"{name}/{metric}/std"] = deviation
    return own


def prove(folder: Path, model: nn.Module, shape: Sequence[int] | None) -> None:
    """Loads an exported model and runs it on an example of a shape, if it is known. Raises
    RunnerError if it differs from the trained model or returns NaN."""
    check_weights(folder / WEIGHTS)
    try:
        source = load_file(folder / MODEL)
        exported: nn.Module = source.load()
    except Exception as error:  # user code, which may raise anything
        raise RunnerError(f"the exported model does not load: {one_line(error)}") from error
    state, other = model.state_dict(), exported.state_dict()
    if state.keys() != other.keys() or not all(_equal(state[k], other[k]) for k in state):
        raise RunnerError("the exported model has other weights than the trained one")
    ours, theirs = (None if shape is None else _run(m, shape) for m in (exported, model))
    if not _equal(ours, theirs):
        why = unsaved_difference(model, exported, source)
        what = "the exported model computes something else than the trained one"
        raise RunnerError(f"{what}: {why}" if why else what)
    if any(bool(p.isnan().any()) for p in model.parameters()) and (ours is None or _has_nan(ours)):
        raise RunnerError("its weights contain NaN")


def _run(model: nn.Module, shape: Sequence[int]) -> Any:
    """Returns the outputs for two random examples, or the class of the exception."""
    with single_threaded(), torch.random.fork_rng([]), torch.no_grad():
        torch.default_generator.manual_seed(0)
        x = torch.randn(2, *shape)
        try:
            return model(x)
        except Exception as error:  # a model may raise anything
            return type(error)


def _equal(ours: Any, theirs: Any) -> bool:
    """Returns whether two results are equal up to rounding, or cannot be compared."""
    if isinstance(ours, type) or isinstance(theirs, type) or ours is None or theirs is None:
        return ours is theirs
    if _is_same(ours, theirs):
        return True
    try:
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5, equal_nan=True)
    except AssertionError:
        return False
    except (TypeError, ValueError):  # objects of user classes
        return True
    return True


def _is_same(ours: Any, theirs: Any) -> bool:
    """Returns whether two tensors are certainly the same. Most are, and the first comparison up to
    rounding imports a part of torch that is not used otherwise."""
    tensors = [one for one in (ours, theirs) if type(one) in (torch.Tensor, nn.Parameter)]
    kinds = {(t.shape, t.dtype, t.device, t.layout, t.is_quantized) for t in tensors}
    if len(tensors) < 2 or len(kinds) > 1 or ours.layout is not torch.strided:
        return False
    if ours.is_quantized or ours.is_meta:
        return False
    return torch.equal(ours, theirs)


def _has_nan(result: Any) -> bool:
    """Returns whether there is a NaN in a result, however deeply nested."""
    parts = leaves(result, subclasses=True)
    return any(bool(part.isnan().any()) for part in parts if isinstance(part, torch.Tensor))


def _replace(
    top: Path, new: Path, earlier: Path, *, keep: bool, tell: Callable[[str], None]
) -> None:
    """Replaces an earlier export by a new one."""
    if not top.exists():
        new.rename(top)
        return
    shutil.rmtree(earlier, ignore_errors=True)
    top.rename(earlier)
    new.rename(top)
    if keep:
        tell(f"The previous export is kept in {earlier.name}, since it may contain that model.")
    else:
        shutil.rmtree(earlier, ignore_errors=True)


def _text(error: RunnerError) -> str:
    text = message(error)
    return f"{text}." if text[-1:] not in (".", "!", "?") else text
