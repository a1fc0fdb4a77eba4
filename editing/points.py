"""Points of a photo and of a face in it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from editing.operations.render import Render
from editing.regions import read_mask
from inversion.faces.align import align_face
from stylegan_core.errors import ConfigError

Points = NDArray[np.float64]  # [P, 2]


def in_face(quad: Points | None, points: Sequence[tuple[float, float]]) -> Points:
    """Return where points of a photo (in pixels) lie in the face with the corners `quad` [4, 2], which spans 0..1.

    A latent without corners, which knows no photo, takes the points as units of the face already."""
    given = np.asarray(points, np.float64).reshape(-1, 2)
    return given if quad is None else (given - quad[0]) @ np.linalg.inv(_axes(quad)).T


def of_photo(quad: Points | None, points: Points) -> Points:
    """Return where points of a face (0..1) lie in the photo, in pixels: the inverse of `in_face`."""
    return points if quad is None else quad[0] + points @ _axes(quad).T


def inside(points: Points) -> NDArray[np.bool_]:
    """Tell which points [P, 2] lie in the face [P]."""
    return np.asarray(((points > 0) & (points < 1)).all(axis=1))


def read_area(path: str, render: Render) -> Tensor:
    """Return the face's part [1, 1, R, R] in 0..1 of a painted mask of the photo's size; raises `ConfigError`."""
    if render.photo is None or render.latent.quad is None:
        raise ConfigError(f"--drag-mask {path} needs the latent's photo, which is not known; name it with --photo")
    height, width = render.photo.rgb.shape[:2]
    painted = read_mask(path, height, width, option="--drag-mask")
    grey = np.repeat((painted[..., None] * 255).astype(np.uint8), 3, axis=-1)
    area = align_face(grey, render.latent.quad, render.generator.img_resolution)
    return area[:, :1].add(1).div(2).clamp(0, 1)


def _axes(quad: Points) -> Points:
    return np.stack([quad[3] - quad[0], quad[1] - quad[0]], axis=1)  # columns: right, down
