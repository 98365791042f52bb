"""Signs of life: who is silent is asked, and who does not answer has stopped."""

from types import SimpleNamespace

import pytest

from runner.training.pulse import ANSWER, QUIET, Pulse


@pytest.fixture
def actor(monkeypatch):
    """An actor that answers once `answers` is set; `asked` is how often it was."""
    made = SimpleNamespace(answers=False, asked=0)

    def beat():
        made.asked += 1
        return made.asked

    made.beat = SimpleNamespace(remote=beat)
    made.ray = SimpleNamespace(wait=lambda refs, timeout: (refs if made.answers else [], []))
    made.now = 100.0
    monkeypatch.setattr("runner.training.pulse.time.monotonic", lambda: made.now)
    return made


def test_who_speaks_is_not_asked(actor):
    pulse = Pulse(actor.ray, actor)
    for _ in range(10):
        actor.now += QUIET
        assert not pulse.has_stopped(actor.now)
        pulse.heard()
    assert not actor.asked


def test_who_is_silent_is_asked_and_has_stopped_without_an_answer(actor):
    pulse = Pulse(actor.ray, actor)
    asked_at = actor.now + QUIET + 0.1
    assert not pulse.has_stopped(asked_at) and actor.asked == 1
    assert not pulse.has_stopped(asked_at + ANSWER)
    assert pulse.has_stopped(asked_at + ANSWER + 0.1) and actor.asked == 1


def test_who_answers_goes_on_however_long_it_works(actor):
    pulse, actor.answers = Pulse(actor.ray, actor), True
    assert not any(pulse.has_stopped(actor.now + seconds) for seconds in range(100))
    assert actor.asked >= 20


def test_a_driver_that_was_stopped_itself_asks_before_it_judges(actor):
    pulse = Pulse(actor.ray, actor)
    assert not pulse.has_stopped(actor.now + 1000) and actor.asked == 1
    pulse.heard()
    actor.answers = True
    assert not pulse.has_stopped(actor.now + 1001 + ANSWER)
