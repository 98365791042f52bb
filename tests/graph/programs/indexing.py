"""Reading and writing parts of tensors."""

import torch
from torch import nn

from programs.case import floats, ints, plain, program

FIVE = (3, 4, 5, 2, 2)


@program(floats(1, 1))
@program(floats(*FIVE))
class First(nn.Module):
    def forward(self, x):
        return x[0]


@program(floats(*FIVE))
class Slices(nn.Module):
    def forward(self, x):
        return x[0:1, :], x[1, :], x[0:-1, :], x[0:1], x[-1:], x[::2], x[1:3:2, 1:]


@program(floats(*FIVE))
class DeepSlices(nn.Module):
    def forward(self, x):
        return x[:, :, -3:-1, :, -1], x[:, :, :, :, -1], x[..., 0], x[1, ..., None, 0:1]


@program(floats(3, 4))
class SliceOneColumn(nn.Module):
    def forward(self, x):
        return x[:, 1:2], x[x.size(0) :, x.size(1) - 3], x[: x.size(0) - 1, 1 : x.size(1)]


@program(plain(1, 2))
class SliceToSize(nn.Module):
    def forward(self, x):
        return x[1 : x.size(1)]


@program(plain(1, 2, 3, 4))
class SliceOfShape(nn.Module):
    def forward(self, x):
        return x.new_zeros(x.shape[1 : x.size(2)])


@program(floats(5, 5, 5))
class SlicesInLoop(nn.Module):
    def forward(self, x):
        results = []
        for i in range(4):
            results.append(x[: x.size(0) - i, i : x.size(2), i:3])  # noqa: PERF401
        return results


@program(floats(5, 5, 5))
class SlicesToEndInLoop(nn.Module):
    def forward(self, x):
        results = []
        for i in range(4):
            results.append(x[:, i:, x.size(2) - 5])  # noqa: PERF401
        return results


@program(floats(*FIVE))
class ByteMask(nn.Module):
    def forward(self, x):
        return x[torch.tensor([0, 1, 0], dtype=torch.bool)]


@program(floats(*FIVE))
class MaskOfCondition(nn.Module):
    def forward(self, x):
        return x[x > 0], x[(x > 0.5) & (x < 1)].sum(), x.masked_select(x < 0)


@program(floats(4, 5), ints(4, 3), ints(5, 3))
class ByTensors(nn.Module):
    def forward(self, x, rows, columns):
        return x[rows], x[rows, columns], x[:, columns], x[rows][:, columns], x[rows[0]]


@program(floats(4, 5, 3), ints(4, 2))
class ByTensorsAndSlices(nn.Module):
    def forward(self, x, rows):
        return x[rows, 1:3], x[:, rows[0]], x[rows, :, 0], x[rows, None], x[[0, 2]], x[rows, 1]


@program(plain(7, 3, 4), plain(2, 4))
class WriteSlice(nn.Module):
    def forward(self, x, y):
        x[: y.size(0), 0, :] = y
        return x


@program(floats(4, 5))
class WriteParts(nn.Module):
    def forward(self, x):
        y = x.clone()
        y[0] = 1.0
        y[1:, ::2] = x[1:, ::2] * 2
        y[:, 1] += 3
        y[..., -1] = torch.zeros(4)
        y[2][3] = 7
        return y


@program(floats(4, 5), ints(4, 2))
class WriteByTensors(nn.Module):
    def forward(self, x, rows):
        y = x * 1
        y[y > 1] = 0.0
        y[rows] = -1.0
        y[rows, 2] *= 2
        y[:, torch.tensor([0, 3])] = 0.5
        return y


@program(floats(3, 4))
class WriteThroughView(nn.Module):
    def forward(self, x):
        y = x.clone()
        row = y[1]
        row.mul_(2)
        flat = y.view(-1)
        flat[0] = 9.0
        return y, row


@program(floats(3, 4, 3), torch.tensor([2, 0]).view(1, 2, 1).expand(3, 2, 3).clone())
class Gather(nn.Module):
    def forward(self, data, index):
        return data.gather(1, index), torch.gather(data, 1, index), data.take_along_dim(index, 1)


@program(plain(3, 3), torch.tensor([[1, 0], [0, 1], [0, 1]]), floats(3, 2))
class ScatterAdd(nn.Module):
    def forward(self, data, indices, values):
        return data.scatter_add(1, indices, values), data.clone().scatter_add_(1, indices, values)


@program(plain(3, 3), torch.tensor([[1, 0], [0, 1], [0, 1]]), floats(3, 2))
class Scatter(nn.Module):
    def forward(self, data, indices, values):
        hot = torch.zeros(3, 4).scatter_(1, indices, 1.0)
        return data.scatter(1, indices, values), data.scatter(1, indices, 0.5), hot


@program(plain(4, 3), torch.tensor([0, 2]), floats(2, 3))
class IndexMethods(nn.Module):
    def forward(self, x, index, y):
        read = x.index_select(0, index), torch.index_select(x, 1, index), torch.take(x, index)
        written = x.index_add(0, index, y), x.index_copy(0, index, y), x.index_fill(0, index, 2.0)
        return read, written, x.index_put((index,), y)


@program(floats(2, 4))
class MaskedFill(nn.Module):
    def forward(self, x):
        mask = x > 0
        y = x.masked_fill(mask, float("-inf"))
        z = x.clone()
        z.masked_fill_(~mask, 0)
        return (
            y.softmax(-1).nan_to_num(),
            z,
            x.masked_fill(mask == 0, -1e9),
            z.masked_scatter(mask, z),
        )


@program(floats(2, 3))
class ItemsOfTensor(nn.Module):
    def forward(self, x):
        first = x[0, 0].item()
        return first, float(x[1, 1]), int(x[0, 1]), bool(x[0, 2] > 0), x.sum().item() * 2


@program(ints(9, 3))
class ToList(nn.Module):
    def forward(self, x):
        numbers: list[int] = x.tolist()
        return numbers, sum(numbers)


@program(floats(3, 2))
class OverRows(nn.Module):
    def forward(self, x):
        total = torch.zeros(2)
        for row in x:
            total = total + row * 2
        return total


@program(floats(2, 6, 4), ints(6, 2))
class LastOfEach(nn.Module):
    def forward(self, x, lengths):
        return x[torch.arange(x.size(0)), lengths]


@program(floats(8))
class SliceObjects(nn.Module):
    def forward(self, x):
        start, stop = 1, x.size(0) - 2
        step = 2
        return x[start:stop:step], x[start:][:3], x[-start], x[2:stop]
