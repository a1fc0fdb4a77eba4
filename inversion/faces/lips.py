"""Lips that close over teeth: their pixels slide over a mouth that stays, in place of squeezing what is between."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from inversion.faces.colours import lab
from inversion.faces.landmarks import LEFT_CORNER, MOUTH, RIGHT_CORNER
from inversion.faces.measures import LEFT_EYE, RIGHT_EYE
from inversion.faces.motion import LIP_COLUMNS, Points, dense_motion

COLUMNS, ROWS = 120, 96  # pixels of a mouth that is looked at
HEIGHT, ABOVE = 0.8, 0.45  # of that picture, in widths of the mouth; and what share of it lies above the corners
REDNESS = 1.5  # lightness of L*a*b* that a unit of a* outweighs: teeth are lighter than lips, and less red
APART = 28.0  # of that, between the means of teeth and lips: closed mouths with light on the lips reach 29 at most
EXPLAINED = 0.55  # share of the variance between the two: Otsu's criterion
THRESHOLDS = 48  # that are tried
# Teeth begin at the landmarks of the upper lip's inner edge, and end up to the outer edge of the lower lip.
ABOVE_INNER, BELOW_OUTER = 0.25, 0.15  # of the upper lip's height, and of both lips', that is looked at beyond those
TO_CORNER = 0.7  # of the way from the last tooth to the corner of the lips: as far as the opening goes, which is dark
BESIDE, BRIDGED = 10, 3  # rows that teeth lie from where the landmarks' middle is; and a step between rows of teeth
TOOTHED = 0.3  # share of the mouth's width that shows teeth at least
PASSED = 92  # percent of the columns whose teeth an edge passes
POINTS = 9  # of each edge of the opening
RIM = 0.018  # eye distances around the teeth that belong to the opening
WHOLE_SMILE = 0.1  # eye distances that the corners of a mouth come in and down, together, when a smile goes
PARTED = 0.02  # eye distances that lips part in an edit that does not close them
UPPER_SHARE = 0.45  # of the way together that the upper lip goes
STIFFNESS = 1e-4  # how far the spline may pass beside a point
FEATHER = 0.012  # eye distances over which one lip goes over into the other
WIDENING = 0.6  # how much softer that is beside the mouth, per distance from it
SHADE, SHADE_WIDTH = (
    0.16,
    0.014,
)  # darkness, in [-1, 1], of the line between closed lips, and its width in eye distances

OUTER_EDGES = (48, 49, 50, 51, 52, 53, 54), (48, 59, 58, 57, 56, 55, 54)  # of the lips, among the landmarks
INNER_EDGES = (60, 61, 62, 63, 64), (60, 67, 66, 65, 64)
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
        upper, lower = (_height(edge, x) for edge in self.edges)
        left, right = self.edges[0][0, 0], self.edges[0][-1, 0]
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
    parts = (mouth_gap(after) - mouth_gap(before)) / _eye_distance(before)
    unit = _eye_distance(points)
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


def find_opening(face: Tensor, points: Points) -> tuple[Points, Points] | None:
    """Return the upper and the lower edge [POINTS, 2] of what shows teeth between the lips; None where none does.

    The landmarks lie up to a tooth's height from the lips' edges. What is light and hardly red is told from the rest by
    Otsu's threshold (1979), within the lips; each column of the mouth is followed up and down from the landmarks'
    middle."""
    corners = points[[LEFT_CORNER, RIGHT_CORNER]]
    middle, width = corners.mean(axis=0), max(float(np.linalg.norm(corners[1] - corners[0])), 1e-6)
    along = (corners[1] - corners[0]) / width
    axes = np.stack([along, [-along[1], along[0]]])  # rows: right, down
    x, y = (np.arange(COLUMNS) + 0.5) / COLUMNS - 0.5, ((np.arange(ROWS) + 0.5) / ROWS - ABOVE) * HEIGHT
    places = middle + np.stack(np.meshgrid(x, y), axis=-1) * width @ axes
    grid = torch.from_numpy(places).float()[None] * 2 - 1
    picture = F.grid_sample(face, grid, mode="bicubic", padding_mode="border", align_corners=False)[0]
    colours = lab(picture).reshape(ROWS, COLUMNS, 3).numpy()
    lips = [_fitted((points[list(part)] - middle) @ axes.T / width, x) for part in (*OUTER_EDGES, *INNER_EDGES)]
    top, bottom = lips[2] - ABOVE_INNER * (lips[2] - lips[0]), lips[1] + BELOW_OUTER * (lips[1] - lips[0])
    start = (lips[2] + lips[3]) / 2
    within = (y[:, None] > top) & (y[:, None] < bottom)
    teeth = _lightest(colours[..., 0] - REDNESS * colours[..., 1], within)
    runs = [_run(column, row) for column, row in zip(teeth.T, np.searchsorted(y, start), strict=True)]
    seen = [number for number, run in enumerate(runs) if run]
    if len(seen) < TOOTHED * COLUMNS:
        return None
    rim, step = RIM * _eye_distance(points) / width, HEIGHT / ROWS
    upper = np.array([y[run[0]] for run in runs if run]) - step / 2 - rim
    lower = np.array([y[run[1]] for run in runs if run]) + step / 2 + rim
    ends = x[[seen[0], seen[-1]]] * (1 - TO_CORNER) + np.array([-0.5, 0.5]) * TO_CORNER
    heights = ((upper + lower) / 2)[[0, -1]] * (1 - TO_CORNER)  # the corners lie at 0
    at = np.linspace(*ends, POINTS)
    edges = [_through(ends, heights, x[seen], edge, at, sign) for edge, sign in ((upper, -1), (lower, 1))]
    upper, lower = (middle + np.stack([at, edge], axis=1) * width @ axes for edge in edges)
    return upper, lower


def mouth_gap(points: Points) -> float:
    """Return how far the inner edges of the lips are apart, in the units of `points` [68, 2]."""
    upper, lower, _, _ = (list(column) for column in zip(*LIP_COLUMNS, strict=True))
    return float(np.linalg.norm(points[lower] - points[upper], axis=1).mean())


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


def _lightest(values: NDArray[np.float64], within: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return what is `within` and above Otsu's threshold; nothing where that tells no two kinds of pixels apart."""
    known = values[within]
    thresholds = np.linspace(*np.percentile(known, [2, 98]), THRESHOLDS) if known.size else []
    best, found = 0.0, np.zeros_like(within)
    for threshold in thresholds:
        above = known > threshold
        share = above.mean()
        if not 0 < share < 1:
            continue
        apart = known[above].mean() - known[~above].mean()
        explained = share * (1 - share) * apart**2 / max(known.var(), 1e-9)
        if explained > best and apart > APART:
            best, found = explained, within & (values > threshold)
    return found if best > EXPLAINED else np.zeros_like(within)


def _run(column: NDArray[np.bool_], start: int) -> tuple[int, int] | None:
    """Return first and last row of the teeth at or beside row `start` of a column; a row between two teeth may be
    dark."""
    rows = np.flatnonzero(column)
    if not len(rows) or abs(nearest := int(rows[np.abs(rows - start).argmin()]) - start) > BESIDE:
        return None
    breaks = np.flatnonzero(np.diff(rows) > BRIDGED)
    for part in np.split(rows, breaks + 1):
        if part[0] <= start + nearest <= part[-1]:
            return int(part[0]), int(part[-1])
    return None


def _through(ends: Points, heights: Points, x: Points, y: Points, at: Points, side: int) -> Points:
    """Return a smooth line through heights at both ends and, between, past nearly all of `y` at `x` on the `side`
    (1: below), at the places `at`: teeth are uneven."""
    share, where = ((values - ends[0]) / (ends[1] - ends[0]) for values in (x, at))
    base = (share * (1 - share))[:, None] * np.vander(2 * share - 1, 4)
    rest, kept = y - np.interp(x, ends, heights), np.ones(len(x), bool)
    for _ in range(
        3
    ):  # without columns that are far from the others, as where skin beside a thin lip is taken for teeth
        factors = np.linalg.lstsq(base[kept], rest[kept], rcond=None)[0]
        off = side * (rest - base @ factors)
        kept = off < 3 * np.median(np.abs(off)) + HEIGHT / ROWS
    beyond = max(float(np.percentile(off[kept], PASSED)), 0.0)
    bump = np.minimum(1, 8 * where * (1 - where))
    result: Points = np.interp(at, ends, heights) + where * (1 - where) * (np.vander(2 * where - 1, 4) @ factors)
    return result + side * beyond * bump


def _fitted(edge: Points, x: Points) -> Points:
    """Return the height at `x` of the line of fourth order through points [N, 2]."""
    result: Points = np.polyval(np.polyfit(edge[:, 0], edge[:, 1], 4), x)
    return result


def _height(edge: Points, x: Tensor) -> Tensor:
    """Return the height at `x` of a smooth line through points [N, 2]; outside it is that of the ends."""
    low, high = float(edge[0, 0]), float(edge[-1, 0])
    middle, half = (low + high) / 2, max((high - low) / 2, 1e-6)
    at, height = (x.clamp(low, high) - middle) / half, torch.zeros_like(x)
    for factor in np.polyfit((edge[:, 0] - middle) / half, edge[:, 1], 4):
        height = height * at + float(factor)
    return height


def _eye_distance(points: Points) -> float:
    return max(float(np.linalg.norm(points[RIGHT_EYE].mean(axis=0) - points[LEFT_EYE].mean(axis=0))), 1e-9)
