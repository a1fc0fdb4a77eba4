"""FIR resampling by factors of two (Karras et al. 2020, "Analyzing and Improving the Image Quality of StyleGAN").

On a CPU the filters are depthwise convolutions over channels-last tensors: there they cost about a tenth of what they
cost over contiguous ones (docs/networks.md)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

CHANNELS_LAST_FROM = 32  # side in pixels


def make_filter(taps: Sequence[float]) -> Tensor:
    """Return the separable low-pass filter `taps` as a 1-D float32 tensor [K] that sums to one."""
    # On the CPU, so that a network built on the meta device has real filters.
    taps_tensor = torch.tensor(list(taps), dtype=torch.float32, device="cpu")
    return taps_tensor / taps_tensor.sum()


def fast_format(x: Tensor, resamples: bool = False) -> Tensor:
    """Return x [N, C, H, W] in the memory layout in which its device convolves fastest.

    Small maps are dominated by the weights, which channels-last convolutions copy first: they stay contiguous, unless
    the convolution also resamples."""
    layout = fast_layout(x, resamples)
    return x if layout is torch.preserve_format else x.contiguous(memory_format=layout)


def fast_layout(x: Tensor, resamples: bool = False) -> torch.memory_format:
    """Return the layout that `fast_format` gives x."""
    if x.dtype in (torch.float16, torch.bfloat16):
        return torch.channels_last
    if x.device.type == "cpu":
        return torch.channels_last if resamples or x.shape[-1] >= CHANNELS_LAST_FROM else torch.contiguous_format
    return torch.preserve_format


def fir2d(x: Tensor, taps: Tensor, padding: tuple[int, int], gain: float = 1.0, stride: int = 1) -> Tensor:
    """Convolve each channel of x [N, C, H, W] with `taps` [K] along both axes.

    `padding` is (before, after) in pixels of zeros on both axes, `gain` multiplies the result, and only every
    `stride`-th output row and column is kept."""
    channels, num_taps = x.shape[1], taps.shape[0]
    kernel = (torch.outer(taps, taps).flip(0, 1) * gain).to(x.dtype)
    before, after = padding
    if before != after or before < 0:
        x, before = F.pad(x, [before, after, before, after]), 0
    weight = kernel.expand(channels, 1, num_taps, num_taps)
    return F.conv2d(x, weight, stride=stride, padding=before, groups=channels)


def upsample2d(x: Tensor, taps: Tensor) -> Tensor:
    """Double the resolution of x [N, C, H, W] with the filter `taps` [K]: zero insertion, then the filter times 4.

    The zeros are never made: each of the four output phases is a small convolution of its own."""
    channels = x.shape[1]
    phases, reach = phase_taps(taps)  # [2, T]
    kernels = torch.einsum("ay,bx->abyx", phases, phases).flatten(0, 1).to(x.dtype)[:, None]  # [4, 1, T, T]
    y = F.conv2d(F.pad(x, [*reach, *reach]), kernels.repeat(channels, 1, 1, 1), groups=channels)  # [N, 4 C, H, W]
    return F.pixel_shuffle(y, 2)


def phase_taps(taps: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """Split the filter of a 2x upsampling into the taps [2, T] of even and odd outputs, with the padding they need.

    Output 2i+p is the sum over t of phases[p, t] * x[i + t - before], with gain 2 (one axis)."""
    num_taps = taps.shape[0]
    padded_before = (num_taps + 1) // 2
    # Tap k of the flipped filter meets input (2i + p + k - padded_before) / 2, where that is whole.
    meetings = [(p, k, p + k - padded_before) for p in (0, 1) for k in range(num_taps)]
    places = [(p, twice // 2, k) for p, k, twice in meetings if twice % 2 == 0]
    first, last = min(shift for _, shift, _ in places), max(shift for _, shift, _ in places)
    phases = taps.new_zeros([2, last - first + 1])
    for p, shift, k in places:
        phases[p, shift - first] = 2 * taps[num_taps - 1 - k]
    return phases, (-first, last)


def downsample2d(x: Tensor, taps: Tensor) -> Tensor:
    """Halve the resolution of x [N, C, H, W] with the filter `taps` [K]: the filter, then every second pixel."""
    num_taps = taps.shape[0]
    return fir2d(x, taps, ((num_taps - 1) // 2, (num_taps - 2) // 2), stride=2)


def resized(images: Tensor, side: int) -> Tensor:
    """Return images [N, C, R, R] at `side` pixels, antialiased."""
    if images.shape[-1] == side:
        return images
    return F.interpolate(images, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
