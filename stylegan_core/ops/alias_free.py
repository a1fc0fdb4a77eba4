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

from stylegan_core.ops.filter_strips import ClampedLeakyReLU, FilteredStrips, plan_resampling

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
    if x.is_cpu and up_filter is not None and down_filter is not None and up > 1 and x.numel() > 0:
        taps = up_filter * math.sqrt(gain)
        if plan := plan_resampling(x, taps, down_filter, up, down, padding, slope, clamp):
            return FilteredStrips.apply(x, plan)
    if torch.is_grad_enabled() and x.requires_grad and x.shape[1] > 1 and x.numel() * up**2 > PART:
        filters = (up_filter, down_filter, up, down, padding, gain, slope, clamp)
        parts = x.split(max(PART * x.shape[1] // (x.numel() * up**2), 1), dim=1)
        made = [_MadeAgain.apply(part, filters) for part in parts]
        return torch.cat(made, dim=1)
    one = x.new_ones([1], dtype=torch.float32)
    taps = one if up_filter is None else up_filter
    # lrelu(a x) = a lrelu(x) for a > 0: the gain goes into the filter, which is small and acts once an axis.
    scaled = taps * (gain if len(taps) == 1 and up == 1 else math.sqrt(gain))
    x = resample(x, scaled, up, 1, padding)
    x = ClampedLeakyReLU.apply(x, slope, clamp)
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


def resample(x: Tensor, taps: Tensor, up: int, down: int, padding: tuple[int, int]) -> Tensor:
    """Resample both axes of x [N, C, H, W] with the separable filter `taps` [K] (see `resampling_matrix`)."""
    if taps.shape[0] == 1 and up == 1:
        scaled = x if not any(padding) else F.pad(x, [*padding, *padding])
        return scaled[:, :, ::down, ::down] * taps.to(x.dtype)
    across = resampling_matrix(taps, x.shape[3], up, down, *padding).to(x.dtype)
    along = across if x.shape[2] == x.shape[3] else resampling_matrix(taps, x.shape[2], up, down, *padding).to(x.dtype)
    return _apply(_apply(x, across, axis=3), along, axis=2)


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
