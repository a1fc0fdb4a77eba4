"""The line between closed lips, found in a picture of the face."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from inversion.faces.colours import lab
from inversion.faces.flow import box_filter
from inversion.faces.motion import Points
from inversion.faces.mouth import INNER_EDGES, POINTS, fitted
from inversion.faces.mouth_frame import MouthFrame, MouthPicture

PICTURE = MouthPicture(144, 96, 1.2, 0.8, 0.45)
REACH = 0.1  # how far from the landmarks' line it is sought, in widths of the mouth
NEAR = 10.0  # lightness of L*a*b* that a place at the end of that reach has to be darker by than one at the landmarks
SOFT = 3  # pixels over which the picture is smoothed


def find_seam(face: Tensor, points: Points) -> Points:
    """Return the line between the closed lips of a face [1, 3, R, R] from corner to corner, [POINTS, 2].

    The darkest path from left to right near the inner landmarks of `points` [68, 2], which lie inside the lips, by
    dynamic programming (as the seams of Avidan and Shamir 2007); a line of fourth order through it."""
    frame = MouthFrame.of(points)
    light = lab(box_filter(PICTURE.of(face, frame), SOFT)[0]).numpy()[:, 0].reshape(PICTURE.rows, PICTURE.columns)
    x, y = PICTURE.across(), PICTURE.down()
    inner = [fitted(frame.inside(points[list(part)]), x.clip(-0.45, 0.45)) for part in INNER_EDGES]
    off = (y[:, None] - np.mean(inner, axis=0)) / REACH
    cost = np.where(np.abs(off) <= 1, light + NEAR * off**2, np.inf)
    between = np.flatnonzero(np.abs(x) <= 0.5)
    path = y[_cheapest_path(cost[:, between])]
    at = np.linspace(-0.5, 0.5, POINTS)
    return frame.outside(np.stack([at, fitted(np.stack([x[between], path], axis=1), at)], axis=1))


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
