"""The line between closed lips, found in a picture of the face."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from inversion.faces.colours import lab
from inversion.faces.flow import box_filter
from inversion.faces.motion import Points
from inversion.faces.mouth import INNER_EDGES, OUTER_EDGES, POINTS, fitted
from inversion.faces.mouth_frame import MouthFrame, MouthPicture

PICTURE = MouthPicture(144, 96, 1.2, 0.8, 0.45)
REACH = 0.18  # how far from the landmarks' line it is sought, in widths of the mouth
NEAR = 8.0  # lightness of L*a*b* by which a place at the end of that reach has to be deeper than one at that line
SOFT = 3  # pixels over which the picture is smoothed
BESIDE = 4  # rows above and below that have to be lighter
SHALLOW = 3.0  # lightness by which a line between lips is darker than what is beside it, at least


def find_seam(face: Tensor, points: Points) -> Points | None:
    """Return the line between the closed lips of a face [1, 3, R, R] from corner to corner, [POINTS, 2]; None where
    none is seen.

    The path from left to right that is darker than what lies above and below, between the landmarks of the lips in
    `points` [68, 2], by dynamic programming (as the seams of Avidan and Shamir 2007); a line of fourth order through
    it."""
    frame = MouthFrame.of(points)
    light = lab(box_filter(PICTURE.of(face, frame), SOFT)[0]).numpy()[:, 0].reshape(PICTURE.rows, PICTURE.columns)
    x, y = PICTURE.across(), PICTURE.down()
    lips = [fitted(frame.inside(points[list(part)]), x.clip(-0.45, 0.45)) for part in (*INNER_EDGES, *OUTER_EDGES)]
    off = (y[:, None] - np.mean(lips, axis=0)) / REACH
    padded = np.pad(light, [(BESIDE, BESIDE), (0, 0)], mode="edge")
    depth = np.minimum(padded[: -2 * BESIDE], padded[2 * BESIDE :]) - light
    cost = np.where(np.abs(off) <= 1, NEAR * off**2 - depth, np.inf)
    between = np.flatnonzero(np.abs(x) <= 0.5)
    rows = _cheapest_path(cost[:, between])
    if np.median(depth[rows, between]) < SHALLOW:
        return None
    at = np.linspace(-0.5, 0.5, POINTS)
    return frame.outside(np.stack([at, fitted(np.stack([x[between], y[rows]], axis=1), at)], axis=1))


def _cheapest_path(cost: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the rows [columns] of the path of least cost [rows, columns], which goes up or down by one at most."""
    rows, columns = cost.shape
    total, came = cost[:, 0].copy(), np.zeros((columns, rows), np.int64)
    for column in range(1, columns):
        padded = np.pad(total, 1, constant_values=np.inf)
        choices = np.stack([padded[:-2], padded[1:-1], padded[2:]])
        came[column] = np.arange(rows) + choices.argmin(axis=0) - 1
        total = choices.min(axis=0) + cost[:, column]
    path = [int(total.argmin())]
    for column in range(columns - 1, 0, -1):
        path.append(int(came[column][path[-1]]))
    return np.array(path[::-1])
