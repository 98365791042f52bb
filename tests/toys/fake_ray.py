"""What `runner.training.ray` uses of Ray, in this process: an actor is a thread with an event loop.

It shows what the service does, not what Ray does; the same tests run on the real one where it is
installed.
"""

import asyncio
import itertools
import threading
from concurrent import futures
from types import SimpleNamespace


class RayError(Exception):
    pass


class RayActorError(RayError):
    pass


class RayTaskError(RayError):
    pass


class FakeRay:
    """A cluster of nodes, each with some resources."""

    exceptions = SimpleNamespace(RayError=RayError)

    def __init__(self, *nodes, is_up=True):
        self._nodes = [{"Alive": True, "Resources": dict(node)} for node in nodes]
        self.actors = []
        self.is_up = is_up
        self.inits = []

    def is_initialized(self):
        return self.is_up

    def init(self, **options):
        self.inits.append(options)
        self.is_up = True

    def shutdown(self):
        self.is_up = False

    def nodes(self):
        return self._nodes

    def available_resources(self):
        total = {}
        for node in self._nodes:
            if node["Alive"]:
                for name, number in node["Resources"].items():
                    total[name] = total.get(name, 0) + number
        for actor in self.actors:
            for name, number in actor.takes.items():
                total[name] = total.get(name, 0) - number * actor.has_place
        return total

    def remote(self, kind):
        def options(num_cpus, num_gpus, memory, resources, **others):
            assert not {"CPU", "GPU", "memory"} & {*resources}
            takes = {"CPU": num_cpus, "GPU": num_gpus, "memory": memory, **resources}
            takes = {name: number for name, number in takes.items() if number}
            return SimpleNamespace(remote=lambda: Actor(self, kind, takes))

        return SimpleNamespace(options=options)

    def wait(self, refs, num_returns=1, timeout=None):
        assert len({*refs}) == len(refs) >= num_returns
        if num_returns == 1:
            futures.wait(refs, timeout, futures.FIRST_COMPLETED)
        else:
            futures.wait(refs, timeout)
        ready = [ref for ref in refs if ref.done()]
        return ready, [ref for ref in refs if ref not in ready]

    def get(self, ref):
        return ref.result()

    def kill(self, actor):
        actor.die("it was killed")

    def add_node(self, **resources):
        self._nodes.append({"Alive": True, "Resources": resources})
        for actor in self.actors:
            actor.find_place()

    def lose_node(self, place=0):
        """All actors on a node are lost with it."""
        node = self._nodes[place]
        node["Alive"] = False
        for actor in self.actors:
            if actor.node is node:
                actor.die("its node died")


class Actor:
    """An actor; its methods wait until there is a place for it."""

    numbers = itertools.count()

    def __init__(self, ray, kind, takes):
        self.ray, self.takes, self.node = ray, takes, None
        self._loop = asyncio.new_event_loop()
        self._self = kind()
        self._waiting = []
        self._calls = []
        self._dead = ""
        ray.actors.append(self)
        self.find_place()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        self._loop.run_forever()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.wait(tasks) if tasks else asyncio.sleep(0))
        self._loop.close()

    @property
    def has_place(self):
        return self.node is not None and not self._dead

    def find_place(self):
        if self.node is not None or self._dead:
            return
        for node in self.ray.nodes():
            used = [a.takes for a in self.ray.actors if a.has_place and a.node is node]
            fits = all(
                node["Resources"].get(name, 0) - sum(t.get(name, 0) for t in used) >= number
                for name, number in self.takes.items()
            )
            if node["Alive"] and fits:
                self.node = node
                for start in self._waiting:
                    start()
                self._waiting.clear()
                return

    def __getattr__(self, name):
        method = getattr(self._self, name)
        return SimpleNamespace(remote=lambda *given: self._call(method, given))

    def _call(self, method, given):
        ref = futures.Future()
        if self._dead:
            ref.set_exception(RayActorError(self._dead))
            return ref
        self._calls.append(ref)

        async def run():
            try:
                found, error = await method(*given), None
            except Exception as raised:
                found, error = None, RayTaskError(f"{type(raised).__name__}: {raised}")
            if not ref.done():
                ref.set_exception(error) if error else ref.set_result(found)

        def start():
            asyncio.run_coroutine_threadsafe(run(), self._loop)

        start() if self.has_place else self._waiting.append(start)
        return ref

    def die(self, why):
        """Ends at once, with the processes that it has started."""
        if self._dead:
            return
        self._dead = f"The actor died: {why}."
        for ref in self._calls:
            if not ref.done():
                ref.set_exception(RayActorError(self._dead))
        if self.node is not None:
            ending = asyncio.run_coroutine_threadsafe(self._end(), self._loop)
            futures.wait([ending], 5)
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _end(self):
        # A process that ends takes along what its threads are about to start; here, they finish.
        await self._loop.run_in_executor(None, self._self._thread.shutdown)
        host = self._self._host
        if host is not None:
            host._worker.close()
            if host._server is not None:
                host._server.close()
