"""Packages of somebody else: importing this leaves a mark, and so does building its models."""

import os
from pathlib import Path

from toy import Net

from runner import nn

if "MARK" in os.environ:
    Path(os.environ["MARK"]).touch()


class Marked(Net):
    pass


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.width = nn.ValueChoice([1, 2, 3], label="width")
