"""What an expression is in numbers: openings and heights as ratios, the head's pose in degrees, from 68 landmarks."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from inversion.faces.landmarks import EYES, LEFT_CORNER, RIGHT_CORNER
from inversion.faces.measure_table import MEASURES as MEASURES

LEFT_EYE, RIGHT_EYE = slice(36, 42), slice(42, 48)  # as seen in the picture
LEFT_BROW, RIGHT_BROW = slice(17, 22), slice(22, 27)
UPPER_LIP, LOWER_LIP = (50, 51, 52, 61, 62, 63), (56, 57, 58, 65, 66, 67)
# The points that expressions move least, in millimetres from the middle of the eyes' outer corners: x to the right of
# the picture, y down, z towards the camera. x and y: the landmarks of 40 level neutral faces (Face Research Lab London
# Set), both sides averaged, with 90 mm between the corners; z: rounded means of adults (Farkas, Anthropometry of the
# Head and Face, 1994).
RIGID = {
    36: (-45, 0, 0), 39: (-20, 1, 8), 42: (20, 1, 8), 45: (45, 0, 0), 0: (-72, 7, -75), 16: (72, 7, -75),
    27: (0, 1, 20), 28: (0, 13, 26), 29: (0, 25, 33), 30: (0, 36, 40), 31: (-12, 45, 23), 33: (0, 48, 28),
    35: (12, 45, 23),
}  # fmt: skip


def eyes_open(points: Tensor) -> Tensor:
    """Return the eye aspect ratio [N] (Soukupova and Cech 2016), the mean of both eyes."""
    eyes = points[:, EYES].unflatten(1, (2, 6))  # [N, 2, 6, 2]
    height = ((eyes[:, :, 1] - eyes[:, :, 5]).norm(dim=-1) + (eyes[:, :, 2] - eyes[:, :, 4]).norm(dim=-1)) / 2
    return (height / (eyes[:, :, 0] - eyes[:, :, 3]).norm(dim=-1)).mean(dim=1)


def mouth_open(points: Tensor) -> Tensor:
    """Return the gap between the inner edges of the lips [N], over the distance of the eyes."""
    gap = (points[:, 65:68] - points[:, [63, 62, 61]]).norm(dim=-1).mean(dim=1)
    return gap / eye_distance(points)


def mouth_width(points: Tensor) -> Tensor:
    """Return the distance of the mouth's corners [N], over the distance of the eyes."""
    return (points[:, RIGHT_CORNER] - points[:, LEFT_CORNER]).norm(dim=-1) / eye_distance(points)


def mouth_corners(points: Tensor) -> Tensor:
    """Return how high the mouth's corners stand over the middle of the lips [N], over the distance of the eyes."""
    middle = points[:, UPPER_LIP + LOWER_LIP].mean(dim=1)
    corners = points[:, [LEFT_CORNER, RIGHT_CORNER]].mean(dim=1)
    return ((middle - corners) * _down(points)).sum(dim=-1) / eye_distance(points)


def brows(points: Tensor) -> Tensor:
    """Return how high the brows stand over the eyes' corners [N], over the distance of the eyes."""
    eyes = points[:, [36, 39, 42, 45]].mean(dim=1)
    height = eyes - points[:, LEFT_BROW.start : RIGHT_BROW.stop].mean(dim=1)
    return (height * _down(points)).sum(dim=-1) / eye_distance(points)


def yaw(points: Tensor) -> Tensor:
    """Return how far the face is turned to the right of the picture, in degrees [N]."""
    return pose(points)[:, 0]


def pitch(points: Tensor) -> Tensor:
    """Return how far the face looks up, in degrees [N]; 0 is a level head of mean proportions."""
    return pose(points)[:, 1]


def roll(points: Tensor) -> Tensor:
    """Return how far the head is turned clockwise in the picture, in degrees [N]."""
    return pose(points)[:, 2]


OF: dict[str, Callable[[Tensor], Tensor]] = {  # landmarks [N, 68, 2] -> [N], differentiable
    "eyes-open": eyes_open,
    "brows": brows,
    "mouth-open": mouth_open,
    "mouth-width": mouth_width,
    "mouth-corners": mouth_corners,
    "yaw": yaw,
    "pitch": pitch,
    "roll": roll,
}


def measure_all(points: Tensor) -> Tensor:
    """Return every measure [N, len(MEASURES)] of landmarks [N, 68, 2], columns in the order of `MEASURES`."""
    return torch.stack([OF[name](points) for name in MEASURES], dim=1)


def eye_distance(points: Tensor) -> Tensor:
    """Return the distance of the eyes' middles [N]."""
    return (points[:, RIGHT_EYE].mean(dim=1) - points[:, LEFT_EYE].mean(dim=1)).norm(dim=-1)


def pose(points: Tensor) -> Tensor:
    """Return yaw, pitch and roll [N, 3] in degrees: the scaled orthographic camera that sees `RIGID` as it is seen."""
    model = torch.tensor(list(RIGID.values())).to(points)  # [P, 3]
    seen = points[:, list(RIGID)]  # [N, P, 2]
    model, seen = model - model.mean(dim=0), seen - seen.mean(dim=1, keepdim=True)
    camera = (torch.linalg.pinv(model) @ seen).mT  # [N, 2, 3]: seen = model @ camera.T
    right = camera[:, 0] / camera[:, 0].norm(dim=-1, keepdim=True).clamp_min(1e-9)
    down = camera[:, 1] / camera[:, 1].norm(dim=-1, keepdim=True).clamp_min(1e-9)
    front = torch.linalg.cross(right, down)  # of the picture, in the head's axes; (0, 0, 1) looks straight at it
    degrees = 180 / math.pi
    return torch.stack(
        [
            torch.atan2(right[:, 2], front[:, 2].clamp_min(1e-3)) * degrees,
            -torch.atan2(down[:, 2], front[:, 2].clamp_min(1e-3)) * degrees,
            -torch.atan2(right[:, 1], right[:, 0].clamp_min(1e-3)) * degrees,
        ],
        dim=1,
    )


def _down(points: Tensor) -> Tensor:
    """Return the unit vector [N, 2] across the line of the eyes, towards the chin."""
    across = points[:, RIGHT_EYE].mean(dim=1) - points[:, LEFT_EYE].mean(dim=1)
    across = across / across.norm(dim=-1, keepdim=True).clamp_min(1e-9)
    return torch.stack([-across[:, 1], across[:, 0]], dim=-1)
