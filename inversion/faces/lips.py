"""Lips that close over teeth, or part: they slide over the mouth between them, in place of being squeezed or torn."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from inversion.faces.landmarks import LEFT_CORNER, MOUTH, RIGHT_CORNER
from inversion.faces.motion import OPEN, SEEN, Points, dense_motion, eye_distance_of, mouth_gap
from inversion.faces.mouth import POINTS, RIM, find_opening, fitted
from inversion.faces.seam import find_seam

WHOLE_SMILE = 0.1  # eye distances that the corners of a mouth come in and down, together, when a smile goes
GOING = 1.5  # times their motion that corners move then: codes near W draw smiles narrower than photos have them
PARTED = 0.02  # eye distances that lips part in an edit that does not close them
UPPER_SHARE = 0.45  # of the way together that the upper lip goes
BROAD_SMILE = 0.185  # eye distances that corners go out and up, together, up to which lips stay closed
PARTING = 2.5  # how far they part beyond, by how much broader the smile is
WIDEST = 0.17  # eye distances that they part at most
RISING = 0.36  # of the way apart that the upper lip goes
THINNING = 0.65  # share of a lip's way that its outer edge goes
SMILING_GAP = 0.35  # share of those by which the renders' lips part in a smile that keeps them closed
SLIT = 0.012  # eye distances that lips part at least: a narrower slit shows nothing
STIFFNESS = 1e-4  # how far the spline may pass beside a point
FEATHER = 0.012  # eye distances over which one lip goes over into the other
WIDENING = 0.6  # how much softer that is beside the mouth, per distance from it
SHADE = 0.16  # darkness, in [-1, 1], of the line between closed lips
SHADE_WIDTH = 0.014  # of that line, in eye distances
LIPS_MIDDLE = (51, 57, 62, 66)
UPPER_OUTER, LOWER_OUTER = [49, 50, 51, 52, 53], [59, 58, 57, 56, 55]


@dataclass(frozen=True)
class Lips:
    """The motion of each lip and the opening between them, in units of the face."""

    upper: Tensor  # offsets [2, GRID, GRID] of what lies above the opening
    lower: Tensor
    edges: tuple[Points, Points]  # the opening's upper and lower edge afterwards, [POINTS, 2] from left to right
    unit: float  # the distance of the eyes
    closed: float = 0.0  # 0..1: how much of an opening that was there is gone
    parted: bool = False  # whether it was closed before, so that what is between the lips has to be painted

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


def moving_lips(face: Tensor, points: Points, before: Points, after: Points, moved: Points) -> Lips | None:
    """Return how the lips of a photo's face [1, 3, R, R] close over teeth, or part; None where they do neither."""
    return closing(face, points, before, after, moved) or parting(face, points, before, after, moved)


def closing(face: Tensor, points: Points, before: Points, after: Points, moved: Points) -> Lips | None:
    """Return how lips close over the teeth of a photo's face [1, 3, R, R]; None where they do not, or none are seen.

    `points` [68, 2] are its landmarks, which `moved` [68, 2] moves; `before` and `after` are those of the renders.
    Codes near W draw a mouth less open than the photo's, so the gap that they lose is not what the photo has to
    lose: it closes with the smile that goes, by how far the corners come in and down."""
    parts = (mouth_gap(after) - mouth_gap(before)) / eye_distance_of(before)
    unit = eye_distance_of(points)
    closed = float(np.clip(-gained_smile(moved) / unit / WHOLE_SMILE, 0, 1) * np.clip(1 - parts / PARTED, 0, 1))
    opening = find_opening(face, points) if closed > 0 else None
    if opening is None:
        return None
    moved = moved.copy()
    moved[MOUTH] *= GOING
    upper, lower = opening
    shift, way = _shift(points, moved, (upper + lower) / 2), closed * (lower - upper)
    steps = shift + UPPER_SHARE * way, shift - (1 - UPPER_SHARE) * way
    offsets = [_layer(points, moved, edge, step) for edge, step in zip(opening, steps, strict=True)]
    return Lips(offsets[0], offsets[1], (upper + steps[0], lower + steps[1]), unit, closed)


def parting(face: Tensor, points: Points, before: Points, after: Points, moved: Points) -> Lips | None:
    """Return how closed lips of a photo's face [1, 3, R, R] part; None where they do not, or are open already.

    They part by the gap that the renders gain beside what a smile brings, and by how far a smile is broader than a
    closed one. Arguments are those of `closing`."""
    unit = eye_distance_of(points)
    smile = max(gained_smile(moved) / unit, 0.0)
    gap = (mouth_gap(after) - mouth_gap(before)) / eye_distance_of(before) / SEEN
    height = max(gap - SMILING_GAP * smile, 0.0) + PARTING * max(smile - BROAD_SMILE, 0.0)
    height = min(height, WIDEST)
    if height < SLIT or mouth_gap(points) / unit > OPEN or find_opening(face, points) is not None:
        return None
    seam = find_seam(face, points)
    if seam is None:
        return None
    shift = _shift(points, moved, seam)
    way = _opening(np.linspace(-1, 1, POINTS), height * unit)
    steps = shift - RISING * way, shift + (1 - RISING) * way
    offsets = []
    for step, outer, share in zip(steps, (UPPER_OUTER, LOWER_OUTER), (-RISING, 1 - RISING), strict=True):
        ends = points[[LEFT_CORNER, RIGHT_CORNER], 0]
        along = 2 * (points[outer, 0] - ends[0]) / max(ends[1] - ends[0], 1e-6) - 1
        thinner = moved[outer] + THINNING * share * _opening(along.clip(-1, 1), height * unit)
        edge, motion = np.concatenate([seam, points[outer]]), np.concatenate([step, thinner])
        offsets.append(_layer(points, moved, edge, motion))
    return Lips(offsets[0], offsets[1], (seam + steps[0], seam + steps[1]), unit, parted=True)


def _opening(along: Points, height: float) -> Points:
    """Return how far lips are apart [N, 2] at places from -1 to 1 of the mouth's width: a smile's, all but flat."""
    return (1 - along**4)[:, None] * np.array([0, height])


def gained_smile(moved: Points) -> float:
    """Return how far the corners of the mouth go out and up, in the units of `moved` [68, 2]."""
    wider = moved[RIGHT_CORNER, 0] - moved[LEFT_CORNER, 0]
    raised = moved[list(LIPS_MIDDLE), 1].mean() - moved[[LEFT_CORNER, RIGHT_CORNER], 1].mean()
    return float(wider + raised)


def _layer(points: Points, moved: Points, edge: Points, step: Points) -> Tensor:
    """Return the motion [2, GRID, GRID] of a face whose one lip's `edge` [N, 2] moves by `step` [N, 2]."""
    rest = np.delete(np.arange(len(points)), np.arange(len(points))[MOUTH])
    rest = np.concatenate([rest, [LEFT_CORNER, RIGHT_CORNER]])
    return dense_motion(np.concatenate([points[rest], edge]), np.concatenate([moved[rest], step]), STIFFNESS)


def _shift(points: Points, moved: Points, line: Points) -> Points:
    """Return how far the middle line of the lips [POINTS, 2] moves with the mouth: as the corners do at its ends, and
    as the lips do in between."""
    left, right = points[LEFT_CORNER], points[RIGHT_CORNER]
    share = ((line - left) @ (right - left) / np.square(right - left).sum())[:, None]
    straight = moved[LEFT_CORNER] + share * (moved[RIGHT_CORNER] - moved[LEFT_CORNER])
    bent = moved[list(LIPS_MIDDLE)].mean(axis=0) - moved[[LEFT_CORNER, RIGHT_CORNER]].mean(axis=0)
    result: Points = straight + 4 * share * (1 - share) * bent
    return result
