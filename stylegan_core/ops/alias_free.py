"""StyleGAN3's filters and its alias-free nonlinearity (Karras et al. 2021, sections 2 and 3, appendix C).

Separable filters are applied as matrix products: a resampling step along one axis is a banded matrix, and for the sizes
of these layers (36 to a few hundred pixels) the product is several times faster on a CPU than a filter loop."""

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

MOST_TAPS = 12  # of an upsampling filter that a depthwise convolution applies faster than matrix products
FILTER_FROM = 256  # side in pixels from which a depthwise convolution with the outer product beats a matrix product
BANDS_FROM, BAND = 512, 256  # side from which the matrix is applied in bands, and outputs in one
PART = 2**25  # values at the higher rate (128 MB) of the channels that are filtered at a time while gradients are kept


def design_lowpass(num_taps: int, cutoff: float, width: float, rate: float, radial: bool = False) -> Tensor | None:
    """Return a Kaiser-windowed low-pass filter of `num_taps` taps, [K] or (radial) [K, K]; None for a single tap.

    `cutoff` and the transition band's `width` are frequencies in units of the sampling `rate`. The separable one is
    a windowed sinc; the radial one its rotationally symmetric counterpart, a windowed jinc."""
    if num_taps == 1:
        return None
    places = (np.arange(num_taps) - (num_taps - 1) / 2) / rate
    window = np.kaiser(num_taps, _kaiser_beta(num_taps, width / (rate / 2)))
    if radial:
        taps = _jinc(np.hypot(*np.meshgrid(places, places)), cutoff) * np.outer(window, window)
    else:
        taps = np.sinc(2 * cutoff * places) * window
    return torch.tensor(taps / np.sum(taps), dtype=torch.float32, device="cpu")


def _jinc(radius: NDArray[np.float64], cutoff: float) -> NDArray[np.float64]:
    from scipy.special import j1  # slow to import, and only StyleGAN3-R needs it

    safe = np.where(radius == 0, 1, radius)
    return np.where(radius == 0, cutoff, j1(2 * cutoff * (np.pi * safe)) / (np.pi * safe))


def _kaiser_beta(num_taps: int, width: float) -> float:
    """Return the Kaiser window's shape for a transition band of `width` half sampling rates (Kaiser 1974)."""
    attenuation = 2.285 * (num_taps - 1) * np.pi * width + 7.95  # dB
    if attenuation > 50:
        return 0.1102 * (attenuation - 8.7)
    return 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21) if attenuation > 21 else 0.0


def resampling_matrix(taps: Tensor, size: int, up: int, down: int, before: int, after: int) -> Tensor:
    """Return the [size, out] matrix that resamples one axis: y = x @ matrix.

    It inserts `up` - 1 zeros after each sample, pads (negative: crops), convolves with `taps` [K] times `up`, and
    keeps every `down`-th value."""
    num_taps = taps.shape[0]
    num_out = (size * up + before + after - num_taps) // down + 1
    # Output o sees the padded signal at o * down + k through the flipped filter's tap k.
    starts, steps = torch.arange(num_out, device=taps.device), torch.arange(num_taps, device=taps.device)
    place = starts[:, None] * down + steps - before
    inside = (place >= 0) & (place < size * up) & (place % up == 0)
    matrix = taps.new_zeros([num_out, size])
    matrix.scatter_add_(1, (place // up).clamp(0, size - 1), torch.where(inside, taps.flip(0) * up, taps.new_zeros([])))
    return matrix.T.contiguous()


def filtered_lrelu(
    x: Tensor,
    bias: Tensor | None,
    up_filter: Tensor | None,
    down_filter: Tensor | None,
    up: int,
    down: int,
    padding: tuple[int, int],
    gain: float,
    slope: float,
    clamp: float | None,
) -> Tensor:
    """Add `bias` [C] or None to x [N, C, H, W], upsample, apply leaky ReLU times `gain`, clamp, filter and downsample.

    The nonlinearity works at the higher rate, where the frequencies it makes do not alias, and the down filter removes
    those that the output's rate cannot hold (section 3.1). `padding` (before, after) is at the higher rate, the same on
    both axes. A filter of None is a single tap of one. The output's side is
    ((side * up + sum(padding) - len(up_filter)) + 1 - len(down_filter)) // down + 1.

    What is large at the higher rate is not kept for the gradient but made again for it, some channels at a time."""
    x = x if bias is None else x + bias.to(x.dtype)[:, None, None]
    if torch.is_grad_enabled() and x.requires_grad and x.shape[1] > 1 and x.numel() * up**2 > PART:
        filters = (up_filter, down_filter, up, down, padding, gain, slope, clamp)
        parts = x.split(max(PART * x.shape[1] // (x.numel() * up**2), 1), dim=1)
        made = [_MadeAgain.apply(part, filters) for part in parts]
        return torch.cat(made, dim=1)
    one = x.new_ones([1], dtype=torch.float32)
    taps = one if up_filter is None else up_filter
    # lrelu(a x) = a lrelu(x) for a > 0: the gain goes into the filter, which is small and acts once an axis.
    scaled = taps * (gain if len(taps) == 1 and up == 1 else math.sqrt(gain))
    is_radial = down_filter is not None and down_filter.ndim == 2
    if is_radial and x.device.type == "cpu" and 1 < len(taps) <= MOST_TAPS and _only_crops(taps, up, padding):
        x = upsample_by_convolution(x, scaled, up, padding)  # channels last, as the radial filter is fastest
    else:
        x = resample(x, scaled, up, 1, padding)
    x = _ClampedLeakyReLU.apply(x, slope, clamp)
    if down_filter is not None and down_filter.ndim == 1 and x.shape[-1] >= FILTER_FROM:
        down_filter = torch.outer(down_filter, down_filter)
    if down_filter is not None and down_filter.ndim == 2:
        kernel = down_filter.flip(0, 1).to(x.dtype).expand(x.shape[1], 1, -1, -1)
        return F.conv2d(x, kernel, stride=down, groups=x.shape[1])
    return resample(x, one if down_filter is None else down_filter, 1, down, (0, 0))


class _MadeAgain(torch.autograd.Function):
    """`filtered_lrelu` without a bias, which keeps its input alone and is computed again for the gradient.

    (`torch.utils.checkpoint` does the same, but in torch 2.4 it warns, and importing it imports torch._inductor.)"""

    @staticmethod
    def forward(ctx: Any, x: Tensor, filters: tuple[Any, ...]) -> Tensor:
        ctx.save_for_backward(x)
        ctx.filters = filters
        return filtered_lrelu(x, None, *filters)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (x,) = ctx.saved_tensors
        is_twice = torch.is_grad_enabled()  # of a gradient that is differentiated itself
        with torch.enable_grad():
            x = x.view_as(x) if is_twice else x.detach().requires_grad_()
            y = filtered_lrelu(x, None, *ctx.filters)
            (gradient,) = torch.autograd.grad(y, x, grad, create_graph=is_twice)
        return gradient, None


class _ClampedLeakyReLU(torch.autograd.Function):
    """Leaky ReLU, limited to [-clamp, clamp]: one pass over memory and a look at the extremes, in both directions."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: float, clamp: float | None) -> Tensor:
        y = F.leaky_relu(x, slope) if slope != 1 else x.clone()
        dense = y.permute(0, 2, 3, 1) if y.ndim == 4 else y  # aminmax is ten times slower on strided channels
        low, high = (dense if dense.is_contiguous() else y).aminmax()
        ctx.clamp = clamp if clamp is not None and float(torch.maximum(-low, high)) > clamp else None
        if ctx.clamp is not None:
            y = y.clamp_(-ctx.clamp, ctx.clamp)
        ctx.save_for_backward(y)
        ctx.slope = slope
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        y = ctx.saved_tensors[0].detach()
        if ctx.slope != 1:
            grad = torch.ops.aten.leaky_relu_backward(grad, y, ctx.slope, True)
        if ctx.clamp is not None:
            grad = grad * (y.abs() < ctx.clamp)
        return grad, None, None


def resample(x: Tensor, taps: Tensor, up: int, down: int, padding: tuple[int, int]) -> Tensor:
    """Resample both axes of x [N, C, H, W] with the separable filter `taps` [K] (see `resampling_matrix`)."""
    if taps.shape[0] == 1 and up == 1:
        scaled = x if not any(padding) else F.pad(x, [*padding, *padding])
        return scaled[:, :, ::down, ::down] * taps.to(x.dtype)
    across = resampling_matrix(taps, x.shape[3], up, down, *padding).to(x.dtype)
    along = across if x.shape[2] == x.shape[3] else resampling_matrix(taps, x.shape[2], up, down, *padding).to(x.dtype)
    return _apply(_apply(x, across, axis=3), along, axis=2)


def upsample_by_convolution(x: Tensor, taps: Tensor, up: int, padding: tuple[int, int]) -> Tensor:
    """Upsample both axes as `resample` with down = 1 does, by one transposed depthwise convolution, channels last."""
    kernel = (torch.outer(taps, taps) * up**2).to(x.dtype).expand(x.shape[1], 1, -1, -1)
    x = x.contiguous(memory_format=torch.channels_last)
    y = F.conv_transpose2d(x, kernel, stride=up, groups=x.shape[1])
    first = taps.shape[0] - 1 - padding[0]
    height, width = (size * up + sum(padding) - taps.shape[0] + 1 for size in x.shape[2:])
    return y[:, :, first : first + height, first : first + width]


def _only_crops(taps: Tensor, up: int, padding: tuple[int, int]) -> bool:
    """Whether the transposed convolution reaches all that the padded signal's filter gives."""
    return padding[0] < taps.shape[0] and padding[1] <= taps.shape[0] - up


def _apply(x: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """Resample x [N, C, H, W] along `axis` (2 or 3) by a [size, out] matrix."""
    if max(matrix.shape) >= BANDS_FROM:
        return _Banded.apply(x, matrix, axis)
    return _multiply(x, matrix, axis)


def _multiply(x: Tensor, matrix: Tensor, axis: int) -> Tensor:
    return x @ matrix if axis == 3 else matrix.T @ x


class _Banded(torch.autograd.Function):
    """The same product for large matrices: entries far from the diagonal are zero, so a band of outputs needs only the
    inputs near it. Its gradient is the same product with the matrix transposed."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, matrix: Tensor, axis: int) -> Tensor:
        ctx.save_for_backward(matrix)
        ctx.axis = axis
        parts = []
        for start in range(0, matrix.shape[1], BAND):
            band = matrix[:, start : start + BAND]
            used = band.abs().sum(dim=1).nonzero()
            low, high = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
            parts.append(_multiply(x.narrow(axis, low, high - low), band[low:high], axis))
        return torch.cat(parts, dim=axis)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        (matrix,) = ctx.saved_tensors
        return _Banded.apply(grad, matrix.T, ctx.axis), None, None
