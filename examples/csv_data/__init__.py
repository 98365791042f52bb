"""A data set of one's own: the rows of a CSV file."""

import csv
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.utils.data import Dataset


class Table(Dataset[tuple[Tensor, int]]):
    """The rows of a CSV file: numbers, and one column of classes.

    Every fifth row is a test example. Numbers are standardized by the mean and the deviation of the
    others.
    """

    def __init__(self, path: str, target: str, part: Literal["train", "test"]) -> None:
        with Path(path).open(newline="") as file:
            rows = [*csv.DictReader(file)]
        classes = sorted({row[target] for row in rows})
        self.labels = [classes.index(row.pop(target)) for row in rows]
        numbers = torch.tensor([[float(value) for value in row.values()] for row in rows])
        is_test = [i % 5 == 4 for i in range(len(rows))]
        known = numbers[~torch.tensor(is_test)]
        self.numbers = (numbers - known.mean(0)) / known.std(0)
        self.rows = [i for i in range(len(rows)) if is_test[i] == (part == "test")]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        row = self.rows[place]
        return self.numbers[row], self.labels[row]
