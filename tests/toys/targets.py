"""Targets of config nodes: a function of plain arguments, and a class that holds other objects."""

from collections.abc import Sequence


def walked(
    width: int, rate: float = 0.1, names: Sequence[str] = (), deep: bool = False, *,
    size: tuple[int, int] = (1, 1), kind: int | None = None,
) -> dict[str, object]:  # fmt: skip
    """Returns its arguments."""
    return {"width": width, "rate": rate, "names": names, "deep": deep, "size": size, "kind": kind}


class Holder:
    """An object that holds others."""

    def __init__(self, inner: object, more: object = None, runtime: int = 0) -> None:
        self.inner = inner
        self.more = more
        self.runtime = runtime
