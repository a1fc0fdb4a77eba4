"""The light that an expression brings beside its motion: folds from nose to mouth, raised cheeks, the chin's hollow."""

import numpy as np
import torch
from torch import Tensor

from inversion.faces.flow import FLOW_SIDE, box_filter
from inversion.faces.landmarks import EYES, LEFT_CORNER, MOUTH, RIGHT_CORNER
from inversion.faces.motion import Points, eye_distance_of

AMOUNT = 0.6  # of the light that is taken (docs/editing.md)
BOUND = 0.2  # of it, in [-1, 1]
FINE, COARSE = 5, 41  # pixels, of `FLOW_SIDE`: folds are coarser than the one, and finer than the other
AROUND_MOUTH = (
    0.62,
    0.38,
)  # half width in widths of the mouth, half height in eye distances: lips and teeth are left out
BELOW_EYES = 0.25  # eye distances below the eyes at which light is changed in full
FADE = 0.25  # of the mouth's radius over which the change comes in


def crease_light(unexplained: Tensor, points: Points) -> Tensor:
    """Return the change of light [1, 1, R, R] that an expression brings to cheeks and chin, R being `FLOW_SIDE`.

    `unexplained` [1, 3, R, R] is what differs between the renders without and with it, once moved; `points` [68, 2] are
    the landmarks of the latter. Nothing changes at mouth, eyes and brow, and no light that is the same all over."""
    light = box_filter(unexplained.mean(dim=1, keepdim=True), FINE)
    light = light - box_filter(light, COARSE)
    return AMOUNT * BOUND * (light / BOUND).tanh() * _free(points)


def _free(points: Points) -> Tensor:
    """Return in 0..1 where light may change, [R, R]."""
    distance = max(eye_distance_of(points), 1e-3)
    width = max(float(np.linalg.norm(points[RIGHT_CORNER] - points[LEFT_CORNER])), 1e-3)
    steps = (torch.arange(FLOW_SIDE) + 0.5) / FLOW_SIDE
    places = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)  # [R, R, 2]
    mouth, eyes = (torch.from_numpy(points[part].mean(axis=0)).float() for part in (MOUTH, EYES))
    radii = torch.tensor([AROUND_MOUTH[0] * width, AROUND_MOUTH[1] * distance])
    outside = ((((places - mouth) / radii).norm(dim=-1) - 1) / FADE).clamp(0, 1)
    below = ((places[..., 1] - eyes[1]) / (BELOW_EYES * distance)).clamp(0, 1)
    return outside * below
