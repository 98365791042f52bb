"""Run-length encoding of lists of channels: runs of consecutive numbers."""

from collections.abc import Iterable, Sequence

# [first, count, repeats] each: `count` numbers from `first` on, each of them `repeats` times
RunLengths = list[list[int]]


def to_runs(numbers: Iterable[int]) -> RunLengths:
    """Encodes numbers: 0, 0, 1, 1, 2, 2, 5 as [[0, 3, 2], [5, 1, 1]]."""
    equal: list[list[int]] = []  # [number, repeats]
    for number in numbers:
        if equal and equal[-1][0] == number:
            equal[-1][1] += 1
        else:
            equal.append([number, 1])
    found: RunLengths = []
    for number, repeats in equal:
        if found and found[-1][2] == repeats and found[-1][0] + found[-1][1] == number:
            found[-1][1] += 1
        else:
            found.append([number, 1, repeats])
    return found


def from_runs(runs: Sequence[Sequence[int]]) -> list[int]:
    """Decodes runs to the numbers that `to_runs` was given."""
    return [
        first + place
        for first, count, repeats in runs
        for place in range(count)
        for _ in range(repeats)
    ]
