"""The connection to a Ray cluster, and what is wrong if there is none."""

import os
import re
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from runner.errors import ConfigError, as_yaml, one_line
from runner.training.native_output import native_output, text_of
from runner.training.shipping import folders_of

PORT = 5.0  # seconds in which a cluster answers at its address
AUTO = "auto"  # the cluster that this machine belongs to
CLIENT = "ray://"  # before the address of a server for machines outside of the cluster
# What a head node is asked by, and the question; of the second kind, all fields are optional.
PING = "/ray.rpc.RayletDriver/ClusterInfo", b"\x08\x06"  # to be a ping
CHECK_ALIVE = "/ray.rpc.NodeInfoGcsService/CheckAlive", b""
NO_ANSWER = ("UNAVAILABLE", "DEADLINE_EXCEEDED")
UNKNOWN = ("InvalidAuthToken", "Unauthenticated")  # what Ray writes, past Python, about a token
EXTRA = 'pip install "nas-runner[ray]"'


def imported() -> ModuleType:
    """Returns the module `ray`. Raises ConfigError if it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "error")  # what goes wrong is said in one line
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise ConfigError(f"training=ray needs Ray ({error}): {EXTRA}") from error
    module: ModuleType = ray
    return module


def connect(ray: ModuleType, address: str | None, ship: Sequence[str], dashboard: bool) -> None:
    """Connects to a cluster, or starts one, on this machine. Raises ConfigError."""
    options: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    try:
        with warnings.catch_warnings(action="ignore"), _own_stops():
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


@contextmanager
def _own_stops() -> Iterator[None]:
    """Keeps how this process is stopped: Ray would end it at once, without a word of ours."""
    if threading.current_thread() is not threading.main_thread():  # where Ray cannot, either
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


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
                raise _wrong_token(address) from error
            raise
        text = text_of(written)
    sys.stderr.write(text)


def _wrong_token(address: str) -> ConfigError:
    return ConfigError(
        f"The Ray cluster at {address} does not take the token of this machine: set "
        "RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN (or ~/.ray/auth_token) to that of its head node."
    )


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
    """Raises OSError or ValueError if nobody listens at an address, and ConfigError if somebody
    does who does not take the token; Ray itself would try for 20 s and more."""
    if address == AUTO:
        return
    is_client = address.startswith(CLIENT)
    host, _, port = address.removeprefix(CLIENT).rpartition(":")
    if not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) >= 1 << 16:
        raise ValueError(
            "an address is HOST:PORT, as in 10.0.0.1:6379; ray://HOST:PORT, as in "
            f"ray://10.0.0.1:10001; or {AUTO}"
        )
    socket.create_connection((host.strip("[]"), int(port)), timeout=PORT).close()
    _ask(address, is_client)


def _ask(address: str, is_client: bool) -> None:
    """Asks for a sign of life, which takes the token, too."""
    try:
        import grpc
        from ray._private.grpc_utils import init_grpc_channel
    except ImportError:  # an older version of Ray
        return
    options = [("grpc.enable_http_proxy", 0)]  # as Ray's own connections
    channel = init_grpc_channel(address.removeprefix(CLIENT), options)
    method, question = PING if is_client else CHECK_ALIVE
    try:
        channel.unary_unary(method)(question, timeout=PORT)
    except grpc.RpcError as error:
        code = error.code().name
        if code == "UNAUTHENTICATED":
            raise _wrong_token(address) from error
        if code in NO_ANSWER or (is_client and code == "UNIMPLEMENTED"):
            raise ConnectionError(f"{code} {error.details()}".strip()) from error
    finally:
        channel.close()
