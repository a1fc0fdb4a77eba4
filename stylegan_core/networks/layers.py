"""Equalised-learning-rate layers (Progressive GAN, section 4.1): unit-variance weights, scaled when they are used."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stylegan_core.ops.activation import GAINS, activate_
from stylegan_core.ops.modulation import conv2d_up
from stylegan_core.ops.resample import fast_format, fir2d, make_filter


def normalize_2nd_moment(x: Tensor, epsilon: float = 1e-8) -> Tensor:
    """Scale each row of x [N, C] to unit mean square."""
    return x * (x.square().mean(dim=1, keepdim=True) + epsilon).rsqrt()


def normal(shape: list[int], std: float = 1.0) -> Tensor:
    """Return normal random values; on the meta device (a network about to receive its weights) nothing is drawn."""
    values = torch.empty(shape)
    return values if values.is_meta else values.normal_(0, std)


class FullyConnected(nn.Module):
    """A dense layer [N, in] -> [N, out] whose weight is scaled by lr_multiplier / sqrt(in) when used."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        activation: str = "linear",
        lr_multiplier: float = 1.0,
        bias_init: float = 0.0,
    ) -> None:
        super().__init__()
        self.activation = activation
        self.weight = nn.Parameter(normal([out_features, in_features], 1 / lr_multiplier))
        self.bias = nn.Parameter(torch.full([out_features], bias_init / lr_multiplier))
        self.weight_gain = lr_multiplier / math.sqrt(in_features) * GAINS[activation]
        self.bias_gain = lr_multiplier * GAINS[activation]

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, out]."""
        bias = (self.bias * self.bias_gain).to(x.dtype)
        return activate_(F.linear(x * self.weight_gain, self.weight.to(x.dtype), bias), self.activation)


class Conv2d(nn.Module):
    """A convolution [N, in, H, W] -> [N, out, H', W'] that may halve or double the resolution, with activation."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        bias: bool = True,
        activation: str = "linear",
        up: int = 1,
        down: int = 1,
        resample_filter: tuple[float, ...] = (1, 3, 3, 1),
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.activation, self.up, self.down, self.conv_clamp = activation, up, down, conv_clamp
        self.weight = nn.Parameter(normal([out_channels, in_channels, kernel_size, kernel_size]))
        self.bias = nn.Parameter(torch.zeros([out_channels])) if bias else None
        self.weight_gain = GAINS[activation] / math.sqrt(in_channels * kernel_size**2)
        self.register_buffer("taps", make_filter(resample_filter), persistent=False)
        self.taps: Tensor

    def forward(self, x: Tensor, gain: float = 1.0) -> Tensor:
        """Return the activated convolution; `gain` comes on top of the activation's own."""
        weight = (self.weight * (self.weight_gain * gain)).to(x.dtype)
        bias = None if self.bias is None else (self.bias * (GAINS[self.activation] * gain)).to(x.dtype)
        if self.down == 2:
            x = conv2d_down(x, weight, self.taps, bias)
        elif self.up == 1:
            x = F.conv2d(fast_format(x), weight, bias, padding=weight.shape[-1] // 2)
        else:
            x = conv2d_up(x, weight, self.up, self.taps)
            x = x if bias is None else x + bias[:, None, None]
        return activate_(x, self.activation, None if self.conv_clamp is None else self.conv_clamp * gain)


def conv2d_down(x: Tensor, weight: Tensor, taps: Tensor, bias: Tensor | None = None) -> Tensor:
    """Halve the resolution of x [N, in, H, W]: low-pass filter `taps`, then a strided convolution [out, in, k, k]."""
    x = fast_format(x, resamples=True)
    size, num_taps = weight.shape[-1], taps.shape[0]
    before, after = (num_taps - 1) // 2 + size // 2, (num_taps - 2) // 2 + size // 2
    if size == 1:
        return F.conv2d(fir2d(x, taps, (before, after), stride=2), weight, bias)
    return F.conv2d(fir2d(x, taps, (before, after)), weight, bias, stride=2)
