"""Tensors of other shapes: views, joins, cuts, and what is known of a shape."""

import torch
import torch.nn.functional as F
from torch import nn

from programs.case import floats, ints, plain, program


@program(floats(1))
class View(nn.Module):
    def forward(self, x):
        return x.view(1, 1)


@program(floats(1, 2, 3, 4))
class ViewBySize(nn.Module):
    def forward(self, x):
        return x.view(x.size()[0], x.numel() // x.size()[0]), x.view(x.size(0), -1)


@program(floats(2, 3, 4))
class ReshapeBySize(nn.Module):
    def forward(self, x):
        batch, rows, columns = x.shape
        a = x.reshape(batch * rows, columns)
        b = x.reshape((batch, -1))
        c = x.view([columns, rows * batch])
        return a, b, c, x.reshape(x.shape[:-1] + (2, 2)), x.view_as(x)  # noqa: RUF005


@program(floats(2, 8, 3, 3))
class ChannelShuffle(nn.Module):
    def forward(self, x):
        bs, num_channels, height, width = x.size()
        x = x.reshape(bs * num_channels // 2, 2, height * width)
        x = x.permute(1, 0, 2)
        x = x.reshape(2, -1, num_channels // 2, height, width)
        return x[0], x[1]


@program(floats(1, 2, 3, 4))
class Flatten(nn.Module):
    def forward(self, x):
        return torch.flatten(x), torch.flatten(x, 1), x.flatten(1, 2), x.ravel()


@program(floats(2, 12))
class Unflatten(nn.Module):
    def forward(self, x):
        return x.unflatten(1, (3, 4)), torch.unflatten(x, -1, [2, -1])


@program(floats(2, 2))
class Transpose(nn.Module):
    def forward(self, x):
        return x.transpose(0, 1).transpose(1, 0), x.t(), x.T, x.mT, torch.swapaxes(x, 0, 1)


@program(floats(1, 1, 2, 1, 3, 1))
class Permute(nn.Module):
    def forward(self, x):
        return x.permute(0, 1, 4, 2, 5, 3), torch.permute(x, [5, 4, 3, 2, 1, 0]), x.movedim(2, 0)


@program(floats(3))
class Chunk(nn.Module):
    def forward(self, x):
        return x.chunk(2)


@program(floats(4, 6))
class ChunkAndUnpack(nn.Module):
    def forward(self, x):
        a, b = torch.chunk(x, 2, dim=1)
        c, d = x.chunk(2)
        return a * b, c - d


@program(floats(2, 6))
class Split(nn.Module):
    def forward(self, x):
        a, b = x.split(3, dim=1)
        return torch.split(x, 2, 1), torch.split(x, [2, 1, 3], 1), x.split((1, 5), dim=1), a + b


@program(floats(2, 6))
class SplitBySize(nn.Module):
    def forward(self, x):
        sizes = [x.size(1) // 3, x.size(1) - x.size(1) // 3]
        first, second = torch.split(x, sizes, dim=1)
        return first, second, torch.tensor_split(x, 4, dim=1), x.hsplit(2)


@program(floats(3, 4), floats(3, 4))
class Unbind(nn.Module):
    def forward(self, x, y):
        a, b, c = x.unbind(0)
        d, e, f = y.unbind()
        return a + d, b * e, c - f, torch.unbind(x, dim=1)


@program(floats(2, 3), floats(2, 3))
class CatAndStack(nn.Module):
    def forward(self, x, y):
        parts = [x, y]
        return torch.cat((x, y), dim=1), torch.cat(parts), torch.stack(parts, -1), torch.stack([x])


@program(floats(2, 3), floats(2, 3))
class MoreJoins(nn.Module):
    def forward(self, x, y):
        return (
            torch.hstack((x, y)),
            torch.vstack([x, y]),
            torch.concat([x, y], 0),
            torch.dstack([x]),
        )


@program((floats(2, 3), floats(2, 3)))
class CatOfInputTuple(nn.Module):
    def forward(self, inputs: tuple[torch.Tensor, torch.Tensor]):
        return torch.cat(inputs, 1)


class Squeeze(nn.Module):
    def __init__(self, dim: int | None):
        super().__init__()
        self.dim = dim

    def forward(self, x):
        if self.dim is not None:
            return torch.squeeze(x, dim=self.dim)
        return torch.squeeze(x)


for dim in (1, -2, None, 2):
    program(floats(2, 1, 4), init=(dim,))(Squeeze)


@program(torch.tensor([1]), torch.tensor([4]))
@program(torch.tensor([3]), torch.tensor([4]))
class SqueezeRuntimeSize(nn.Module):
    def forward(self, d1, d2):
        t = torch.zeros(d1[0], d2[0])
        return t.squeeze(0)


@program(floats(2, 1, 4))
class SqueezeMethods(nn.Module):
    def forward(self, x):
        return torch.squeeze(x, dim=-2), x.squeeze(), x.squeeze(1), x.squeeze().unsqueeze(-1)


@program(floats(3, 4))
class Unsqueeze(nn.Module):
    def forward(self, x):
        return x.unsqueeze(len(x.shape)), torch.unsqueeze(x, dim=-2), x[None], x[:, None, :, None]


@program(floats(6, 1))
class Expand(nn.Module):
    def forward(self, x):
        return x.expand(4, 6, 2), x.expand(-1, 3), x.expand_as(torch.ones(6, 2))


@program(floats(1, 2, 3, 4))
@program(floats(1, 2))
class Repeat(nn.Module):
    def forward(self, x):
        return x.repeat(1, 2, 3, 4)


@program(floats(2, 3))
class RepeatMore(nn.Module):
    def forward(self, x):
        return torch.tile(x, (2, 1)), x.repeat_interleave(2, dim=0), x.repeat((x.size(0), 1))


@program(floats(2, 3, 4))
class Unfold(nn.Module):
    def forward(self, x):
        return x.unfold(dimension=2, size=2, step=2), F.unfold(x[None], 2)


@program(floats(3), floats(4), floats(5))
class Meshgrid(nn.Module):
    def forward(self, x, y, z):
        a, b = torch.meshgrid(x, y, indexing="xy")
        return torch.meshgrid([x, y, z], indexing="ij"), a - b


@program(floats(2, 8, 3, 4))
class PixelShuffle(nn.Module):
    def forward(self, x):
        return torch.pixel_shuffle(x, upscale_factor=2), F.pixel_unshuffle(x[..., :2, :], 2)


@program(floats(3, 4))
class Turns(nn.Module):
    def forward(self, x):
        return x.flip(0), torch.flip(x, [0, 1]), torch.roll(x, 1, 0), x.rot90(1, [0, 1]), x.fliplr()


@program(floats(3, 3))
class Narrow(nn.Module):
    def forward(self, x):
        return torch.narrow(x, 0, 0, 2), x.narrow(1, 1, 2), x.select(0, 1), torch.select(x, 1, -1)


@program(plain(2, 2))
class Dim(nn.Module):
    def forward(self, x):
        return torch.scalar_tensor(x.dim()), x.dim(), x.ndim, x.numel(), len(x)


@program(plain(5, 3, 2))
class Sizes(nn.Module):
    def forward(self, x):
        last = x.shape[-1]
        return (
            torch.arange(x.size(0)),
            torch.arange(x.size(-1)),
            torch.ones(x.shape),
            last,
            x.size(),
        )


@program(plain(2, 3, 4))
class SizesUnpacked(nn.Module):
    def forward(self, x):
        b, _, c = x.shape
        n, m = x.size()[:2]
        return b * c + n * m, list(x.shape), x.shape[1:], x.size(1), x.stride(0)


class SizeIfLess(nn.Module):
    def __init__(self, a: int, b: int):
        super().__init__()
        self.a = a
        self.b = b

    def forward(self, x):
        if self.a < self.b:
            return torch.arange(x.size(0)), torch.arange(x.size(-1)), torch.ones(x.shape)
        return torch.ones(1), torch.ones(2), x


program(plain(5, 3, 2), init=(5, 10))(SizeIfLess)
program(plain(5, 3, 2), init=(10, 5))(SizeIfLess)


@program(plain(2, 3, 4, 4))
class MemoryLayout(nn.Module):
    def forward(self, x):
        y = x.contiguous(memory_format=torch.channels_last)
        z = x.permute(0, 2, 3, 1)
        return y, y.is_contiguous(), z.is_contiguous(), z.contiguous(), y.stride(1)


@program(floats(2, 3, 5))
class Pads(nn.Module):
    def forward(self, x):
        sides = [1, 2]
        plain = F.pad(x, (1, 2)), F.pad(x, sides, mode="constant", value=0.5)
        return plain, F.pad(x, (1, 1), "reflect"), F.pad(x, (2, 0), mode="replicate")


@program(floats(3, 3), floats(2))
class Diagonals(nn.Module):
    def forward(self, x, y):
        return x.diagonal(), torch.diag(y), torch.diag_embed(x).sum(0), torch.block_diag(x, y)


@program(ints(9, 2, 3), floats(1, 3))
class BroadcastTogether(nn.Module):
    def forward(self, x, y):
        a, b = torch.broadcast_tensors(x, y)
        return a + b, y.broadcast_to((4, 3)), torch.atleast_2d(y[0])


@program(floats(2, 3, 4, 5))
class StackedTransforms(nn.Module):
    def forward(self, x):
        b, heads, n, d = x.shape
        return (
            x.transpose(1, 2).contiguous().view(b, n, heads * d).transpose(-2, -1)[..., :2].mean(-1)
        )
