"""Layers of torch.nn, each as the one child of a module that calls it."""

from typing import Any

import torch
from torch import Tensor, nn

from programs.case import add, floats, ints, plain, program, shares


class One(nn.Module):
    """Calls a layer with a tensor."""

    def __init__(self, kind: type[nn.Module], *args: Any, **kwargs: Any):
        super().__init__()
        self.m = kind(*args, **kwargs)

    def forward(self, x):
        return self.m(x)


class Two(One):
    """Calls a layer with two tensors."""

    def forward(self, x, y):
        return self.m(x, y)


class Three(One):
    """Calls a layer with three tensors."""

    def forward(self, x, y, z):
        return self.m(x, y, z)


def layer(inputs: Tensor | tuple[Tensor, ...], kind: type[nn.Module], *args: Any, **kwargs: Any):
    """A case: the layer with these arguments, called with one tensor, or several."""
    tensors = (inputs,) if torch.is_tensor(inputs) else inputs
    around = [One, Two, Three][len(tensors) - 1]
    add(f"layers.{kind.__name__}", lambda: around(kind, *args, **kwargs), tensors)


LINE, IMAGE, BOX = floats(2, 4, 9), floats(2, 4, 7, 9), floats(1, 4, 5, 6, 7)

layer(floats(3, 4), nn.Linear, 4, 5)
layer(floats(3, 4), nn.Linear, 4, 5, bias=False)
layer((floats(3, 4), floats(3, 2)), nn.Bilinear, 4, 2, 5)
layer(floats(3, 4), nn.Identity)
layer(IMAGE, nn.Flatten)
layer(floats(2, 6), nn.Unflatten, 1, (2, 3))

layer(LINE, nn.Conv1d, 4, 6, 3, stride=2)
layer(IMAGE, nn.Conv2d, 4, 6, 3, bias=False)
layer(IMAGE, nn.Conv2d, 4, 6, (3, 5), stride=(2, 1), padding=(4, 2), dilation=(3, 1))
layer(IMAGE, nn.Conv2d, 4, 8, 3, padding="same", groups=4, padding_mode="reflect")
layer(BOX, nn.Conv3d, 4, 6, (3, 5, 2), stride=(2, 1, 1), padding=(4, 2, 0))
layer(LINE, nn.ConvTranspose1d, 4, 3, 3, stride=2)
layer(IMAGE, nn.ConvTranspose2d, 4, 3, (3, 5), stride=(2, 1), padding=(4, 2), dilation=(3, 1))
layer(IMAGE, nn.ConvTranspose2d, 4, 3, 3, stride=3, bias=False, padding=1, output_padding=2)
layer(BOX, nn.ConvTranspose3d, 4, 3, (3, 5, 2), stride=(2, 1, 1), padding=(2, 2, 0))

layer(floats(4, 2), nn.BatchNorm1d, 2)
layer(IMAGE, nn.BatchNorm2d, 4)
layer(IMAGE, nn.BatchNorm2d, 4, affine=False, momentum=0.3)
layer(IMAGE, nn.BatchNorm2d, 4, momentum=None)
layer(IMAGE, nn.BatchNorm2d, 4, track_running_stats=False)
layer(BOX, nn.BatchNorm3d, 4)
layer(IMAGE, nn.InstanceNorm2d, 4, affine=True)
layer(LINE, nn.InstanceNorm1d, 4, track_running_stats=True)
layer(floats(2, 3, 4, 5), nn.LayerNorm, [4, 5])
layer(floats(2, 3), nn.LayerNorm, 3, elementwise_affine=False)
layer(IMAGE, nn.GroupNorm, 2, 4)
layer(floats(2, 3), nn.RMSNorm, 3)
layer(IMAGE, nn.LocalResponseNorm, 2)

layer(LINE, nn.MaxPool1d, 3, stride=2)
layer(LINE, nn.MaxPool1d, 2, stride=1)
layer(LINE, nn.MaxPool1d, 2, stride=1, dilation=2)
layer(LINE, nn.MaxPool1d, 3, 2, ceil_mode=True)
layer(IMAGE, nn.MaxPool2d, 5, padding=(1, 2))
layer(IMAGE, nn.MaxPool2d, 3, 2, ceil_mode=True)
layer(BOX, nn.MaxPool3d, 3, 2, ceil_mode=True)
layer(LINE, nn.MaxPool1d, 3, stride=2, return_indices=True)
layer(IMAGE, nn.MaxPool2d, 2, return_indices=True)
layer(IMAGE, nn.FractionalMaxPool2d, 2, output_ratio=0.5)
layer(LINE, nn.AvgPool1d, 2, stride=1)
layer(floats(1, 1, 7), nn.AvgPool1d, 3, 2, ceil_mode=True)
layer(IMAGE, nn.AvgPool2d, 3, stride=2)
layer(IMAGE, nn.AvgPool2d, 3, 2, ceil_mode=True)
layer(BOX, nn.AvgPool3d, 3, 2, ceil_mode=True)
layer(LINE, nn.AdaptiveMaxPool1d, 5, return_indices=False)
layer(IMAGE, nn.AdaptiveMaxPool2d, (2, 3))
layer(IMAGE, nn.AdaptiveAvgPool2d, (1, 1))
layer(IMAGE, nn.AdaptiveAvgPool2d, (None, 3))
layer(LINE, nn.LPPool1d, 2, 3)

layer(torch.arange(-5.0, 5.0), nn.Hardtanh, -1.5, 2.5)
layer(plain(3, 3), nn.Hardswish)
layer(torch.tensor(3.0), nn.Hardswish)
layer(torch.tensor(-3.0), nn.Hardswish)
layer(IMAGE, nn.ELU)
layer(IMAGE, nn.SELU)
layer(IMAGE, nn.CELU, 0.5)
layer(IMAGE, nn.ReLU)
layer(plain(2, 3), nn.ReLU, inplace=True)
layer(IMAGE, nn.ReLU6)
layer(IMAGE, nn.RReLU)
layer(IMAGE, nn.PReLU, 4)
layer(IMAGE, nn.LeakyReLU, 0.2)
layer(IMAGE, nn.GELU, approximate="tanh")
layer(IMAGE, nn.SiLU)
layer(IMAGE, nn.Mish)
layer(IMAGE, nn.Sigmoid)
layer(IMAGE, nn.Tanh)
layer(IMAGE, nn.Hardsigmoid)
layer(IMAGE, nn.LogSigmoid)
layer(IMAGE, nn.Softplus, 2, threshold=10)
layer(IMAGE, nn.Softshrink, 0.3)
layer(IMAGE, nn.Hardshrink)
layer(IMAGE, nn.Tanhshrink)
layer(IMAGE, nn.Threshold, 0.1, 20)
layer(IMAGE, nn.GLU, 1)
layer(IMAGE, nn.Softmax, dim=-1)
layer(IMAGE, nn.LogSoftmax, dim=3)
layer(IMAGE, nn.Softmax2d)

layer(floats(3, 4), nn.Dropout)
layer(IMAGE, nn.Dropout2d, 0.3)
layer(floats(3, 4), nn.AlphaDropout)
layer(floats(1, 1, 2, 4), nn.ReflectionPad2d, (2, 3, 0, 1))
layer(IMAGE, nn.ZeroPad2d, (1, 2, 0, -1))
layer(LINE, nn.ConstantPad1d, 2, 3.5)
layer(LINE, nn.ReplicationPad1d, (3, 1))
layer(IMAGE, nn.CircularPad2d, 1)
layer(floats(2, 4, 3, 3), nn.PixelShuffle, 2)
layer(floats(2, 1, 4, 4), nn.PixelUnshuffle, 2)
layer(IMAGE, nn.ChannelShuffle, 2)
layer(IMAGE, nn.Upsample, mode="nearest", scale_factor=2)
layer(IMAGE, nn.Upsample, size=(3, 4), mode="bilinear", align_corners=True)
layer(IMAGE, nn.UpsamplingBilinear2d, scale_factor=2)
layer(IMAGE, nn.Unfold, 3, padding=1)
layer(floats(2, 8, 6), nn.Fold, (3, 4), 2)

layer(ints(10, 2, 3), nn.Embedding, 10, 8)
layer(ints(10, 2, 3), nn.Embedding, 10, 8, padding_idx=2, max_norm=1.0)
layer((torch.tensor([1, 2, 3, 4]), torch.tensor([0])), nn.EmbeddingBag, 10, 8)
layer(ints(10, 2, 3), nn.EmbeddingBag, 10, 8, mode="max")
layer(floats(5, 2, 3), nn.LSTM, 3, 4)
layer(floats(2, 5, 3), nn.LSTM, 3, 4, num_layers=2, batch_first=True, bidirectional=True)
layer(floats(5, 2, 3), nn.LSTM, 3, 4, 2, dropout=0.4, proj_size=2)
layer((floats(5, 2, 3), floats(1, 2, 4)), nn.GRU, 3, 4)
layer(floats(5, 2, 3), nn.RNN, 3, 4, nonlinearity="relu")
layer((floats(2, 3), floats(2, 4)), nn.GRUCell, 3, 4)
layer(floats(2, 3), nn.LSTMCell, 3, 4, bias=False)
layer((floats(2, 3), floats(2, 4)), nn.RNNCell, 3, 4)
layer((floats(5, 2, 8), floats(4, 2, 8), floats(4, 2, 8)), nn.MultiheadAttention, 8, 2)
layer(floats(2, 5, 8), nn.TransformerEncoderLayer, 8, 2, 16, batch_first=True, dropout=0.0)
layer((floats(5, 2, 8), floats(3, 2, 8)), nn.TransformerDecoderLayer, 8, 2, 16, activation="gelu")
layer((floats(1, 5, 8), floats(1, 3, 8)), nn.Transformer, 8, 2, 1, 1, 16, batch_first=True)

layer((floats(4, 3), ints(3, 4)), nn.CrossEntropyLoss, label_smoothing=0.1)
layer((floats(4, 3), ints(3, 4)), nn.CrossEntropyLoss, torch.tensor([1.0, 2.0, 0.5]))
layer((floats(4, 3), ints(3, 4)), nn.NLLLoss, ignore_index=0)
layer((floats(4, 3), shares(4, 3)), nn.MSELoss, reduction="sum")
layer((shares(4, 3), shares(4, 3).detach()), nn.BCELoss)
layer((floats(4, 3), shares(4, 3)), nn.BCEWithLogitsLoss, pos_weight=torch.tensor([1.0, 2.0, 3.0]))
layer((floats(4, 3), floats(4, 3)), nn.SmoothL1Loss, beta=0.5)
layer((floats(4, 3), floats(4, 3)), nn.CosineSimilarity, dim=0)
layer((floats(4, 3), floats(4, 3)), nn.PairwiseDistance, 1.0)
layer((floats(4, 3), floats(4, 3), floats(4, 3)), nn.TripletMarginLoss, margin=0.5)

add("layers.RootIsLayer", lambda: nn.Conv1d(4, 2, 3), (LINE,), grade="basic", python="basic")


@program(LINE, IMAGE, BOX)
class ThreeConvolutions(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv1d(4, 3, 3, stride=2)
        self.conv2 = nn.Conv2d(4, 3, (3, 5), stride=(2, 1), padding=(4, 2), dilation=(3, 1))
        self.conv3 = nn.Conv3d(4, 3, (3, 5, 2), stride=(2, 1, 1), padding=(4, 2, 0))

    def forward(self, x, y, z):
        return self.conv1(x), self.conv2(y) + 2, self.conv3(z)


class ConvAndNorm(nn.Module):
    """A convolution of any dimension, and its norm."""

    def __init__(self, conv: nn.Module, norm: nn.Module):
        super().__init__()
        self.conv = conv
        self.bn = norm

    def forward(self, x):
        out = self.conv(x)
        return self.bn(out)


def conv_and_norm(
    x: Tensor, conv: type[nn.Module], norm: type[nn.Module], *args: Any, **kwargs: Any
):
    """A case of ConvAndNorm."""
    make = lambda: ConvAndNorm(conv(4, 3, *args, **kwargs), norm(3))  # noqa: E731
    add(f"layers.{conv.__name__}And{norm.__name__}", make, (x,))


conv_and_norm(LINE, nn.Conv1d, nn.BatchNorm1d, 3, stride=2)
conv_and_norm(IMAGE, nn.Conv2d, nn.BatchNorm2d, 1, stride=2, padding=3, bias=False)
conv_and_norm(BOX, nn.Conv3d, nn.BatchNorm3d, (3, 5, 2), padding=(3, 2, 0), bias=False)


@program(IMAGE)
class TransposeOfConvolved(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(4, 1, 3, stride=2)

    def forward(self, x):
        x = self.conv(x)
        return x.transpose(0, 1)


@program(floats(1, 2, 5, 7))
class FilledWeights(nn.Module):
    def __init__(self):
        super().__init__()
        self.m = nn.Conv2d(2, 4, 3, bias=False)
        self.m.weight.data.fill_(1.0)

    def forward(self, x):
        return self.m(x)


@program(floats(3, 4))
class TwoFilledLayers(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(4, 5, bias=False)
        self.fc1.weight.data.fill_(2.0)
        self.fc2 = nn.Linear(5, 6, bias=False)
        nn.init.constant_(self.fc2.weight, 3.0)

    def forward(self, x):
        return self.fc2(self.fc1(x))


@program(floats(2, 5, 3))
class RecurrentStates(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)
        self.gru = nn.GRU(4, 2, batch_first=True)

    def forward(self, x):
        state = x.new_zeros(1, x.size(0), 4)
        out, (h, c) = self.lstm(x, (state, state + 1))
        out, last = self.gru(out)
        return out, h * c, last


@program(floats(5, 2, 8))
class AttentionWithoutWeights(nn.Module):
    def __init__(self):
        super().__init__()
        self.attend = nn.MultiheadAttention(8, 2, dropout=0.1)
        block = nn.TransformerEncoderLayer(8, 2, 16)
        self.encoder = nn.TransformerEncoder(block, 2, enable_nested_tensor=False)

    def forward(self, x):
        y, _ = self.attend(x, x, x, need_weights=False)
        z, weights = self.attend(x, y, y)
        return self.encoder(z), weights


@program(floats(2, 3, 6, 8))
class PooledWithIndices(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.back = nn.MaxUnpool2d(2)

    def forward(self, x):
        y, places = self.pool(x)
        return self.back(y, places)
