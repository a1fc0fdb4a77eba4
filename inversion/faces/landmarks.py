"""68 landmarks of an aligned face, by the landmark network of @vladmandic/face-api (MIT)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from inversion.faces.judges import dense_features, judge_region, load_weights, network_input
from stylegan_core.networks.protocol import Alignment

NUM_LANDMARKS = 68
SIDE = 112  # pixels of the network's input
VIEWS = ((0.0, 0.0, 1.0), (0.02, 0.015, 1.08), (-0.02, 0.015, 1.08), (0.0, -0.02, 0.95))  # crops averaged: x, y, size

JAW, BROWS, NOSE = slice(0, 17), slice(17, 27), slice(27, 36)
EYES = slice(36, 48)  # the left one in the picture first, six points each
LEFT_CORNER, RIGHT_CORNER = 48, 54  # of the mouth, as seen in the picture
MOUTH, INNER_LIPS = slice(48, 68), slice(60, 68)
# A mirrored face has its points in this order: point i is the mirrored point MIRROR[i].
MIRROR = (
    *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31,
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65,
)  # fmt: skip


@torch.no_grad()
def find_landmarks(faces: Tensor, alignment: Alignment) -> Tensor:
    """Return landmarks [N, 68, 2] (x, y in 0..1 of the face) of aligned faces [N, 3, R, R] in [-1, 1].

    The order is that of the 300-W annotation (Sagonas et al. 2013): jaw 0-16, brows 17-26, nose 27-35, eyes 36-47,
    mouth 48-67. The mean over a few crops and their mirror images, which is steadier than one look."""
    return trace_landmarks(faces, alignment)


def trace_landmarks(faces: Tensor, alignment: Alignment, views: Sequence[tuple[float, float, float]] = VIEWS) -> Tensor:
    """Return what `find_landmarks` returns, differentiably in `faces`, from fewer crops where `views` are fewer."""
    weights = load_weights("face_landmark_68", faces.device)
    left, top, right, bottom = judge_region(alignment)
    centre = torch.tensor([(left + right) / 2, (top + bottom) / 2])
    size = torch.tensor([right - left, bottom - top])
    found = torch.zeros(len(faces), NUM_LANDMARKS, 2)
    for x, y, scale in views:
        middle, extent = centre + torch.tensor([x, y]) * size, size * scale
        crop = _crop(faces, middle, extent)
        x_forward = dense_features(network_input(torch.cat([crop, crop.flip(3)])) / 255, weights)
        points = x_forward.unflatten(1, (NUM_LANDMARKS, 2)).cpu()
        forward, mirrored = points.chunk(2)
        mirrored = torch.stack([1 - mirrored[..., 0], mirrored[..., 1]], dim=-1)[:, list(MIRROR)]
        found += (forward + mirrored) / 2 * extent + middle - extent / 2
    return found / len(views)


def _crop(faces: Tensor, centre: Tensor, size: Tensor) -> Tensor:
    """Resample a part of the faces, in units of the face, to the network's input."""
    shrink = float(size.max()) * faces.shape[-1] / SIDE
    if shrink > 1:  # so that sampling does not alias
        side = max(SIDE, math.ceil(faces.shape[-1] / shrink))
        faces = F.interpolate(faces, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
    steps = (torch.arange(SIDE) + 0.5) / SIDE - 0.5
    position = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1) * size + centre
    grid = (position * 2 - 1).to(faces).expand(len(faces), -1, -1, -1)
    return F.grid_sample(faces, grid, mode="bilinear", padding_mode="border", align_corners=False)
