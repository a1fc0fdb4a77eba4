"""The motion between two renders of a face, so that an edit can move the photo's own pixels."""

import torch
from torch import Tensor
from torch.nn import functional as F

from inversion.faces.optical_flow import optical_flow

FLOW_SIDE = 128  # pixels at which the motion is sought
ATTACHMENT = 15  # weight of the data term of TV-L1 against smoothness
SMOOTHING = 7  # pixels of the box filter over the flow


def motion_between(inverted: Tensor, edited: Tensor) -> Tensor:
    """Return where each pixel of `edited` [1, 3, R, R] comes from in `inverted`: [2, 128, 128] offsets (x, y).

    Offsets are in units of the face's side. TV-L1 optical flow (Zach, Pock & Bischof 2007) on luminance, smoothed."""
    before, after = (_luminance(image) for image in (inverted, edited))
    flow = optical_flow(after, before, ATTACHMENT).flip(0) / FLOW_SIDE
    return box_filter(flow[None], SMOOTHING)[0]


def box_filter(image: Tensor, side: int) -> Tensor:
    """Return the mean of the `side` x `side` pixels (odd) around each of an image [1, C, R, R], its border repeated."""
    return F.avg_pool2d(F.pad(image, [side // 2] * 4, mode="replicate"), side, stride=1)


def move_pixels(image: Tensor, flow: Tensor) -> Tensor:
    """Return an image [1, C, R, R] whose pixels come from `flow` [2, R, R] (units of the side) away in `image`."""
    steps = (torch.arange(image.shape[-1], dtype=torch.float32) + 0.5) / image.shape[-1]
    position = torch.stack(torch.meshgrid(steps, steps, indexing="xy")) + flow
    grid = position.permute(1, 2, 0)[None] * 2 - 1
    return F.grid_sample(image, grid, mode="bicubic", padding_mode="border", align_corners=False)


def resize(image: Tensor, side: int = FLOW_SIDE) -> Tensor:
    """Resample an image [1, C, R, R] to `side` pixels, antialiased where it shrinks."""
    return F.interpolate(image, size=(side, side), mode="bicubic", antialias=True, align_corners=False)


def _luminance(image: Tensor) -> Tensor:
    return resize(image.detach().float().cpu().clamp(-1, 1))[0].mean(dim=0)
