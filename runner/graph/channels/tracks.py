"""Tracks: the channel ids along the dimensions of tensors, and the choices that set the widths."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

LOST = -2  # an unknown channel; a track with it has as many as the group has channels


@final
@dataclass(frozen=True)
class Track:
    """The channel at each index of one dimension of a tensor.

    Dimensions that are resized together or meet in a concatenation belong to one group, whose
    channels are numbered. A channel may occur at several indices (at 49 after flattening 7 x 7).
    """

    group: str  # label of a choice that sets the width, such as "width/layer2.0.conv1"
    channels: tuple[int, ...]  # per index the channel id in the group, -1 for none; or all LOST
    makes: bool  # whether the tensor makes the channels (filters, a bias), or uses or scales them
    mixes: bool | None = None  # whether it sums over them; None: as its layer does
    held: bool = True  # whether the tensor is in the state_dict, or an intermediate value of a run


# Name in the state_dict -> dimension -> track. Channels that belong together in a run (a half of a
# chunk, a group of a norm) are listed under a name that begins with the path of the unit.
Tracks = Mapping[str, Mapping[int, Track]]
