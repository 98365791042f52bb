"""Failures of trials: what an exception means for the record, and where its traceback goes."""

import errno
import traceback
from dataclasses import replace
from pathlib import Path

from runner.errors import Refused, is_out_of_memory, message, one_line, place
from runner.evaluators.evaluator import NotFinite
from runner.evaluators.replicas import ReplicaFailed
from runner.masking import masker
from runner.trial import OUT_OF_MEMORY, Failure

TRACEBACK = 1 << 20  # characters of a traceback that are kept


def leave_traceback(folder: Path, error: BaseException) -> None:
    """Writes the traceback of an exception to `error.txt` in the folder of a trial."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "error.txt").write_text(
            traceback_of(error), encoding="utf-8", errors="backslashreplace"
        )
    except OSError:  # a full disk: the report still contains the first line
        return


def traceback_of(error: BaseException) -> str:
    """Returns the traceback of an exception, without secrets; of a very long one, its start and its
    end."""
    text = masker.clean(_traceback(error))
    if (more := len(text) - TRACEBACK) > 0:
        half = TRACEBACK // 2
        text = f"{text[:half]}\n... ({more} more characters) ...\n{text[-half:]}"
    return text


def _traceback(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except Exception:  # an exception that cannot be formatted, which a user's class may bring about
        where = "".join(traceback.format_tb(error.__traceback__))
        return f"Traceback (most recent call last):\n{where}{one_line(error)}\n"


def located(error: BaseException) -> Failure:
    """Returns the failure that an exception means, with the file and line of its cause."""
    found = failure_of(error)
    if isinstance(error, ReplicaFailed):  # there
        return found
    where = place(error).partition(". HYDRA_FULL_ERROR")[0]
    return replace(found, text=masker.clean(f"{found.text}{where}"))


def failure_of(error: BaseException) -> Failure:
    """Returns the failure that an exception means, for the record."""
    try:
        return _failure(error)
    except Exception:  # an exception that raises when it is looked at
        return Failure("error", one_line(error))


def _failure(error: BaseException) -> Failure:
    """Returns the failure that an exception means, for the record."""
    if isinstance(error, ReplicaFailed):
        return error.failure
    text = one_line(error)
    if isinstance(error, Refused):  # only here, such as by a condition on initial weights
        return Failure.refused(error)
    if isinstance(error, NotFinite):
        return Failure("not finite", message(error))
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EROFS, errno.EDQUOT):
        return Failure("disk full", text)
    if is_out_of_memory(error):
        return Failure(OUT_OF_MEMORY, text)
    return Failure("error", text)
