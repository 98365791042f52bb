"""nn.refuse: rejects a sample that has no valid model."""

from typing import NoReturn

from runner.errors import Refused, SpaceError
from runner.nn.values.build import is_building
from runner.nn.values.frames import is_running, users_line


def refuse(why: str) -> NoReturn:
    """Refuses the sample whose model is being built; to be called during `__init__`.

        if sum(p.numel() for p in self.parameters()) > 3_000_000:
            nn.refuse("more than 3 million parameters")

    A search records the sample as refused, with the reason, and draws another one. Always raises:
    Refused, or SpaceError if a model already runs (in `forward`), which is too late.
    """
    if not is_building() and is_running():
        raise SpaceError(
            f"{users_line()}: nn.refuse({why!r}) was called while the model runs. A sample is "
            "refused while its model is built: call nn.refuse in __init__."
        )
    raise Refused(str(why) or "The space refuses it without a reason.")
