"""Functions of torch.nn.functional."""

import torch
import torch.nn.functional as F
from torch import nn

from programs.case import floats, ints, plain, program, shares


@program(floats(2, 3))
class Activations(nn.Module):
    def forward(self, x):
        smooth = F.gelu(x), F.silu(x), F.mish(x), F.softplus(x), F.elu(x), F.celu(x), F.selu(x)
        kinks = F.relu(x), F.relu6(x), F.leaky_relu(x, 0.2), F.hardtanh(x), F.hardswish(x)
        shrunk = F.hardshrink(x), F.softshrink(x), F.tanhshrink(x), F.threshold(x, 0.1, 20.0)
        return smooth, kinks, shrunk, F.hardsigmoid(x), F.softsign(x), F.logsigmoid(x)


@program(floats(2, 3))
class ActivationsOfTorch(nn.Module):
    def forward(self, x):
        named = torch.relu(x), x.relu(), torch.sigmoid(x), x.tanh(), torch.selu(x), x.sigmoid()
        return named, F.gelu(x, approximate="tanh"), F.sigmoid(x), F.tanh(x), F.glu(x[:, :2])


@program(plain(2, 3))
class ActivationsInPlace(nn.Module):
    def forward(self, x):
        y = x * 2
        F.relu(y, inplace=True)
        z = F.leaky_relu(x - 1, 0.1, inplace=True)
        w = x + 1
        w.sigmoid_().tanh_()
        torch.relu_(z)
        return y, z, w


@program(floats(2, 3, 4))
class Softmaxes(nn.Module):
    def forward(self, x):
        plain = F.softmax(x, dim=1), F.log_softmax(x, dim=-1), F.softmin(x, dim=0)
        return plain, x.softmax(-1), torch.log_softmax(x, 1), F.softmax(x, 2, dtype=torch.float64)


@program(floats(2, 3), shares(5, 3), floats(5))
class LinearFunction(nn.Module):
    def forward(self, x, weight, bias):
        cube = weight.view(5, 3, 1).expand(5, 3, 3)
        return F.linear(x, weight), F.linear(x, weight, bias), F.bilinear(x, x, cube)


@program(floats(1, 2, 5, 6), floats(4, 2, 3, 3), floats(4))
class Convolutions(nn.Module):
    def forward(self, x, weight, bias):
        a = F.conv2d(x, weight, bias, stride=2, padding=1)
        b = F.conv2d(x, weight, padding="same", dilation=2)
        c = F.conv_transpose2d(a, weight, None, 2, output_padding=1)
        return a, b, c, F.conv1d(x[:, :, 0], weight[:, :, 0]), torch.conv2d(x, weight, bias)


@program(floats(2, 3, 8, 10))
class MaxPools(nn.Module):
    def forward(self, x):
        kept, places = F.max_pool2d(x, 2, return_indices=True)
        back = F.max_unpool2d(kept, places, 2)
        return F.max_pool2d(x, 2), F.max_pool2d(x, (3, 2), 1, padding=1, ceil_mode=True), back


@program(floats(2, 3, 8, 10))
class AvgPools(nn.Module):
    def forward(self, x):
        global_ = F.adaptive_avg_pool2d(x, 1), F.adaptive_avg_pool2d(x, (2, 3))
        return F.avg_pool2d(x, 2), F.avg_pool2d(x, 3, 2, count_include_pad=False), global_


@program(floats(2, 3, 9))
class OtherPools(nn.Module):
    def forward(self, x):
        high, places = F.adaptive_max_pool1d(x, 2, return_indices=True)
        return F.max_pool1d(x, 3), F.avg_pool1d(x, 2), F.lp_pool1d(x, 2.0, 3), high, places


@program(floats(1, 2, 3, 4))
class NearestToSize(nn.Module):
    def forward(self, x):
        return F.interpolate(x, size=16, mode="nearest")


@program(floats(1, 2, 3, 4))
class NearestByFactor(nn.Module):
    def forward(self, x):
        a = F.interpolate(x, scale_factor=2.0, mode="nearest", recompute_scale_factor=False)
        return a, F.interpolate(x, scale_factor=2.0, mode="nearest"), F.interpolate(x, (4, 5))


@program(floats(1, 2, 3, 4))
class Resized(nn.Module):
    def forward(self, x):
        size = [x.shape[-2] * 2, x.shape[-1] * 2]
        a = F.interpolate(x, size=size, mode="bilinear", align_corners=False)
        b = F.interpolate(x, scale_factor=(2.0, 0.5), mode="bicubic", align_corners=True)
        return a, b, F.interpolate(x, size=(2, 2), mode="area"), F.interpolate(a, x.shape[2:])


@program(floats(1, 2, 4, 4), floats(1, 2, 3))
class GridSample(nn.Module):
    def forward(self, x, theta):
        grid = F.affine_grid(theta, [1, 2, 4, 4], align_corners=False)
        return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


@program(floats(4, 3), shares(3), shares(3))
class Normalizations(nn.Module):
    def forward(self, x, weight, bias):
        layer = F.layer_norm(x, [3], weight, bias), F.layer_norm(x, x.shape[1:])
        group = F.group_norm(x, 3, eps=1e-3), F.normalize(x), F.normalize(x, p=1.0, dim=0)
        return layer, group, F.instance_norm(x[None]), F.rms_norm(x, [3], weight)


class BatchNormByHand(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))
        self.register_buffer("var", torch.ones(3))
        self.weight = nn.Parameter(torch.rand(3))

    def forward(self, x):
        y = F.batch_norm(x, self.mean, self.var, self.weight, None, self.training, 0.2)
        return y, self.mean.sum()


program(floats(4, 3))(BatchNormByHand)


@program(ints(7, 2, 3), floats(7, 4))
class Embeddings(nn.Module):
    def forward(self, x, table):
        return F.embedding(x, table), F.one_hot(x, 7), F.embedding_bag(x, table, mode="sum")


@program(floats(4, 3), ints(3, 4))
class ClassLosses(nn.Module):
    def forward(self, x, y):
        smooth = F.cross_entropy(x, y, label_smoothing=0.1, reduction="sum")
        negative = F.nll_loss(F.log_softmax(x, 1), y, ignore_index=1)
        return F.cross_entropy(x, y), smooth, negative, F.multi_margin_loss(x, y)


@program(floats(4, 3), shares(4, 3).detach())
class ValueLosses(nn.Module):
    def forward(self, x, y):
        plain = F.mse_loss(x, y), F.l1_loss(x, y, reduction="none"), F.smooth_l1_loss(x, y)
        binary = F.binary_cross_entropy_with_logits(x, y), F.huber_loss(x, y, delta=0.5)
        return plain, binary, F.kl_div(F.log_softmax(x, 1), y, reduction="batchmean")


@program(floats(4, 3), floats(4, 3), floats(4, 3))
class PairLosses(nn.Module):
    def forward(self, x, y, z):
        near = F.cosine_similarity(x, y), F.pairwise_distance(x, y)
        return near, F.triplet_margin_loss(x, y, z), F.cosine_embedding_loss(x, y, torch.ones(4))


@program(floats(2, 2, 5, 4), floats(2, 2, 5, 4), floats(2, 2, 5, 4))
class Attention(nn.Module):
    def forward(self, q, k, v):
        causal = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return F.scaled_dot_product_attention(q, k, v), causal


@program(floats(2, 6, 4, 4))
class Rearranged(nn.Module):
    def forward(self, x):
        shuffled = F.channel_shuffle(x, 3)
        columns = F.unfold(x, kernel_size=2, stride=2)
        back = F.fold(columns, output_size=(4, 4), kernel_size=2, stride=2)
        return shuffled, back, F.local_response_norm(x, 2)


@program(floats(3, 4))
class ShrinkAndPRelu(nn.Module):
    def forward(self, x):
        return F.prelu(x, torch.full((4,), 0.3)), F.hardtanh(x, -0.2, 0.4), F.threshold(x, 0.0, 1.0)
