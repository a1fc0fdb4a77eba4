"""Aligned faces for a training set: every face of a photo that is large enough."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from inversion.faces.align import align_face, face_quad, quad_side
from inversion.faces.detect import detect_faces
from stylegan_core.errors import FaceNotFoundError
from stylegan_core.images import to_uint8
from stylegan_core.networks.protocol import Alignment
from stylegan_core.training.config import DatasetConfig
from stylegan_core.training.prepare import centre_cropper, smallest_side


def face_cropper(
    size: int, min_side: int, alignment: Alignment
) -> Callable[[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Return a function from a photo [H, W, 3] to its aligned faces [size, size, 3], largest first.

    It raises `FaceNotFoundError` where there is none whose aligned square has `min_side` pixels a side or more."""

    def crop(rgb: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        quads = [face_quad(face.landmarks, alignment) for face in detect_faces(rgb)]
        if not quads:
            raise FaceNotFoundError("no face found")
        large = [quad for quad in quads if quad_side(quad) >= min_side]
        if not large:
            raise FaceNotFoundError(f"its largest face has {quad_side(quads[0]):.0f} pixels a side, under {min_side}")
        return [to_uint8(align_face(rgb, quad, size))[0] for quad in large]

    return crop


def cropper_for(config: DatasetConfig) -> Callable[[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Return the way of cropping that the options of `dataset make` ask for."""
    if config.crop == "faces":
        alignment = Alignment(config.crop_scale, config.crop_shift)
        return face_cropper(config.resolution, smallest_side(config), alignment)
    return centre_cropper(config.resolution, smallest_side(config))
