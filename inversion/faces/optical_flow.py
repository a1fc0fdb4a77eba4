"""TV-L1 optical flow (Zach, Pock & Bischof 2007): the motion between two pictures, smooth but for sharp edges.

It stands here since scikit-image's, with which tests compare it, imports a third of what torch does."""

import torch
from torch import Tensor
from torch.nn import functional as F

SMALLEST = 32  # pixels: side of the pyramid's last level
WARPS, ITERATIONS, DUAL_STEPS = 5, 10, 2  # a level; a warp; an iteration
TIGHTNESS = 0.3  # theta: how close the smooth flow stays to the one that explains the pictures
TIME_STEP = 0.25  # tau, of the dual variable


@torch.no_grad()
def optical_flow(reference: Tensor, moving: Tensor, attachment: float) -> Tensor:
    """Return the motion [2, R, R] from `reference` to `moving` [R, R]: rows and columns, in pixels.

    `attachment` is the weight of the data against smoothness (lambda). Grey values are of the order of 1."""
    pyramid = [(reference, moving)]
    while pyramid[-1][0].shape[0] >= 2 * SMALLEST:
        still, moved = (_resized(image[None], image.shape[0] // 2)[0] for image in pyramid[-1])
        pyramid.append((still, moved))
    flow = torch.zeros(2, *pyramid[-1][0].shape)
    for still, moved in reversed(pyramid):
        side = still.shape[0]
        flow = _resized(flow, side) * (side / flow.shape[1])
        flow = _refine(still, moved, flow, attachment * TIGHTNESS)
    return flow


def _refine(reference: Tensor, moving: Tensor, flow: Tensor, limit: float) -> Tensor:
    """Improve the flow [2, R, R] at one level of the pyramid."""
    dual = torch.zeros(2, *flow.shape)  # [component, axis, R, R]
    for _ in range(WARPS):
        warped = _sample(moving, flow)
        gradient = torch.stack(torch.gradient(warped))  # [2, R, R]
        squared = gradient.square().sum(dim=0)
        squared = torch.where(squared == 0, 1.0, squared)
        constant = warped - reference - (gradient * flow).sum(dim=0)
        for _ in range(ITERATIONS):
            # The flow that explains the pictures, near the smooth one (eq. 15) ...
            residual = constant + (gradient * flow).sum(dim=0)
            explaining = flow - gradient * (residual / squared).clamp(-limit, limit)
            # ... and the smooth one near it (eq. 11, by Chambolle's dual steps, one for each component).
            flow = explaining
            for _ in range(DUAL_STEPS):
                slope = _differences(flow)
                steepness = slope.square().sum(dim=1, keepdim=True).sqrt()
                dual = (dual + TIME_STEP * slope) / (1 + TIME_STEP / TIGHTNESS * steepness)
                flow = explaining + _divergence(dual)
    return flow


def _differences(flow: Tensor) -> Tensor:
    """Return forward differences [2, 2, R, R] of [2, R, R] along rows and columns, zero at the far border."""
    down = F.pad(flow[:, 1:] - flow[:, :-1], [0, 0, 0, 1])
    right = F.pad(flow[:, :, 1:] - flow[:, :, :-1], [0, 1])
    return torch.stack([down, right], dim=1)


def _divergence(dual: Tensor) -> Tensor:
    """Return the divergence [2, R, R] of [2, 2, R, R]: the negative adjoint of `_differences`."""
    down, right = dual[:, 0], dual[:, 1]
    return down - F.pad(down[:, :-1], [0, 0, 1, 0]) + right - F.pad(right[:, :, :-1], [1, 0])


def _sample(image: Tensor, flow: Tensor) -> Tensor:
    """Return the image [R, R] at each pixel's place moved by `flow` [2, R, R], its border repeated."""
    side = image.shape[0]
    steps = torch.arange(side, dtype=torch.float32)
    rows, columns = (torch.stack(torch.meshgrid(steps, steps, indexing="ij")) + flow) * (2 / (side - 1)) - 1
    grid = torch.stack([columns, rows], dim=-1)[None]
    return F.grid_sample(image[None, None], grid, mode="bilinear", padding_mode="border", align_corners=True)[0, 0]


def _resized(maps: Tensor, side: int) -> Tensor:
    """Resample [C, R, R] to `side` pixels, antialiased where it shrinks."""
    return F.interpolate(maps[None], size=(side, side), mode="bilinear", antialias=True, align_corners=False)[0]
