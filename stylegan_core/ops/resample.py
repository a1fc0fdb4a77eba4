"""FIR resampling by factors of two (StyleGAN2, appendix B; Karras et al. 2019, "Analyzing and Improving...")."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def make_filter(taps: Sequence[float]) -> Tensor:
    """Return the separable low-pass filter `taps` as a 1-D float32 tensor [K] that sums to one."""
    # On the CPU, so that a network built on the meta device has real filters.
    taps_tensor = torch.tensor(list(taps), dtype=torch.float32, device="cpu")
    return taps_tensor / taps_tensor.sum()


def fir2d(x: Tensor, taps: Tensor, padding: tuple[int, int], gain: float = 1.0, stride: int = 1) -> Tensor:
    """Convolve each channel of x [N, C, H, W] with `taps` [K] along both axes.

    `padding` is (before, after) in pixels of zeros on both axes, `gain` multiplies the result, and only every
    `stride`-th output row and column is kept."""
    channels, num_taps = x.shape[1], taps.shape[0]
    kernel = (taps.flip(0) * gain**0.5).to(x.dtype)
    x = F.pad(x, [padding[0], padding[1], padding[0], padding[1]])
    x = F.conv2d(x, kernel.view(1, 1, 1, num_taps).repeat(channels, 1, 1, 1), stride=(1, stride), groups=channels)
    return F.conv2d(x, kernel.view(1, 1, num_taps, 1).repeat(channels, 1, 1, 1), stride=(stride, 1), groups=channels)


def upsample2d(x: Tensor, taps: Tensor) -> Tensor:
    """Double the resolution of x [N, C, H, W] with the filter `taps` [K]: zero insertion, then the filter times 4."""
    num, channels, height, width = x.shape
    x = x.reshape(num, channels, height, 1, width, 1)
    x = F.pad(x, [0, 1, 0, 0, 0, 1]).reshape(num, channels, height * 2, width * 2)
    num_taps = taps.shape[0]
    return fir2d(x, taps, ((num_taps + 1) // 2, (num_taps - 2) // 2), gain=4)


def downsample2d(x: Tensor, taps: Tensor) -> Tensor:
    """Halve the resolution of x [N, C, H, W] with the filter `taps` [K]: the filter, then every second pixel."""
    num_taps = taps.shape[0]
    return fir2d(x, taps, ((num_taps - 1) // 2, (num_taps - 2) // 2), stride=2)
