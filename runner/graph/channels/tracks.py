"""Tracks: which channels stand at each place of a tensor, and whose choice their number is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

LOST = -2  # a place of which it is not known; there are as many as the group has channels


@final
@dataclass(frozen=True)
class Track:
    """What stands at each place of one dimension of a tensor.

    All dimensions whose sizes change together, and those that meet in a concatenation, are of one
    group, the channels of which are numbered. A channel may stand in several places (49 behind a
    flattening of 7 x 7).
    """

    group: str  # label of a choice that sets the width, such as "width/layer2.0.conv1"
    channels: tuple[int, ...]  # the channel of the group at each place; -1 for none, or all LOST
    makes: bool  # whether the tensor makes the channels (filters, a bias), or uses or scales them
    mixes: bool | None = None  # whether it adds up over them; None: as its layer does it
    held: bool = True  # whether the state_dict has the tensor, or a run only makes it


Tracks = Mapping[str, Mapping[int, Track]]  # name in the state_dict -> dimension -> track
"""What is not in the state_dict are channels that stand together in a run: a half of a chunk, a
group of a norm. Its name begins with the path of the unit."""
