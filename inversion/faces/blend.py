"""Set a piece of one picture into another without a seam."""

import torch
from torch import Tensor
from torch.nn import functional as F

SMALLEST = 4  # pixels a side at which the pyramid ends


def set_in(base: Tensor, content: Tensor, mask: Tensor) -> Tensor:
    """Return `base` [N, 3, H, W] with `content` [N, 3, H, W] where `mask` [N, 1, H, W] in 0..1 is one.

    What the two differ by around the mask is carried smoothly into it, so that `content` takes on the light and
    colour of its new surroundings: the membrane of Perez et al. 2003 (`Poisson image editing`), by a pyramid."""
    known = (1 - mask * 2).clamp(0, 1)  # only what is well outside may say how the two differ
    return base + mask * (content + fill_smoothly(base - content, known) - base)


def fill_smoothly(image: Tensor, known: Tensor) -> Tensor:
    """Return an image [N, C, H, W] whose unknown places are filled from around them.

    `known` [N, 1, H, W] in 0..1 says how far a place is to be believed. Push-pull (Gortler et al. 1996)."""
    height, width = image.shape[2:]
    if min(height, width) <= SMALLEST:
        weight = known.sum(dim=(2, 3), keepdim=True).clamp_min(1e-6)
        mean = (image * known).sum(dim=(2, 3), keepdim=True) / weight
        return known * image + (1 - known) * mean
    pads = [0, width % 2, 0, height % 2]
    padded, weight = (F.pad(part, pads, mode="replicate") for part in (image * known, known))
    share = F.avg_pool2d(weight, 2)
    coarse = F.avg_pool2d(padded, 2) / share.clamp_min(1e-6)
    filled = fill_smoothly(coarse, (share * 2).clamp(0, 1))
    spread = F.interpolate(filled, scale_factor=2, mode="bilinear", align_corners=False)[:, :, :height, :width]
    return known * image + (1 - known) * spread


def box_of(mask: Tensor, least: float = 0.0) -> tuple[slice, slice] | None:
    """Return the rows and columns of the box in which a mask [h, w] is above `least`; None where it is nowhere."""
    rows, columns = (torch.nonzero(mask.amax(dim=axis) > least).flatten() for axis in (1, 0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
