"""The connection to a Ray cluster: one line says what is wrong, and Ray's own are kept back."""

import os
import socket
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest

from runner.errors import ConfigError
from runner.training.ray_cluster import connect

REFUSED = b"gcs_client.cc:210: Unauthenticated: RPC error: InvalidAuthToken: it is missing\n"


class RayError(Exception):
    pass


def ray(init):
    return SimpleNamespace(init=init, exceptions=SimpleNamespace(RayError=RayError))


@pytest.fixture
def listener():
    """An address at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_token_that_the_cluster_does_not_take_is_said_and_what_it_should_be(listener):
    def init(**options):
        os.write(2, REFUSED)
        raise ConnectionError("Failed to connect")

    with pytest.raises(ConfigError, match=r"does not take the token .*RAY_AUTH_TOKEN") as error:
        connect(ray(init), listener, [], dashboard=False)
    assert "\n" not in str(error.value) and listener in str(error.value)


def test_a_token_that_ray_itself_speaks_of_is_said_likewise(listener):
    def init(**options):
        raise RuntimeError("StatusCode.UNAUTHENTICATED: InvalidAuthToken")

    with pytest.raises(ConfigError, match="does not take the token"):
        connect(ray(init), f"ray://{listener}", [], dashboard=False)


def test_a_listener_that_is_no_cluster_is_told_from_none(listener):
    def init(**options):
        raise ConnectionError("Failed to connect")

    with pytest.raises(ConfigError, match="Somebody listens there"):
        connect(ray(init), listener, [], dashboard=False)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "ray://[::1]:1"])
def test_ray_is_not_asked_where_nobody_listens(address):
    with pytest.raises(ConfigError, match="could be reached at") as error:
        connect(ray(lambda **_: pytest.fail("it would try for a minute")), address, [],
                dashboard=False)  # fmt: skip
    assert "listens there" not in str(error.value)


@pytest.mark.parametrize("fails", [False, True])
def test_what_ray_writes_is_shown_if_it_connects_after_all(fails, listener):
    code = f"""
        import os
        from types import SimpleNamespace
        from runner.errors import ConfigError
        from runner.training.ray_cluster import connect

        def init(**options):
            os.write(2, b"a warning of Ray\\n")
            if {fails}:
                raise ValueError("no")

        errors = SimpleNamespace(RayError=RuntimeError)
        try:
            connect(SimpleNamespace(init=init, exceptions=errors), {listener!r}, [], False)
        except ConfigError:
            print("refused")
    """
    run = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == (
        ("refused\n", "") if fails else ("", "a warning of Ray\n")
    )  # fmt: skip
