"""Well-known networks that give images, small."""

import torch
import torch.nn.functional as F
from torch import nn

from programs.case import floats, program, shares


@program(floats(2, 6, 1, 1), init=(6, 2, 3))
class Generator(nn.Module):
    """Of a DCGAN."""

    def __init__(self, nz: int, width: int, channels: int):
        super().__init__()
        layers: list[nn.Module] = []
        sizes = [nz, width * 4, width * 2, width]
        for i, (before, after) in enumerate(zip(sizes, sizes[1:], strict=False)):  # noqa: RUF007
            stride, padding = (1, 0) if i == 0 else (2, 1)
            layers += [
                nn.ConvTranspose2d(before, after, 4, stride, padding, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(True),
            ]
        self.main = nn.Sequential(
            *layers, nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False), nn.Tanh()
        )

    def forward(self, input):
        return self.main(input)


@program(floats(2, 3, 32, 32), init=(3, 2))
class Discriminator(nn.Module):
    """Of a DCGAN."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(channels, width, 4, 2, 1, bias=False),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width, width * 2, 4, 2, 1, bias=False),
            nn.BatchNorm2d(width * 2),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(width * 2, 1, 8, 1, 0, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, input):
        return self.main(input).view(-1, 1).squeeze(1)


@program(floats(2, 1, 8, 8), init=(3,))
class SuperResolution(nn.Module):
    """Sub-pixel convolutions (Shi et al. 2016, https://arxiv.org/abs/1609.05158)."""

    def __init__(self, factor: int):
        super().__init__()
        self.relu = nn.ReLU()
        self.conv1 = nn.Conv2d(1, 8, (5, 5), (1, 1), (2, 2))
        self.conv2 = nn.Conv2d(8, 4, (3, 3), (1, 1), (1, 1))
        self.conv3 = nn.Conv2d(4, factor**2, (3, 3), (1, 1), (1, 1))
        self.pixel_shuffle = nn.PixelShuffle(factor)

    def forward(self, x):
        x = self.relu(self.conv1(x))
        x = self.relu(self.conv2(x))
        return self.pixel_shuffle(self.conv3(x))


@program(shares(4, 1, 8, 8))
class VAE(nn.Module):
    """A variational auto-encoder."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(64, 20)
        self.fc21 = nn.Linear(20, 4)
        self.fc22 = nn.Linear(20, 4)
        self.fc3 = nn.Linear(4, 20)
        self.fc4 = nn.Linear(20, 64)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        if self.training:
            std = torch.exp(0.5 * logvar)
            eps = torch.randn_like(std)
            return eps.mul(std).add_(mu)
        return mu

    def decode(self, z):
        h3 = F.relu(self.fc3(z))
        return torch.sigmoid(self.fc4(h3))

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, 64))
        z = self.reparameterize(mu, logvar)
        return self.decode(z), mu, logvar


class ConvLayer(nn.Module):
    """A convolution with reflected borders, upsampled before where asked."""

    def __init__(
        self, before: int, after: int, kernel: int, stride: int, upsample: int | None = None
    ):
        super().__init__()
        self.upsample = upsample
        if upsample:
            self.upsample_layer = nn.Upsample(mode="nearest", scale_factor=upsample)
        self.reflection_pad = nn.ReflectionPad2d(kernel // 2)
        self.conv2d = nn.Conv2d(before, after, kernel, stride)

    def forward(self, x):
        x_in = x
        if self.upsample is not None:
            x_in = self.upsample_layer(x_in)
        out = self.reflection_pad(x_in)
        out = self.conv2d(out)
        return out  # noqa: RET504


class StyleBlock(nn.Module):
    """Two convolutions and a skip connection."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv1 = ConvLayer(channels, channels, 3, 1)
        self.in1 = nn.InstanceNorm2d(channels, affine=True)
        self.conv2 = ConvLayer(channels, channels, 3, 1)
        self.in2 = nn.InstanceNorm2d(channels, affine=True)
        self.relu = nn.ReLU()

    def forward(self, x):
        residual = x
        out = self.relu(self.in1(self.conv1(x)))
        out = self.in2(self.conv2(out))
        out = out + residual
        return out  # noqa: RET504


@program(floats(1, 3, 12, 12))
class TransformerNet(nn.Module):
    """Style transfer (Johnson et al. 2016, https://arxiv.org/abs/1603.08155)."""

    def __init__(self):
        super().__init__()
        self.conv1 = ConvLayer(3, 4, 9, 1)
        self.in1 = nn.InstanceNorm2d(4, affine=True)
        self.conv2 = ConvLayer(4, 8, 3, 2)
        self.in2 = nn.InstanceNorm2d(8, affine=True)
        self.res1 = StyleBlock(8)
        self.res2 = StyleBlock(8)
        self.deconv1 = ConvLayer(8, 4, 3, 1, upsample=2)
        self.in4 = nn.InstanceNorm2d(4, affine=True)
        self.deconv2 = ConvLayer(4, 3, 9, 1)
        self.relu = nn.ReLU()

    def forward(self, X):
        y = self.relu(self.in1(self.conv1(X)))
        y = self.relu(self.in2(self.conv2(y)))
        y = self.res2(self.res1(y))
        y = self.relu(self.in4(self.deconv1(y)))
        y = self.deconv2(y)
        return y  # noqa: RET504
