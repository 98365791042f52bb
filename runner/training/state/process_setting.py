"""A setting of the process: how it is read, compared, and put back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

UNREADABLE = "unreadable"  # the value of a setting that cannot be read, such as a deleted folder


@final
@dataclass(frozen=True)
class ProcessSetting:
    """A setting of the process, named as a user would name it.

    `same` is asked about values that are not equal, for settings of which a part may change.
    """

    name: str
    read: Callable[[], Any]
    restore: Callable[[Any], object]
    same: Callable[[Any, Any], bool] = lambda before, now: False

    def value(self) -> Any:
        """Returns the current value, which the process cannot change in place."""
        try:
            return self.read()
        except Exception:  # whatever a trial did to it, it is to be put back
            return UNREADABLE

    def is_kept(self, before: Any, now: Any) -> bool:
        """Returns whether two values mean the same to later trials."""
        try:
            return bool(before == now) or self.same(before, now)
        except Exception:  # a value that refuses to be compared is none of ours
            return False

    def put_back(self, before: Any) -> bool:
        """Restores a former value; returns whether that worked."""
        try:
            self.restore(before)
        except Exception:
            return False
        return self.is_kept(before, self.value())
