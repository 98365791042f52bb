"""The front ends by name, and the order in which they read."""

import sys
from collections.abc import Callable, Mapping

from runner.errors import GraphError, did_you_mean
from runner.graph.frontend.reading.read_module import FrontEnd

AUTO = "auto"  # every front end that this Python supports
ORDER = ("python", "torchscript")  # a module is read by the first that can
LATEST = (3, 13)  # the last Python that TorchScript supports


def usable(frontend: str, key: str = "frontend") -> tuple[str, ...]:
    """Returns the names of the front ends that a setting allows, in their order. Raises GraphError,
    which names the `key` of the setting, for another word and for one that this Python does not
    support."""
    options = (AUTO, *sorted(ORDER))
    if frontend not in options:
        near = did_you_mean(str(frontend), options)
        raise GraphError(f"{key} is {frontend!r}; it must be one of {', '.join(options)}.{near}")
    unsupported = {"torchscript"} if sys.version_info[:2] > LATEST else set()
    if frontend in unsupported:
        known, here = (".".join(map(str, v)) for v in (LATEST, sys.version_info[:2]))
        raise GraphError(
            f"{key} is 'torchscript', but TorchScript supports Python up to {known}, and this is "
            f"{here}; use {key}=python, or Python {known}."
        )
    return tuple(name for name in ORDER if frontend in (AUTO, name) and name not in unsupported)


def before(frontend: str) -> tuple[str, ...]:
    """Returns the names of the front ends that read before one; none for ""."""
    return ORDER[: ORDER.index(frontend)] if frontend else ()


def _torchscript() -> FrontEnd:
    from runner.graph.frontend.torchscript.reading.read import TorchScriptFrontEnd

    return TorchScriptFrontEnd()


def _python() -> FrontEnd:
    from runner.graph.frontend.python.read import PythonFrontEnd

    return PythonFrontEnd()


# Each is imported when it is first needed
FRONTENDS: Mapping[str, Callable[[], FrontEnd]] = {"torchscript": _torchscript, "python": _python}
