"""The terms that inversion minimises; all are per sample, [N]."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from stylegan_core.features.perceptual import PerceptualDistance

PERCEPTUAL_SIDE = 256  # larger images are shrunk to it before their features are taken (as in NVIDIA's projector)


def mean_squared_error(images: Tensor, targets: Tensor) -> Tensor:
    """Return ||G(w) - I||^2 / N of images [N, C, H, W], N being the number of values of one image."""
    return (images - targets).square().mean(dim=(1, 2, 3))


def masked(images: Tensor, masks: Tensor | None) -> Tensor:
    """Return images [N, C, H, W] with what `masks` [N, 1, H, W] hide made mid-grey; None hides nothing."""
    return images if masks is None else images * masks


def masked_squared_error(images: Tensor, targets: Tensor, masks: Tensor | None) -> Tensor:
    """Return the mean squared error over what `masks` [N, 1, H, W] in [0, 1] show (None: everything), [N]."""
    if masks is None:
        return mean_squared_error(images, targets)
    shown = masks.sum(dim=(1, 2, 3)).clamp_min(1e-6) * images.shape[1]
    return ((images - targets).square() * masks).sum(dim=(1, 2, 3)) / shown


def perceptual_features(perceptual: PerceptualDistance, images: Tensor, side: int = PERCEPTUAL_SIDE) -> list[Tensor]:
    """Encode images [N, 1 or 3, R, R] in [-1, 1], shrunk to `side` pixels where they are larger."""
    if images.shape[1] == 1:
        images = images.expand(-1, 3, -1, -1)
    if images.shape[-1] > side:
        images = F.interpolate(images, size=(side, side), mode="area")
    return perceptual.features(images)


def wplus_spread(ws: Tensor, w_std: Tensor) -> Tensor:
    """Return the mean squared distance of ws [N, num_ws, w_dim] from their mean over layers, in units of w_std.

    Zero exactly in W (e4e's delta regularisation, Tov et al. 2021, with the mean in the first layer's place)."""
    return ((ws - ws.mean(dim=1, keepdim=True)) / w_std).square().mean(dim=(1, 2))


def noise_autocorrelation(noise: Iterable[Tensor]) -> Tensor:
    """Return the noise regulariser of StyleGAN2 (Karras et al. 2020, eq. 5) for maps [N, 1, H, W], [N].

    Squared correlation with the neighbour to the right and below, over a pyramid down to 8 px."""
    total: Tensor | None = None
    for level in noise:
        while True:
            right = (level * level.roll(1, dims=3)).mean(dim=(1, 2, 3)).square()
            below = (level * level.roll(1, dims=2)).mean(dim=(1, 2, 3)).square()
            total = right + below if total is None else total + right + below
            if level.shape[-1] <= 8:
                break
            # The mean of four unit normals has half their deviation; the factor of 2 restores it.
            level = F.avg_pool2d(level, 2) * 2
    if total is None:
        raise ValueError("noise_autocorrelation needs at least one map")
    return total


def standardise_noise(noise: Sequence[Tensor]) -> None:
    """Give each map [N, 1, H, W] mean 0 and deviation 1 a sample, in place."""
    with torch.no_grad():
        for level in noise:
            level -= level.mean(dim=(1, 2, 3), keepdim=True)
            level *= level.square().mean(dim=(1, 2, 3), keepdim=True).clamp_min(1e-12).rsqrt()
