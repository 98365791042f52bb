"""A space of small vision transformers: an encoder over the patches of an image."""

from collections.abc import Sequence
from functools import partial

from torch import Tensor

from runner import nn


@nn.model_wrapper
class Transformer(nn.Module):
    """ViT (Dosovitskiy et al. 2020, https://arxiv.org/abs/2010.11929) with the choices of
    AutoFormer (Chen et al. 2021, https://arxiv.org/abs/2107.00651).

    A convolution over the patches encodes positions (https://arxiv.org/abs/2102.10882), and the
    mean of all tokens is classified, so that few images suffice for training. Plural arguments and
    `heads` list candidates; every number of heads must divide every width. Choices:

    - `width`: size of the embedding.
    - `depth`: number of blocks.
    - `dropout`: fraction of values dropped after attention and MLP.
    - `block0/heads`: attention heads.
    - `block0/ratio`: ratio of the MLP's hidden units to the width.
    """

    def __init__(
        self,
        shape: nn.ImageShape = (1, 8, 8),
        classes: nn.Positive = 10,
        patch: nn.Positive = 2,
        widths: Sequence[nn.Positive] = (32, 48, 64),
        depths: Sequence[nn.AnyRepeats] = (2, 3),
        heads: Sequence[nn.Positive] = (2, 4, 8),
        ratios: Sequence[nn.Positive] = (2, 3, 4),
        dropouts: Sequence[nn.Fraction] = (0.0, 0.1),
    ) -> None:
        super().__init__()
        channels, height, length = shape
        _check(height, length, patch, widths, heads)
        width = nn.ValueChoice(widths, label="width")
        dropout = nn.ValueChoice(dropouts, label="dropout")
        block = partial(_block, width, dropout, heads, ratios)

        self.embed = nn.Conv2d(channels, width, patch, patch)
        self.position = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.blocks = nn.Repeat(block, nn.ValueChoice(depths, label="depth"))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)
        self.apply(_initialize)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x)  # (N, C, H, W): H by W patches
        x = x + self.position(x)
        x = x.flatten(2).transpose(1, 2)  # (N, T, C): T = H * W tokens
        x = self.norm(self.blocks(x))
        return self.head(x.mean(1))  # (N, classes)


class Block(nn.Module):
    """Pre-norm attention between tokens and an MLP per token, both residual."""

    def __init__(self, width: int, heads: int, ratio: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.drop = nn.Dropout(dropout)
        self.mlp = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, width * ratio),
            nn.GELU(),
            nn.Linear(width * ratio, width),
            nn.Dropout(dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm1(x)  # (N, T, C)
        y, _ = self.attention(y, y, y, need_weights=False)
        x = x + self.drop(y)
        return x + self.mlp(x)


def _block(
    width: int, dropout: float, heads: Sequence[int], ratios: Sequence[int], index: int
) -> Block:
    return Block(
        width,
        heads=nn.ValueChoice(heads, label=f"block{index}/heads"),
        ratio=nn.ValueChoice(ratios, label=f"block{index}/ratio"),
        dropout=dropout,
    )


def _check(
    height: int, length: int, patch: int, widths: Sequence[int], heads: Sequence[int]
) -> None:
    if height % patch or length % patch:
        raise nn.SpaceError(
            f"Images of {height}x{length} do not fall into patches of {patch}x{patch}: "
            "space.patch must divide both."
        )
    for width in widths:
        for head in heads:
            if width % head:
                raise nn.SpaceError(
                    f"{head} heads do not divide a width of {width}: each of space.heads must "
                    "divide each of space.widths."
                )


def _initialize(module: nn.Module) -> None:
    """Initializes with Xavier weights and zero biases, as in the ViT paper."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
