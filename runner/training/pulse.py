"""Whether an actor still answers."""

import time
from types import ModuleType
from typing import Any, final

QUIET = 2.0  # seconds without a word, after which it is asked for one
ANSWER = 4.0  # seconds in which it answers, if it can


@final
class Pulse:
    """The signs of life of an actor, which has a method `beat`.

    What it was asked for may take long, such as to send a large file. So one that is silent is
    asked for a word, which takes no time.
    """

    def __init__(self, ray: ModuleType, actor: Any) -> None:
        self._ray = ray
        self._actor = actor
        self._heard = time.monotonic()
        self._asked = 0.0  # the monotonic second
        self._word: Any = None  # to come

    def heard(self) -> None:
        """It has said something of its own accord."""
        self._heard, self._word = time.monotonic(), None

    def has_stopped(self, now: float) -> bool:
        """Returns whether it no longer answers; to be asked often. `now` is in monotonic seconds.

        One that has ended is no concern of this: Ray tells of it with whatever else was asked for.
        """
        if self._word is None:
            if now > self._heard + QUIET:
                self._word, self._asked = self._actor.beat.remote(), now
            return False
        if self._ray.wait([self._word], timeout=0)[0]:
            self._heard, self._word = now, None
            return False
        return now > self._asked + ANSWER
