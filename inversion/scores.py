"""How near a render is to its photo: PSNR, SSIM, MS-SSIM; all per image, [N]."""

import torch
from torch import Tensor
from torch.nn import functional as F

from inversion.losses import masked_squared_error

WINDOW, SIGMA = 11, 1.5  # of the Gaussian window, in pixels (Wang et al. 2004)
K1, K2 = 0.01, 0.03
RANGE = 2.0  # of images in [-1, 1]
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al. 2003


def psnr(images: Tensor, targets: Tensor, masks: Tensor | None = None) -> Tensor:
    """Return the peak signal-to-noise ratio in dB, [N], of images [N, C, H, W], clipped to [-1, 1].

    Only what `masks` [N, 1, H, W] in [0, 1] show counts (None: everything)."""
    error = masked_squared_error(images.clamp(-1, 1), targets.clamp(-1, 1), masks)
    return 10 * (RANGE**2 / error.clamp_min(1e-12)).log10()


def ssim(images: Tensor, targets: Tensor) -> Tensor:
    """Return the structural similarity of images [N, C, H, W] in [-1, 1]: 1 where they are equal.

    The mean over all places where the 11 px Gaussian window fits, and over channels."""
    return _ssim_terms(images, targets)[0]


def ms_ssim(images: Tensor, targets: Tensor) -> Tensor:
    """Return the multi-scale structural similarity of images [N, C, H, W] in [-1, 1].

    Five scales where the image is large enough (176 px), else as many as the window fits in (at least one), with the
    weights brought back to a sum of 1. Negative terms count as zero."""
    num = num_scales(min(images.shape[2:]))
    weights = torch.tensor(SCALE_WEIGHTS[:num], device=images.device)
    weights = weights / weights.sum()
    result = torch.ones(len(images), device=images.device)
    for scale in range(num):
        whole, contrast = _ssim_terms(images, targets)
        term = whole if scale == num - 1 else contrast
        result = result * term.clamp_min(0) ** weights[scale]
        images, targets = F.avg_pool2d(images, 2), F.avg_pool2d(targets, 2)
    return result


def num_scales(side: int) -> int:
    """Return the number of scales of MS-SSIM for images of `side` pixels."""
    num = 1
    while num < len(SCALE_WEIGHTS) and side >> num >= WINDOW:
        num += 1
    return num


def _ssim_terms(images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return SSIM and its contrast-structure part, [N] each."""
    x, y = (t.clamp(-1, 1).double() for t in (images, targets))
    c1, c2 = (K1 * RANGE) ** 2, (K2 * RANGE) ** 2
    mean_x, mean_y = _blur(x), _blur(y)
    var_x, var_y = _blur(x * x) - mean_x**2, _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    contrast = (2 * covariance + c2) / (var_x + var_y + c2)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    return (luminance * contrast).mean(dim=(1, 2, 3)).float(), contrast.mean(dim=(1, 2, 3)).float()


def _blur(x: Tensor) -> Tensor:
    window = min(WINDOW, *x.shape[2:])
    taps = torch.arange(window, dtype=x.dtype, device=x.device) - (window - 1) / 2
    taps = (-(taps**2) / (2 * SIGMA**2)).exp()
    taps = (taps / taps.sum()).expand(x.shape[1], 1, 1, -1)
    x = F.conv2d(x, taps, groups=x.shape[1])
    return F.conv2d(x, taps.transpose(2, 3), groups=x.shape[1])
