"""The connection to a Ray cluster: one line says what is wrong, and Ray's own are kept back."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest

from runner.errors import ConfigError
from runner.training.ray_cluster import CHECK_ALIVE, PING, connect

REFUSED = b"gcs_client.cc:210: Unauthenticated: RPC error: InvalidAuthToken: it is missing\n"


class RayError(Exception):
    pass


def ray(init):
    return SimpleNamespace(init=init, exceptions=SimpleNamespace(RayError=RayError))


class RpcError(Exception):
    def __init__(self, code):
        self.code = lambda: SimpleNamespace(name=code)
        self.details = lambda: "why"


@pytest.fixture
def answer(monkeypatch):
    """Sets with which code somebody answers who is asked for a sign of life; returns where each
    was asked, and what."""
    codes, asked = [], []

    def channel(address, options):
        def ask(method):
            def call(question, timeout):
                asked.append((address, (method, question)))
                if codes:
                    raise RpcError(codes[-1])

            return call

        return SimpleNamespace(unary_unary=ask, close=lambda: None)

    monkeypatch.setitem(sys.modules, "grpc", SimpleNamespace(RpcError=RpcError))
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "ray._private", SimpleNamespace())
    utils = SimpleNamespace(init_grpc_channel=channel)
    monkeypatch.setitem(sys.modules, "ray._private.grpc_utils", utils)
    return lambda code: codes.append(code) or asked


@pytest.fixture
def unasked(monkeypatch):
    """As with a version of Ray that cannot be asked."""
    monkeypatch.setitem(sys.modules, "grpc", None)


@pytest.fixture
def listener():
    """An address at which somebody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_a_token_that_the_cluster_does_not_take_is_said_and_what_it_should_be(listener, unasked):
    def init(**options):
        os.write(2, REFUSED)
        raise ConnectionError("Failed to connect")

    with pytest.raises(ConfigError, match=r"does not take the token .*RAY_AUTH_TOKEN") as error:
        connect(ray(init), listener, [], dashboard=False)
    assert "\n" not in str(error.value) and listener in str(error.value)


def test_a_token_that_ray_itself_speaks_of_is_said_likewise(listener, unasked):
    def init(**options):
        raise RuntimeError("StatusCode.UNAUTHENTICATED: InvalidAuthToken")

    with pytest.raises(ConfigError, match="does not take the token"):
        connect(ray(init), f"ray://{listener}", [], dashboard=False)


def test_a_listener_that_is_no_cluster_is_told_from_none(listener, unasked):
    def init(**options):
        raise ConnectionError("Failed to connect")

    with pytest.raises(ConfigError, match="Somebody listens there"):
        connect(ray(init), listener, [], dashboard=False)


@pytest.mark.parametrize(("kind", "question"), [("", CHECK_ALIVE), ("ray://", PING)])
@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("UNAUTHENTICATED", "does not take the token of this machine: set RAY_AUTH_MODE=token"),
        ("UNAVAILABLE", "(ConnectionError: UNAVAILABLE why). Somebody listens there"),
        ("DEADLINE_EXCEEDED", "Somebody listens there"),
    ],
)
def test_ray_is_not_asked_where_it_would_try_in_vain(kind, question, code, text, listener, answer):
    asked = answer(code)
    with pytest.raises(ConfigError) as error:
        connect(ray(lambda **_: pytest.fail("it would try for a minute")), f"{kind}{listener}", [],
                dashboard=False)  # fmt: skip
    assert text in str(error.value) and "\n" not in str(error.value)
    assert asked == [(listener, question)]


@pytest.mark.parametrize("code", [None, "UNIMPLEMENTED", "NOT_FOUND"])
def test_ray_is_asked_where_it_may_know_better(code, listener, answer):
    if code is not None:
        answer(code)
    joined = []
    connect(ray(lambda **given: joined.append(given["address"])), listener, [], dashboard=False)
    assert joined == [listener]


@pytest.mark.parametrize("address", ["ray://", "ray://host", "ray://10.0.0.1:http"])
def test_an_address_without_a_port_is_said_with_what_it_is(address):
    with pytest.raises(ConfigError, match=r"ray://HOST:PORT, as in ray://10\.0\.0\.1:10001"):
        connect(ray(lambda **_: pytest.fail("it was asked")), address, [], dashboard=False)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "ray://[::1]:1"])
def test_ray_is_not_asked_where_nobody_listens(address):
    with pytest.raises(ConfigError, match="could be reached at") as error:
        connect(ray(lambda **_: pytest.fail("it would try for a minute")), address, [],
                dashboard=False)  # fmt: skip
    assert "listens there" not in str(error.value)


@pytest.mark.parametrize("fails", [False, True])
def test_what_ray_writes_is_shown_if_it_connects_after_all(fails, listener, unasked):
    code = f"""
        import os, sys
        sys.modules["grpc"] = None
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


@pytest.mark.parametrize("address", ["127.0.0.1:6379 ", "127.0.0.1:-1", "127.0.0.1:70000", "host",
                                     ":6379", "", "ray://host", "host:٣"])  # fmt: skip
def test_what_is_no_address_is_said_at_once(address):
    def init(**options):
        raise AssertionError("Ray would wait for it")

    with pytest.raises(ConfigError, match=r"an address is HOST:PORT, as in .*; or auto"):
        connect(ray(init), address, [], dashboard=False)


def test_ray_does_not_change_how_this_process_is_stopped():
    before = signal.getsignal(signal.SIGTERM)
    connect(ray(lambda **given: signal.signal(signal.SIGTERM, lambda *_: None)), None, [], False)
    assert signal.getsignal(signal.SIGTERM) is before
