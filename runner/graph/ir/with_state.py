"""Helper of generated source: recreates objects that no constructor call makes."""

import inspect


def with_state(made: object, state: dict[str, object]) -> object:
    """Sets attributes of an object, past its own `__setattr__`, and returns it."""
    for name, value in state.items():
        object.__setattr__(made, name, value)
    return made


WITH_STATE = f"{__name__}:{with_state.__name__}"
HELPERS = {WITH_STATE: inspect.getsource(with_state)}  # written out, so that nothing is imported
