"""Lips that close over teeth: their pixels slide over a mouth that stays, in place of squeezing what is between."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from inversion.faces.landmarks import LEFT_CORNER, MOUTH, RIGHT_CORNER
from inversion.faces.motion import Points, dense_motion, eye_distance_of, mouth_gap
from inversion.faces.mouth import RIM, find_opening, fitted

WHOLE_SMILE = 0.1  # eye distances that the corners of a mouth come in and down, together, when a smile goes
PARTED = 0.02  # eye distances that lips part in an edit that does not close them
UPPER_SHARE = 0.45  # of the way together that the upper lip goes
STIFFNESS = 1e-4  # how far the spline may pass beside a point
FEATHER = 0.012  # eye distances over which one lip goes over into the other
WIDENING = 0.6  # how much softer that is beside the mouth, per distance from it
SHADE = 0.16  # darkness, in [-1, 1], of the line between closed lips
SHADE_WIDTH = 0.014  # of that line, in eye distances
LIPS_MIDDLE = (51, 57, 62, 66)


@dataclass(frozen=True)
class Closing:
    """The motion of each lip and the opening that stays between them, in units of the face."""

    upper: Tensor  # offsets [2, GRID, GRID] of what lies above the opening
    lower: Tensor
    edges: tuple[Points, Points]  # the opening's upper and lower edge afterwards, [POINTS, 2] from left to right
    unit: float  # the distance of the eyes
    closed: float  # 0..1: how much of the opening is gone

    def layers(self, position: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return in 0..1 where the upper lip, the lower one, and the line between closed ones are, at places
        [..., 2]."""
        x, y = position.double().unbind(dim=-1)
        left, right = self.edges[0][0, 0], self.edges[0][-1, 0]
        along = x.clamp(left, right).numpy()
        upper, lower = (torch.from_numpy(fitted(edge, along)) for edge in self.edges)
        beside = (left - x).clamp_min(0) + (x - right).clamp_min(0)
        soft = FEATHER * self.unit + WIDENING * beside
        above, below = ((upper - y) / soft + 0.5).clamp(0, 1), ((y - lower) / soft + 0.5).clamp(0, 1)
        total = (above + below).clamp_min(1)
        line = (-((y - (upper + lower) / 2) / (SHADE_WIDTH * self.unit)).square()).exp() * self.closed**4
        line = line * (1 - beside / (4 * RIM * self.unit)).clamp(0, 1)
        return (above / total).float(), (below / total).float(), line.float()


def closing(face: Tensor, points: Points, before: Points, after: Points, moved: Points) -> Closing | None:
    """Return how lips close over the teeth of a photo's face [1, 3, R, R]; None where they do not, or none are seen.

    `points` [68, 2] are its landmarks, which `moved` [68, 2] moves; `before` and `after` are those of the renders.
    Codes near W draw a mouth less open than the photo's, so the gap that they lose is not what the photo has to
    lose: it closes with the smile that goes, by how far the corners come in and down."""
    parts = (mouth_gap(after) - mouth_gap(before)) / eye_distance_of(before)
    unit = eye_distance_of(points)
    closed = float(np.clip(lost_smile(moved) / unit / WHOLE_SMILE, 0, 1) * np.clip(1 - parts / PARTED, 0, 1))
    opening = find_opening(face, points) if closed > 0 else None
    if opening is None:
        return None
    upper, lower = opening
    shift, way = _shift(points, moved, (upper + lower) / 2), closed * (lower - upper)
    steps = shift + UPPER_SHARE * way, shift - (1 - UPPER_SHARE) * way
    rest = np.delete(np.arange(len(points)), np.arange(len(points))[MOUTH])
    rest = np.concatenate([rest, [LEFT_CORNER, RIGHT_CORNER]])
    offsets = [
        dense_motion(np.concatenate([points[rest], edge]), np.concatenate([moved[rest], step]), STIFFNESS)
        for edge, step in zip(opening, steps, strict=True)
    ]
    return Closing(offsets[0], offsets[1], (upper + steps[0], lower + steps[1]), unit, closed)


def lost_smile(moved: Points) -> float:
    """Return how far the corners of the mouth come in and down, in the units of `moved` [68, 2]."""
    narrower = moved[LEFT_CORNER, 0] - moved[RIGHT_CORNER, 0]
    lowered = moved[[LEFT_CORNER, RIGHT_CORNER], 1].mean() - moved[list(LIPS_MIDDLE), 1].mean()
    return float(narrower + lowered)


def _shift(points: Points, moved: Points, line: Points) -> Points:
    """Return how far the middle line of the lips [POINTS, 2] moves with the mouth: as the corners do at its ends, and
    as the lips do in between."""
    left, right = points[LEFT_CORNER], points[RIGHT_CORNER]
    share = ((line - left) @ (right - left) / np.square(right - left).sum())[:, None]
    straight = moved[LEFT_CORNER] + share * (moved[RIGHT_CORNER] - moved[LEFT_CORNER])
    bent = moved[list(LIPS_MIDDLE)].mean(axis=0) - moved[[LEFT_CORNER, RIGHT_CORNER]].mean(axis=0)
    result: Points = straight + 4 * share * (1 - share) * bent
    return result
