"""What was replaced in modules and classes is put back, so that they work as before."""

import users_module
from torch import nn

from runner.nn.recording.construction_record import recording
from runner.training.state.patches import Namespaces


class Counted(nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size


def test_a_class_that_was_given_a_new_takes_its_arguments_again():
    class Taken:
        def __init__(self, size: int) -> None:
            self.size = size

    users_module.Taken = Taken
    try:
        state = Namespaces()
        state.keep()
        Taken.__new__ = staticmethod(lambda cls, *given: None)
        assert Taken(3) is None
        [name] = state.put_back()
        assert name.endswith("Taken.__new__") and Taken(3).size == 3
        assert not state.put_back()
    finally:
        del users_module.Taken


def test_what_records_constructors_stays_and_modules_take_their_arguments():
    state = Namespaces()
    state.keep()
    with recording():
        Counted(3)
    assert not [name for name in state.put_back() if "__new__" in name]
    assert Counted(4).size == 4
