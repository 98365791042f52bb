"""What a function is given: what it names, and the first ones by place."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from runner.evaluators.call_by_name import arguments_for, name_of

OFFERED = {"model": "m", "report": "r", "data": "d", "seed": 1}


def named(model: Any, data: Any) -> Any:
    return model, data


def only_by_place(model: Any, /, rep: Any, *, seed: Any = 0) -> Any:
    return model, rep, seed


@pytest.mark.parametrize(
    ("fn", "given"),
    [
        (named, ("m", "d")),
        (only_by_place, ("m", "r", 1)),
        (lambda net, rep: (net, rep), ("m", "r")),
        (lambda net, data: (net, data), ("m", "d")),
        (lambda data, net, rep: (data, net, rep), ("d", "m", "r")),
        (lambda report, model: (report, model), ("r", "m")),
        (lambda model, epochs=3: (model, epochs), ("m", 3)),
        (lambda model, epochs=3, seed=0: (model, epochs, seed), ("m", 3, 1)),
        (lambda *args: args, ("m", "r")),
        (lambda *args, **rest: (args, rest), (("m", "r"), {"data": "d", "seed": 1})),
        (lambda **rest: rest, OFFERED),
        (partial(lambda model, lr, seed: (model, lr, seed), lr=0.1), ("m", 0.1, 1)),
        (partial(lambda model, report, seed: seed, seed=9), 9),
    ],
)
def test_is_given_what_it_names(fn: Callable[..., Any], given: Any) -> None:
    args, rest = arguments_for(fn, OFFERED, ("model", "report"))
    assert fn(*args, **rest) == given


def test_a_function_without_a_signature_gets_the_first_ones() -> None:
    assert arguments_for(max, OFFERED, ("model", "report")) == (["m", "r"], {})


def test_names_of_functions_and_of_objects_that_are_called() -> None:
    assert name_of(partial(named)).endswith("test_call_by_name.named")
    assert name_of(arguments_for) == "runner.evaluators.call_by_name.arguments_for"
