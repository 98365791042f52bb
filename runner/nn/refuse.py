"""What a space says to a sample that makes no model."""

from typing import NoReturn

from runner.errors import Refused, SpaceError
from runner.nn.build import is_building
from runner.nn.recording.call_stack import is_running, users_line


def refuse(why: str) -> NoReturn:
    """Refuses the sample that a model is being built for: to be called where `__init__` runs.

        if sum(p.numel() for p in self.parameters()) > 3_000_000:
            nn.refuse("more than 3 million parameters")

    A search records the sample as refused, with the reason, and draws another one. Raises Refused;
    where a model already runs, in `forward`, it is too late for that: SpaceError says so.
    """
    if not is_building() and is_running():
        raise SpaceError(
            f"{users_line()}: nn.refuse({why!r}) was called while the model runs. A sample is "
            "refused while its model is built: call nn.refuse in __init__."
        )
    raise Refused(str(why) or "The space refuses it, and gives no reason.")
