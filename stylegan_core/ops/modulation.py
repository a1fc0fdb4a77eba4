"""Convolutions whose input channels are scaled per sample by a style (StyleGAN2, section 2.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_core.ops.resample import fast_format, fir2d

EPSILON = 1e-8


def demodulation(weight: Tensor, styles: Tensor) -> Tensor:
    """Return 1 / L2 norm of each output channel's modulated kernel, [N, out] (StyleGAN2, eq. 3).

    `weight` is [out, in, k, k], `styles` [N, in]; the squared kernels are summed over k x k before they meet the
    styles, so that no kernel is ever made per sample."""
    if torch.is_grad_enabled() and weight.requires_grad:
        energy = weight.square().sum(dim=[2, 3])  # [out, in]
    else:
        energy = torch.linalg.vector_norm(weight, dim=(2, 3)).square()  # without a copy of the weights
    return (F.linear(styles.square(), energy) + EPSILON).rsqrt()


def modulated_conv2d(
    x: Tensor,
    weight: Tensor,
    styles: Tensor,
    demodulate: bool = True,
    up: int = 1,
    taps: Tensor | None = None,
) -> Tensor:
    """Convolve x [N, in, H, W] with `weight` [out, in, k, k] scaled per sample by `styles` [N, in].

    Returns [N, out, H * up, W * up]. Scaling the input is the same as scaling the kernels (StyleGAN2, eq. 1), and
    demodulating the output the same as demodulating the kernels, so one convolution serves the whole batch.
    `up=2` inserts zeros and filters with `taps` [K] after the convolution."""
    y = conv2d_up(x * styles[:, :, None, None].to(x.dtype), weight, up, taps)
    if demodulate:
        y = y * demodulation(weight, styles)[:, :, None, None].to(y.dtype)
    return y


def mix_channels(x: Tensor, kernels: Tensor, bias: Tensor) -> Tensor:
    """Mix the channels of x [N, in, H, W] by a matrix per sample, `kernels` [N, out, in], and add `bias` [out].

    With few outputs and modulated kernels this is faster than scaling x."""
    num, _, height, width = x.shape
    pixels = x.permute(0, 2, 3, 1).reshape(num, height * width, -1)
    y = torch.baddbmm(bias.to(x.dtype), pixels, kernels.to(x.dtype).transpose(1, 2))  # [N, H W, out]
    return y.reshape(num, height, width, -1).permute(0, 3, 1, 2)


def conv2d_up(x: Tensor, weight: Tensor, up: int = 1, taps: Tensor | None = None) -> Tensor:
    """Convolve x [N, in, H, W] with `weight` [out, in, k, k], padded to keep the size; `up=2` doubles it.

    Upsampling is a transposed convolution followed by the low-pass filter `taps` [K] times 4, as in the ADA-PyTorch
    checkpoints: there the kernel is not flipped."""
    x, weight = fast_format(x, resamples=up == 2), weight.to(x.dtype)
    size = weight.shape[-1]
    if up == 1:
        return F.conv2d(x, weight, padding=size // 2)
    assert taps is not None
    y = F.conv_transpose2d(x, weight.transpose(0, 1), stride=2)  # [N, out, 2 H + k - 2, 2 W + k - 2]
    return fir2d(y, taps, up_padding(size, taps.shape[0]), gain=4)


def up_padding(size: int, num_taps: int) -> tuple[int, int]:
    """Return the padding of the low-pass filter that follows a transposed convolution with a kernel of side `size`."""
    before = (num_taps + 1) // 2 - (size - 1) + size // 2
    return before, num_taps + 1 - size - before
