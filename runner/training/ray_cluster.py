"""The connection to a Ray cluster, and what is wrong if there is none."""

import socket
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from runner.errors import ConfigError, as_yaml, one_line
from runner.training.native_output import native_output, text_of
from runner.training.shipping import folders_of

PORT = 5.0  # seconds in which a cluster answers at its address
UNKNOWN = ("InvalidAuthToken", "Unauthenticated")  # what Ray writes, past Python, about a token


def connect(ray: ModuleType, address: str | None, ship: Sequence[str], dashboard: bool) -> None:
    """Connects to a cluster, or starts one, on this machine. Raises ConfigError."""
    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    try:
        with warnings.catch_warnings(action="ignore"):
            if address is None:
                folders_of(ship)  # that are here anyway
                ray.init(address="local", include_dashboard=dashboard, **options)
            else:
                _check_port(address)
                _join(ray, address, {"py_modules": folders_of(ship)}, options)
    except (ray.exceptions.RayError, ValueError, RuntimeError, OSError) as error:
        where = "on this machine" if address is None else f"at {address}"
        raise ConfigError(
            f"training.address is {as_yaml(address)}: no Ray cluster could be reached {where} "
            f"({one_line(error)}).{_hint(address, error)}"
        ) from error


def _join(
    ray: ModuleType, address: str, environment: dict[str, Any], options: dict[str, Any]
) -> None:
    """Joins a cluster that is there. Ray writes a line each second while it cannot; these are shown
    only if it can after all. Raises ConfigError for a token that the cluster does not take."""
    with native_output() as written:
        try:
            ray.init(address=address, runtime_env=environment, **options)
        except Exception as error:
            if any(word in f"{text_of(written)} {error}" for word in UNKNOWN):
                raise ConfigError(
                    f"The Ray cluster at {address} does not take the token of this machine: set "
                    "RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN (or ~/.ray/auth_token) to that of its "
                    "head node."
                ) from error
            raise
        text = text_of(written)
    sys.stderr.write(text)


def _hint(address: str | None, error: Exception) -> str:
    """Returns what may be wrong if somebody listens at an address, but it is no cluster of ours."""
    if address is None or not isinstance(error, ConnectionError) or error.errno is not None:
        return ""
    if address == "auto":
        return " Start one by: ray start --head"
    return (
        " Somebody listens there: is it a head node of this version of Ray? If it asks for a "
        "token, set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN unless it is in ~/.ray/auth_token."
    )


def _check_port(address: str) -> None:
    """Raises OSError if nobody listens at an address; Ray itself would try for a minute."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=PORT).close()
