"""What is written past Python is kept back; what Python writes is not."""

import subprocess
import sys
import textwrap

import pytest

BEGIN = """
    import os, sys
    from runner.training.native_output import native_output, text_of
"""


def run(code, **given):
    command = [sys.executable, "-c", textwrap.dedent(BEGIN) + textwrap.dedent(code)]
    return subprocess.run(command, text=True, check=True, stdout=subprocess.PIPE, **given)


def test_what_is_written_past_python_is_kept_back():
    code = r"""
        with native_output() as file:
            os.write(2, b"a line of C++\n")
            print("a line of ours", file=sys.stderr)
            print(text_of(file), end="")
            os.write(2, b"another\n")
            print(text_of(file), end="")
        os.write(2, b"afterwards\n")
        print("we, too", file=sys.stderr)
    """
    done = run(code, stderr=subprocess.PIPE)
    assert done.stderr == "a line of ours\nafterwards\nwe, too\n"
    assert done.stdout == "a line of C++\na line of C++\nanother\n"


def test_an_exception_leaves_standard_error_as_it_was():
    code = r"""
        try:
            with native_output() as file:
                os.write(2, b"lost\n")
                raise ValueError
        except ValueError:
            os.write(2, b"there\n")
        print(sys.stderr is sys.__stderr__)
    """
    done = run(code, stderr=subprocess.PIPE)
    assert done.stderr == "there\n" and done.stdout == "True\n"


@pytest.mark.parametrize("closed", ["os.close(2)", "sys.stderr = None"])
def test_without_a_standard_error_nothing_goes_wrong(closed):
    code = f"""
        {closed}
        with native_output() as file:
            print(repr(text_of(file)))
    """
    assert run(code, stderr=subprocess.DEVNULL).stdout == "''\n"


def test_a_reader_that_has_ended_spoils_nothing():
    code = """
        reader, writer = os.pipe()
        os.dup2(writer, 2)
        os.close(writer)
        with native_output():
            os.close(reader)
            sys.stderr.write("nobody reads the rest of this line")
        print("the end")
    """
    assert run(code, stderr=subprocess.DEVNULL).stdout == "the end\n"
