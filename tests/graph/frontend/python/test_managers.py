"""Context managers that suppress exceptions, and functions of Python's own library."""

from source_rows import each

HEAD = """
import collections, contextlib, logging, os
from contextlib import suppress
logger = logging.getLogger(__name__)
root = logging.getLogger()
class Quiet:
    def __enter__(self):
        return self
    def __exit__(self, kind, error, trace):
        return kind is ValueError
class Loud:
    def __enter__(self):
        return self
    def __exit__(self, kind, error, trace):
        return False
class Silent(Loud):
    def __exit__(self, *args):
        if args[0] is None:
            return
        print('failed')
quiet = Quiet()
@contextlib.contextmanager
def catching():
    try:
        yield
    except ValueError:
        pass
caught = catching()
counts = collections.UserDict(a=1)
"""
ROWS = """
# an object of one's own
with Loud(), Silent():
    y = x + 1
return y * 2

# nullcontext
with contextlib.nullcontext():
    y = x + 1
return y * 2

# a logger
logger.debug('shape %s', x.shape)
logger.warning(f'{n}')
root.info('on')
return x

# log, which tensors have as well
logger.log(10, 'shape %s', x.shape)
if on:
    logger.log(level=logging.DEBUG, msg='on')
return x.abs().log()

# a logger that is asked
if logger.isEnabledFor(logging.DEBUG):
    x = x * 2
return x

# a logger in a loop and a branch
for i in range(n):
    if i > 1:
        logger.info('step %d', i)
    x = x + i
return x

# a branch that is never taken
if self.times > 100:
    counts.get('a')
    with suppress(ValueError):
        x = x * 5
return x
"""


@each(ROWS)
def test_what_has_a_form_is_read(reads, body):
    reads(body, head=HEAD)


def test_a_logger_is_got_by_its_name(reads):
    text = reads("logger.info('n is %d', n)\nreturn x + 1", head=HEAD)
    assert ").info('n is %d', n)" in text.replace('"', "'") and "getLogger(" in text


REFUSED = """
# suppress
y = x
with contextlib.suppress(ValueError):  # <- suppress may suppress exceptions
    y = x + 1
return y

# suppress by a variable
manager = suppress(ValueError)
with torch.no_grad(), manager:  # <- suppress may suppress exceptions
    y = x + 1
return y

# suppress or not
with suppress(ValueError) if on else contextlib.nullcontext():  # <- suppress may suppress
    y = x + 1
return y

# a stack
with contextlib.ExitStack():  # <- ExitStack may suppress exceptions
    y = x + 1
return y

# an object of one's own
with Quiet():  # <- Quiet may suppress exceptions
    y = x + 1
return y

# an object that exists
with quiet:  # <- Quiet may suppress exceptions
    y = x + 1
return y

# a generator that exists
with caught:  # <- catching may suppress exceptions
    y = x + 1
return y

# a generator
with catching():  # <- it calls helper() in Python's contextlib
    y = x + 1
return y

# a method of an object of the standard library
return x * counts.get('a')  # <- it calls get() in Python's
"""


@each(REFUSED)
def test_what_has_no_form_is_refused_with_its_line(refuses, body):
    refuses(body, head=HEAD, compare="caught" not in body)
