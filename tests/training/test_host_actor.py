"""The host of a worker, as an actor: it answers while it works."""

import asyncio
import os
import threading

import pytest

from runner.training import host_actor
from runner.training.host_actor import HostActor
from runner.training.worker_host import Parcel


class SlowHost:
    """A host whose restart lasts until it is let go, and which notes what it is asked for."""

    sees_folder = True

    def __init__(self, *given):
        self.reports, self.end = os.pipe()
        self.calls, self.may_restart = [], threading.Event()
        self.fails = False

    def restart(self):
        assert self.may_restart.wait(20)
        self.calls.append("restarted")
        if self.fails:
            raise OSError("no more processes")

    def look(self, now):
        pass

    def hear(self):
        return Parcel((b"word",))

    def __getattr__(self, name):
        return lambda *given: self.calls.append((name, *given))


@pytest.fixture
def begun(monkeypatch):
    """Runs a coroutine function with an actor that has begun, and its host."""
    monkeypatch.setattr(host_actor, "WorkerHost", SlowHost)
    monkeypatch.setattr(host_actor, "PATIENCE", 0.05)

    def run(use):
        async def whole():
            actor = HostActor()
            await actor.begin({}, [], None, [], ["cpu"], 1, None)
            host = actor._host
            try:
                await asyncio.wait_for(use(actor, host), 20)
            finally:
                host.may_restart.set()

        asyncio.run(whole())

    return run


def test_it_answers_while_its_worker_is_replaced(begun):
    async def use(actor, host):
        restarts = asyncio.ensure_future(actor.restart())
        await asyncio.sleep(0)
        await actor.beat()
        assert await actor.hear() == Parcel()  # nothing yet, but alive
        assert not restarts.done() and not host.calls

    begun(use)


def test_what_is_asked_of_a_worker_to_come_reaches_that_one_in_order(begun):
    async def use(actor, host):
        asked = [actor.restart(), actor.say({"a": 1}, {}), actor.terminate(), actor.kill()]
        asked = [asyncio.ensure_future(one) for one in asked]
        await asyncio.sleep(0.05)
        assert not host.calls and not any(one.done() for one in asked)
        host.may_restart.set()
        await asyncio.gather(*asked)
        assert host.calls == ["restarted", ("say", {"a": 1}, {}), ("terminate",), ("kill",)]

    begun(use)


def test_it_closes_without_keeping_others_waiting(begun):
    async def use(actor, host):
        host.close = host.restart
        closes = asyncio.ensure_future(actor.close())
        await asyncio.sleep(0)
        await actor.beat()
        assert not closes.done()
        host.may_restart.set()
        await closes
        assert host.calls == ["restarted"]

    begun(use)


def test_what_a_replaced_worker_has_said_is_not_passed_on(begun):
    async def use(actor, host):
        hears = asyncio.ensure_future(actor.hear())
        await asyncio.sleep(0)
        restarts = asyncio.ensure_future(actor.restart())
        os.write(host.end, b"x")
        host.may_restart.set()
        assert await hears == Parcel()
        await restarts
        assert await actor.hear() == Parcel((b"word",))

    begun(use)


def test_a_host_that_cannot_replace_its_worker_says_so(begun):
    """Its pipes are closed, and others may have their numbers by now."""

    async def use(actor, host):
        host.fails = True
        host.may_restart.set()
        with pytest.raises(OSError, match="no more processes"):
            await actor.restart()
        for ask in (actor.hear, actor.kill):
            with pytest.raises(RuntimeError, match="has no worker"):
                await ask()

    begun(use)
