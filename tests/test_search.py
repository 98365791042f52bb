"""A search that is stopped, whatever a library makes of that."""

import os
import signal
import time

import pytest

from runner import search
from runner.errors import Interrupted


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("made_of_it", [None, KeyboardInterrupt, RuntimeError])
def test_a_stop_is_one_also_if_a_library_makes_an_error_of_it(number, made_of_it, tmp_path, capsys):
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as stopped, search._stoppable(tmp_path):
        try:
            os.kill(os.getpid(), number)
            time.sleep(10)
        except Interrupted:
            if made_of_it is None:
                raise
            raise made_of_it from None
    assert stopped.value.exit_code == 128 + number and stopped.value.told
    assert capsys.readouterr().err == "Stopped.\n", "there is no record to go on with"
    assert signal.getsignal(number) is before


def test_other_errors_are_no_stop(tmp_path, capsys):
    with pytest.raises(RuntimeError), search._stoppable(tmp_path):
        raise RuntimeError
    assert capsys.readouterr().err == ""
