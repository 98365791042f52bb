"""What is told of the members of a sweep that other processes run."""

from collections.abc import Sequence
from typing import final

from runner.display import format as text
from runner.display import progress
from runner.sweeps.sweep_driver import SweepDriver
from runner.sweeps.sweep_member import show_failure


@final
class MemberNews:
    """Lines about members that other processes run."""

    def __init__(self, driver: SweepDriver, numbers: Sequence[int]) -> None:
        self._driver = driver
        self._told = dict.fromkeys(numbers, "waiting")

    def tell(self) -> None:
        """Tells what is new."""
        for number, before in self._told.items():
            member = self._driver.member(number)
            if member.state == before:
                continue
            self._told[number] = member.state
            if member.state == "failed":
                show_failure(member)
            elif member.state == "running":
                where = text.near(self._driver.folder.output(number))
                progress.note(f"{member.title} has begun; its output goes to {where}.")
            else:
                best = "" if member.value is None else f"; its best is {text.number(member.value)}"
                progress.note(f"{member.title} has ended{best}.")
