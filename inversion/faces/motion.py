"""The motion of an edit, from the landmarks of a face before and after it, so that a photo can move with it."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inversion.faces.landmarks import BROWS, EYES, JAW, NOSE
from inversion.faces.measures import LEFT_EYE, RIGHT_EYE

GRID = 96  # positions a side at which the motion is evaluated
SMOOTHNESS = 1e-3  # how far the thin plate may pass beside a landmark
BORDER = 24  # points of an ellipse around the face that stay where they are
BORDER_RADII = (0.5, 0.52)  # in units of the face
NOSE_TIP = 30  # of the landmarks
BROW_DEPTH = 0.25  # how far the brows stand before the eyes, where the nose's tip stands 1 before them
JAW_SHARE = 0.5  # of the jaw's motion: its points slide along the outline
SEEN = 0.83  # what the landmark network sees of a motion: beside a mesh of the face, on real smiles (docs/editing.md)
# Columns of the mouth: upper and lower edge inside the lips, upper and lower edge outside.
LIP_COLUMNS = ((61, 67, 50, 58), (62, 66, 51, 57), (63, 65, 52, 56))
# Gap of the lips, in eye distances, up to which a mouth is closed and from which on it is open: closed ones read about
# .035, since the landmarks lie inside the lips.
CLOSED, OPEN = 0.035, 0.095
Points = NDArray[np.float64]


def expression_motion(before: Points, after: Points, turns: bool = False) -> Points:
    """Return how far each of 68 landmarks [68, 2] of a face moves, less what is a motion of the head.

    The generator nods while it smiles. The eyes stand still; the nose is bone, so what its tip moves by is a nod, of
    which the brows take their share of depth. Where the head is to turn (`turns`), all of that stays; it turns about
    the eyes, and the jaw's points go a share of their way, since they take the ears along."""
    moved = after - before
    moved = moved - moved[EYES].mean(axis=0)
    if turns:
        moved[JAW] *= JAW_SHARE
        return moved
    nod = moved[NOSE_TIP].copy()
    moved[BROWS] -= BROW_DEPTH * nod
    moved[NOSE] = 0
    moved[JAW] *= JAW_SHARE
    return moved / SEEN


def with_closed_lips(points: Points, moved: Points) -> Points:
    """Return a motion `moved` [68, 2] of a face's landmarks `points` [68, 2] that does not part lips which are closed.

    Nothing is between them that could be shown, so both would only be pulled thick; what moves them apart is taken from
    the outer edges too. Open lips keep all of the motion, lips that are nearly closed a share."""
    gap = mouth_gap(points) / eye_distance_of(points)
    shut = 1 - np.clip((gap - CLOSED) / (OPEN - CLOSED), 0, 1)
    result = moved.copy()
    for above, below, outer_above, outer_below in LIP_COLUMNS:
        half = (moved[below] - moved[above]) / 2 * shut
        result[[above, outer_above]] += half
        result[[below, outer_below]] -= half
    return result


def mouth_gap(points: Points) -> float:
    """Return how far the inner edges of the lips are apart, in the units of `points` [68, 2]."""
    upper, lower, _, _ = (list(column) for column in zip(*LIP_COLUMNS, strict=True))
    return float(np.linalg.norm(points[lower] - points[upper], axis=1).mean())


def eye_distance_of(points: Points) -> float:
    """Return the distance of the eyes of landmarks [68, 2], in their units; it is never zero."""
    return max(float(np.linalg.norm(points[RIGHT_EYE].mean(axis=0) - points[LEFT_EYE].mean(axis=0))), 1e-9)


def dense_motion(points: Points, moved: Points, smoothness: float = SMOOTHNESS) -> Tensor:
    """Return where each place of a face comes from when its landmarks [N, 2] move by `moved` [N, 2].

    Offsets [2, GRID, GRID] (x, y) and points are in units of the face. A smoothing thin-plate spline (Bookstein 1989)
    through the moved landmarks, which comes to rest on an ellipse around the face."""
    steps = (np.arange(GRID) + 0.5) / GRID
    places = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    targets, values = with_resting_border(points + moved, -moved)
    offsets = thin_plate(targets, values, places, smoothness)
    return torch.from_numpy(offsets.T.reshape(2, GRID, GRID)).float()


def with_resting_border(points: Points, moved: Points) -> tuple[Points, Points]:
    """Return points and their motion, both [N, 2], and after them an ellipse around the face that does not move."""
    angles = np.linspace(0, 2 * np.pi, BORDER, endpoint=False)
    border = 0.5 + np.stack([np.cos(angles), np.sin(angles)], axis=1) * BORDER_RADII
    return np.concatenate([points, border]), np.concatenate([moved, np.zeros_like(border)])


def stretch(offsets: Tensor) -> Tensor:
    """Return how far a motion [2, R, R] pulls pixels apart, [1, 1, R, R]: 0 where nothing is, 0.5 to twice the size.

    It is 1 less the smaller singular value of the map back."""
    side = offsets.shape[-1]
    down, right = torch.gradient(offsets, dim=(1, 2))
    back = torch.eye(2)[:, :, None, None] + torch.stack([right, down], dim=1) * side  # d source / d target
    determinant = back[0, 0] * back[1, 1] - back[0, 1] * back[1, 0]
    squared = back.square().sum(dim=(0, 1))
    smaller = (squared - (squared.square() - 4 * determinant.square()).clamp_min(0).sqrt()) / 2
    return (1 - smaller.clamp_min(0).sqrt()).clamp(0, 1)[None, None]


def thin_plate(points: Points, values: Points, places: Points, smoothness: float) -> Points:
    """Return the smoothing thin-plate spline through `values` [K, C] at `points` [K, 2], at `places` [M, 2]: [M, C].

    With `smoothness` 0 it interpolates; larger values let it pass beside the points, to the affine fit in the end."""
    count = len(points)
    system = np.zeros((count + 3, count + 3))
    affine = np.concatenate([np.ones((count, 1)), points], axis=1)
    system[:count, :count] = _kernel(points, points) + smoothness * np.eye(count)
    system[:count, count:] = affine
    system[count:, :count] = affine.T
    solved = np.linalg.solve(system, np.concatenate([values, np.zeros((3, values.shape[1]))]))
    found: Points = _kernel(places, points) @ solved[:count] + solved[count] + places @ solved[count + 1 :]
    return found


def _kernel(one: Points, other: Points) -> Points:
    """Return r^2 log r^2 of all distances."""
    squared = np.square(one[:, None] - other[None]).sum(axis=-1)
    result: Points = squared * np.log(squared + 1e-12)
    return result
