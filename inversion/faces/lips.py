"""Lips that close over teeth, or part: they slide over the mouth between them, in place of being squeezed or torn."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from inversion.faces.blend import box_of
from inversion.faces.landmarks import INNER_LIPS, LEFT_CORNER, MOUTH, RIGHT_CORNER
from inversion.faces.motion import OPEN, SEEN, Points, dense_motion, eye_distance_of, mouth_gap
from inversion.faces.mouth import POINTS, RIM, find_opening, fitted
from inversion.faces.pins import SAME, Pins, taken_along
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
STIFFNESS, EXACT = 1e-4, 1e-6  # how far the spline may pass beside a point, and where points are dragged
FEATHER = 0.012  # eye distances over which one lip goes over into the other
WIDENING = 0.6  # how much softer that is beside the mouth, per distance from it
SHADE = 0.16  # darkness, in [-1, 1], of the line between closed lips
SHADE_WIDTH = 0.014  # of that line, in eye distances
BETWEEN_CORNERS = 0.8  # of the way to a corner, from where on a place is the corner's and not a lip's
SPOT, AT_CORNER = 0.09, 0.16  # eye distances: side of dark spots that are lifted, and how far from a corner
CORNER_SHADE = 0.35  # darkness, in [-1, 1], that the corner of a closed mouth has
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


def moving_lips(
    face: Tensor, points: Points, before: Points, after: Points, moved: Points, pins: Pins | None = None
) -> Lips | None:
    """Return how the lips of a photo's face [1, 3, R, R] close over teeth, or part; None where they do neither.

    `points` [68, 2] are its landmarks, which `moved` [68, 2] moves; `before` and `after` are those of the renders.
    `pins` are places that go farther than `moved` takes them."""
    bent = pins.bent(points, moved) if pins else moved
    return closing(face, points, before, after, bent) or parting(face, points, before, after, moved, pins)


def closing(face: Tensor, points: Points, before: Points, after: Points, moved: Points) -> Lips | None:
    """Return how lips close over the teeth of a photo's face [1, 3, R, R]; None where they do not, or none are seen.

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


def lift_corners(photo: Tensor, position: Tensor, lips: Lips, side: float) -> Tensor:
    """Return a block of a photo [1, 3, h, w] with less of the dark that open lips showed at the corners of the mouth.

    It stays beside lips that close, as spots: what is darker than the corner of a closed mouth, by a grey-scale
    closing (Serra 1982) near both ends of the line between them. `position` [h, w, 2] are the places of the pixels in
    the face, which has `side` of them."""
    result, spot = photo.clone(), 2 * round(SPOT * lips.unit * side / 2) + 1
    for end in (0, -1):
        corner = torch.from_numpy((lips.edges[0][end] + lips.edges[1][end]) / 2)
        near = (1 - (position - corner).norm(dim=-1) / (AT_CORNER * lips.unit)).clamp_min(0)
        box = box_of(near)
        if spot < 3 or box is None:
            continue
        part = (..., *box)
        dark = (-_widest(-_widest(photo[part], spot), spot) - photo[part]).mean(dim=1, keepdim=True)
        share = lips.closed * (2 * near[box]).clamp(max=1).float()
        result[part] += share * (dark - CORNER_SHADE).clamp_min(0)
    return result


def _widest(image: Tensor, side: int) -> Tensor:
    """Return the largest value in the square of `side` pixels (odd) around each of an image [1, C, h, w]."""
    for kernel, padding in (((side, 1), (side // 2, 0)), ((1, side), (0, side // 2))):
        image = F.max_pool2d(image, kernel, stride=1, padding=padding)
    return image


def parting(
    face: Tensor, points: Points, before: Points, after: Points, moved: Points, pins: Pins | None = None
) -> Lips | None:
    """Return how closed lips of a photo's face [1, 3, R, R] part; None where they do not, or are open already.

    They part by the gap that the renders gain beside what a smile brings, by how far a smile is broader than a closed
    one, and as `pins` pull them apart."""
    unit = eye_distance_of(points)
    smile = max(gained_smile(moved) / unit, 0.0)
    gap = (mouth_gap(after) - mouth_gap(before)) / eye_distance_of(before) / SEEN
    height = max(gap - SMILING_GAP * smile, 0.0) + PARTING * max(smile - BROAD_SMILE, 0.0)
    up, down = RISING * min(height, WIDEST) * unit, (1 - RISING) * min(height, WIDEST) * unit
    if pins:
        up, down = (max(way, pulled) for way, pulled in zip((up, down), _pulled_apart(points, pins), strict=True))
    if up + down < SLIT * unit or mouth_gap(points) / unit > OPEN or find_opening(face, points) is not None:
        return None
    seam = find_seam(face, points)
    if seam is None:
        return None
    shift, offsets, edges = _shift(points, moved, seam), [], []
    for way, outer in ((-up, UPPER_OUTER), (down, LOWER_OUTER)):
        step = shift + _opening(np.linspace(-1, 1, POINTS), way)
        thinner = moved[outer] + THINNING * _opening(_along(points, points[outer]), way)
        edge, motion = np.concatenate([seam, points[outer]]), np.concatenate([step, thinner])
        pinned = None
        if pins:
            own = (pins.places[:, 1] < np.interp(pins.places[:, 0], *seam.T)) == (outer is UPPER_OUTER)
            places = pins.places[own]
            pinned = places, taken_along(points, moved, places) + pins.rest[own]
        offsets.append(_layer(points, moved, edge, motion, pinned))
        edges.append(seam + step)
    return Lips(offsets[0], offsets[1], (edges[0], edges[1]), unit, parted=True)


def _pulled_apart(points: Points, pins: Pins) -> tuple[float, float]:
    """Return how far `pins` on the lips of landmarks `points` [68, 2] take the upper one up and the lower one down."""
    on_lips = np.abs(_along(points, pins.places)) < BETWEEN_CORNERS
    middle = points[INNER_LIPS, 1].mean()
    top, bottom = (points[part, 1].mean() for part in (UPPER_OUTER, LOWER_OUTER))
    margin = (bottom - top) / 4
    way, height = pins.rest[on_lips, 1], pins.places[on_lips, 1]
    upper = way[(height > top - margin) & (height < middle)]
    lower = way[(height >= middle) & (height < bottom + margin)]
    rises, falls = (float(part.mean()) if len(part) else 0.0 for part in (-upper, lower))
    return (max(rises, 0.0), max(falls, 0.0)) if rises + falls > 0 else (0.0, 0.0)


def _along(points: Points, places: Points) -> Points:
    """Return where places [N, 2] lie between the corners of the mouth, from -1 to 1, as -1 or 1 beyond them."""
    left, right = points[[LEFT_CORNER, RIGHT_CORNER], 0]
    result: Points = (2 * (places[:, 0] - left) / max(right - left, 1e-6) - 1).clip(-1, 1)
    return result


def _opening(along: Points, height: float) -> Points:
    """Return how far lips are apart [N, 2] at places from -1 to 1 of the mouth's width: a smile's, all but flat."""
    return (1 - along**4)[:, None] * np.array([0, height])


def gained_smile(moved: Points) -> float:
    """Return how far the corners of the mouth go out and up, in the units of `moved` [68, 2]."""
    wider = moved[RIGHT_CORNER, 0] - moved[LEFT_CORNER, 0]
    raised = moved[list(LIPS_MIDDLE), 1].mean() - moved[[LEFT_CORNER, RIGHT_CORNER], 1].mean()
    return float(wider + raised)


def _layer(
    points: Points, moved: Points, edge: Points, step: Points, pinned: tuple[Points, Points] | None = None
) -> Tensor:
    """Return the motion [2, GRID, GRID] of a face whose one lip's `edge` [N, 2] moves by `step` [N, 2].

    `pinned` are places [P, 2] and how far they go, exactly: what is at the same place gives way to them."""
    rest = np.delete(np.arange(len(points)), np.arange(len(points))[MOUTH])
    rest = np.concatenate([rest, [LEFT_CORNER, RIGHT_CORNER]])
    controls, motion = np.concatenate([points[rest], edge]), np.concatenate([moved[rest], step])
    if pinned is None:
        return dense_motion(controls, motion, STIFFNESS)
    far = np.linalg.norm(controls[:, None] - pinned[0], axis=2).min(axis=1, initial=1) > SAME
    controls, motion = np.concatenate([controls[far], pinned[0]]), np.concatenate([motion[far], pinned[1]])
    return dense_motion(controls, motion, EXACT)


def _shift(points: Points, moved: Points, line: Points) -> Points:
    """Return how far the middle line of the lips [POINTS, 2] moves with the mouth: as the corners do at its ends, and
    as the lips do in between."""
    left, right = points[LEFT_CORNER], points[RIGHT_CORNER]
    share = ((line - left) @ (right - left) / np.square(right - left).sum())[:, None]
    straight = moved[LEFT_CORNER] + share * (moved[RIGHT_CORNER] - moved[LEFT_CORNER])
    bent = moved[list(LIPS_MIDDLE)].mean(axis=0) - moved[[LEFT_CORNER, RIGHT_CORNER]].mean(axis=0)
    result: Points = straight + 4 * share * (1 - share) * bent
    return result
