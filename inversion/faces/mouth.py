"""The opening of a mouth that shows teeth, found in a picture of the face."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from inversion.faces.colours import lab
from inversion.faces.motion import Points, eye_distance_of
from inversion.faces.mouth_frame import MouthFrame, MouthPicture

PICTURE = MouthPicture(144, 96, 1.2, 0.8, 0.45)  # of a mouth that is looked at
COLUMNS, ROWS, HEIGHT = PICTURE.columns, PICTURE.rows, PICTURE.height
REDNESS = 1.5  # lightness of L*a*b* that a unit of a* outweighs: teeth are lighter than lips, and less red
APART = 28.0  # of that, between the means of teeth and lips: 31 to 50 in mouths with teeth, 13 to 29 in closed ones
EXPLAINED = 0.55  # share of the variance between the two: Otsu's criterion
THRESHOLDS = 48  # that are tried
# Teeth begin at the landmarks of the upper lip's inner edge, and end up to the outer edge of the lower lip.
ABOVE_INNER, BELOW_OUTER = 0.3, 0.25  # of the upper lip's height, and of both lips', that is looked at beyond those
TO_CORNER = 0.7  # of the way from the last tooth to the corner of the lips: as far as the opening goes, which is dark
BESIDE, BRIDGED = 10, 3  # rows that teeth lie from where the landmarks' middle is; and a step between rows of teeth
STEP = 4  # rows by which the middle of the teeth changes from a column to the next at most
TOOTHED = 0.3  # share of the mouth's width that shows teeth at least
LIP_ROWS = 8  # above and below the teeth, that show the lips
REDDER = 4.0  # in a*, that it is than the teeth at least
DARKEST = 0.64  # of their lightness, that it has at least: darker is a mouth wide open
SHADOW = 0.65  # of the lips' lightness: what is darker beside the teeth belongs to the opening
PASSED = 92  # percent of the columns whose teeth an edge passes
POINTS = 9  # of each edge of the opening
RIM = 0.018  # eye distances around the teeth that belong to the opening
OUTER_EDGES = (48, 49, 50, 51, 52, 53, 54), (48, 59, 58, 57, 56, 55, 54)  # of the lips, among the landmarks
INNER_EDGES = (60, 61, 62, 63, 64), (60, 67, 66, 65, 64)


def find_opening(face: Tensor, points: Points) -> tuple[Points, Points] | None:
    """Return the upper and the lower edge [POINTS, 2] of what shows teeth between the lips of a face [1, 3, R, R].

    None where it shows none, or a mouth wide open. Landmarks `points` [68, 2] lie up to a tooth's height from the lips'
    edges. What is light and hardly red is told from the rest by Otsu's threshold (1979), within the lips; each column
    of the mouth is followed up and down from the landmarks' middle."""
    frame, x, y = MouthFrame.of(points), PICTURE.across(), PICTURE.down()
    colours = lab(PICTURE.of(face, frame)[0]).reshape(ROWS, COLUMNS, 3).numpy()
    lips = [fitted(frame.inside(points[list(part)]), x.clip(-0.5, 0.5)) for part in (*OUTER_EDGES, *INNER_EDGES)]
    seen, rows = _find_teeth(colours, lips, y)
    lip = _darker_lip(colours, seen, rows) if len(seen) >= TOOTHED * COLUMNS else None
    if lip is None:
        return None
    seen, rows = _with_shadows(colours[..., 0] < SHADOW * lip, seen, rows)
    rim, step = RIM * eye_distance_of(points) / frame.width, HEIGHT / ROWS
    upper, lower = y[rows[:, 0]] - step / 2 - rim, y[rows[:, 1]] + step / 2 + rim
    last = x[[seen[0], seen[-1]]]
    ends: Points = last + TO_CORNER * np.clip([-0.5 - last[0], 0.5 - last[1]], [-1, 0], [0, 1])
    heights = ((upper + lower) / 2)[[0, -1]] * (1 - TO_CORNER)  # the corners lie at 0
    at = np.linspace(ends[0], ends[1], POINTS)
    edges = [_through(ends, heights, x[seen], edge, at, sign) for edge, sign in ((upper, -1), (lower, 1))]
    if (edges[1] - edges[0]).min() < -step:
        return None
    upper, lower = (frame.outside(np.stack([at, edge], axis=1)) for edge in edges)
    return upper, lower


def _find_teeth(colours: NDArray[np.float64], lips: list[Points], y: Points) -> tuple[list[int], NDArray[np.int64]]:
    """Return the columns of a mouth's picture [ROWS, COLUMNS, 3] (L*a*b*) that show teeth, and their first and last
    rows [N, 2].

    `lips` [COLUMNS] are the heights of the landmarks' lines: outer upper and lower, inner upper and lower; `y` those of
    the rows."""
    top = lips[2] - ABOVE_INNER * (lips[2] - lips[0])
    bottom = lips[1] + BELOW_OUTER * (lips[1] - lips[0])
    within = (y[:, None] > top) & (y[:, None] < bottom)
    light = _lightest(colours[..., 0] - REDNESS * colours[..., 1], within)
    limits = np.searchsorted(y, top), np.searchsorted(y, bottom) - 1  # what is light up to these has no lip beside it
    starts = np.searchsorted(y, (lips[2] + lips[3]) / 2)
    runs = [_run(*column) for column in zip(light.T, starts, *limits, strict=True)]
    seen = _row_of_teeth(runs)
    return seen, np.array([runs[number] for number in seen])


def _darker_lip(colours: NDArray[np.float64], seen: list[int], rows: NDArray[np.int64]) -> float | None:
    """Return how light the lips are, the darker one of them, above and below what was taken for teeth; None where what
    is below is no lip, which is redder than they are and not as dark as an open mouth."""
    first, last = rows[:, 0], rows[:, 1] + 1
    over, under = (first - 1).clip(1), (last + 1).clip(max=ROWS - 1)
    above, tooth, below = (
        np.mean([colours[a:b, column].mean(axis=0) for a, b, column in zip(*places, seen, strict=True)], axis=0)
        for places in (((over - LIP_ROWS).clip(0), over), (first, last), (under, under + LIP_ROWS))
    )
    is_lip = below[1] - tooth[1] >= REDDER and below[0] >= DARKEST * tooth[0]
    return float(min(above[0], below[0])) if is_lip else None


def _with_shadows(
    dark: NDArray[np.bool_], seen: list[int], rows: NDArray[np.int64]
) -> tuple[list[int], NDArray[np.int64]]:
    """Return columns and their rows with the dark around the teeth: under the upper lip, and out to the corners."""
    runs = {
        number: _grown(dark[:, number], int(one), int(other)) for number, (one, other) in zip(seen, rows, strict=True)
    }
    for way in (range(seen[0] - 1, -1, -1), range(seen[-1] + 1, dark.shape[1])):
        last = way.start - way.step
        one, other = runs[last]
        for number in way:
            inside = np.flatnonzero(dark[max(one - 1, 0) : other + 2, number]) + max(one - 1, 0)
            if len(inside):
                one, other = runs[number] = _grown(dark[:, number], int(inside[0]), int(inside[-1]), 1)
                last = number
            elif abs(number - last) > 2 * BRIDGED:
                break
    seen = sorted(runs)
    return seen, np.array([runs[number] for number in seen])


def _grown(dark: NDArray[np.bool_], one: int, other: int, most: int = STEP) -> tuple[int, int]:
    """Return rows `one` to `other` of a column with the dark ones beside them, `most` on each side."""
    for _ in range(most):
        one -= bool(dark[max(one - 1, 0)])
        other += bool(dark[min(other + 1, len(dark) - 1)])
    return max(one, 0), min(other, len(dark) - 1)


def _lightest(values: NDArray[np.float64], within: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return what is `within` and above Otsu's threshold; nothing where that tells no two kinds of pixels apart."""
    known = values[within]
    if not known.size:
        return np.zeros_like(within)
    low, high = np.percentile(known, [2, 98])
    best, found = 0.0, np.zeros_like(within)
    for threshold in np.linspace(low, high, THRESHOLDS):
        above = known > threshold
        share = above.mean()
        if not 0 < share < 1:
            continue
        apart = known[above].mean() - known[~above].mean()
        explained = share * (1 - share) * apart**2 / max(known.var(), 1e-9)
        if explained > best and apart > APART:
            best, found = explained, within & (values > threshold)
    return found if best > EXPLAINED else np.zeros_like(within)


def _run(column: NDArray[np.bool_], start: int, above: int, below: int) -> tuple[int, int] | None:
    """Return first and last row of the teeth at or beside row `start` of a column, between rows `above` and `below`;
    a row between two teeth may be dark."""
    rows = np.flatnonzero(column)
    if not len(rows) or abs(nearest := int(rows[np.abs(rows - start).argmin()]) - start) > BESIDE:
        return None
    breaks = np.flatnonzero(np.diff(rows) > BRIDGED)
    for part in np.split(rows, breaks + 1):
        if above < part[0] <= start + nearest <= part[-1] < below:
            return int(part[0]), int(part[-1])
    return None


def _row_of_teeth(runs: list[tuple[int, int] | None]) -> list[int]:
    """Return the columns from left to right that show one row of teeth: from the middle outward, as far as what is seen
    goes on at about the same height."""
    heights = {number: sum(run) / 2 for number, run in enumerate(runs) if run}
    if not heights:
        return []
    middle = min(heights, key=lambda number: abs(number - len(runs) / 2))
    result = [middle]
    for way in (range(middle - 1, -1, -1), range(middle + 1, len(runs))):
        last = middle
        for number in way:
            if number not in heights:
                continue
            if abs(number - last) > BRIDGED or abs(heights[number] - heights[last]) > STEP:
                break
            result.append(last := number)
    return sorted(result)


def _through(ends: Points, heights: Points, x: Points, y: Points, at: Points, side: int) -> Points:
    """Return a smooth line through heights at both ends and, between, past nearly all of `y` at `x` on the `side`
    (1: below), at the places `at`: teeth are uneven."""
    share, where = ((values - ends[0]) / (ends[1] - ends[0]) for values in (x, at))
    base = (share * (1 - share))[:, None] * np.vander(2 * share - 1, 4)
    rest, kept = y - np.interp(x, ends, heights), np.ones(len(x), bool)
    # Without columns far from the others, as where skin beside a thin lip is taken for teeth.
    for _ in range(3):
        factors = np.linalg.lstsq(base[kept], rest[kept], rcond=None)[0]
        off = side * (rest - base @ factors)
        kept = off < 3 * np.median(np.abs(off)) + HEIGHT / ROWS
    beyond = max(float(np.percentile(off[kept], PASSED)), 0.0)
    bump = np.minimum(1, 8 * where * (1 - where))
    line = np.interp(at, ends, heights) + where * (1 - where) * (np.vander(2 * where - 1, 4) @ factors)
    result: Points = line + side * beyond * bump
    return result


def fitted(edge: Points, x: Points) -> Points:
    """Return the height at places `x` of any shape, of the line of fourth order through points [N, 2]."""
    low, high = edge[:, 0].min(), edge[:, 0].max()
    middle, half = (low + high) / 2, max((high - low) / 2, 1e-6)
    factors = np.linalg.lstsq(np.vander((edge[:, 0] - middle) / half, 5), edge[:, 1], rcond=None)[0]
    result: Points = np.polyval(factors, (x - middle) / half)
    return result
