"""Find faces and their five landmarks with MTCNN."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inversion.faces.mtcnn import find_faces
from stylegan_core.errors import ConfigError, FaceNotFoundError

DETECTION_PIXELS = 2_500_000  # larger photos are shrunk to this area for the search
DETECTION_SIDE = 160  # smaller photos are enlarged to this side
MIN_PROBABILITY = 0.9
CERTAIN = 0.9995  # probability of a face that is upright; wrongly turned ones stay below
CERTAIN_ALONE = 0.997  # the same where nothing is found the right way up
MIN_FACE = 20  # pixels, at the size that is searched


@dataclass(frozen=True)
class Face:
    """A detected face in pixel coordinates of the photo (x to the right, y down, pixel centres at .5)."""

    box: NDArray[np.float64]  # [4]: left, top, right, bottom
    landmarks: NDArray[np.float64]  # [5, 2]: left eye, right eye, nose, mouth corners, as seen in the picture
    probability: float
    turn: int = 0  # degrees by which the photo was turned, counterclockwise, before the face was found


def detect_faces_any_way_up(rgb: NDArray[np.uint8]) -> list[Face]:
    """Return the faces of a photo [H, W, 3] that may lie on its side or be upside down, largest first.

    The other three orientations are tried where no face that is upright is certain, and one of them is taken where its
    face is."""
    upright = detect_faces(rgb)
    if upright and max(face.probability for face in upright) >= CERTAIN:
        return upright
    ways = [(turn, detect_faces(np.ascontiguousarray(np.rot90(rgb, turn // 90)))) for turn in (90, 180, 270)]
    turn, found = max(ways, key=lambda way: max((face.probability for face in way[1]), default=0.0))
    if not found or max(face.probability for face in found) < (CERTAIN if upright else CERTAIN_ALONE):
        return upright
    return [_turned_back(face, turn, *rgb.shape[:2]) for face in found]


def _turned_back(face: Face, turn: int, height: int, width: int) -> Face:
    """Return a face found in a photo turned by `turn` degrees in coordinates of the photo [height, width]."""

    def back(points: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y = points[:, 0], points[:, 1]
        if turn == 90:
            return np.stack([width - y, x], axis=1)
        return np.stack([width - x, height - y] if turn == 180 else [y, height - x], axis=1)

    corners = back(face.box.reshape(2, 2))
    box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    return Face(box, back(face.landmarks), face.probability, turn)


def detect_faces(rgb: NDArray[np.uint8]) -> list[Face]:
    """Return the faces of an upright photo [H, W, 3], largest first; an empty list where there are none."""
    height, width = rgb.shape[:2]
    scale = min(1.0, math.sqrt(DETECTION_PIXELS / (height * width)))
    scale = max(scale, DETECTION_SIDE / max(height, width))
    size = (max(MIN_FACE, round(width * scale)), max(MIN_FACE, round(height * scale)))
    image = Image.fromarray(rgb).resize(size, Image.Resampling.LANCZOS) if size != (width, height) else rgb
    boxes, landmarks, probabilities = find_faces(np.asarray(image), MIN_FACE)
    stretch = np.array([width / size[0], height / size[1]])
    faces = [
        Face(np.asarray(box, np.float64) * np.tile(stretch, 2), np.asarray(points, np.float64) * stretch, float(p))
        for box, p, points in zip(boxes, probabilities, landmarks, strict=True)
        if p >= MIN_PROBABILITY
    ]
    return sorted(faces, key=lambda face: (-_area(face), *face.box))


def choose_faces(faces: Sequence[Face], choice: str, source: str) -> dict[int, Face]:
    """Pick faces by `choice`: `all`, a number N (the N largest), or names such as `face0,face2`.

    Keys are the indices by size, as in the names of the output folders. `source` names the photo in errors."""
    if not faces:
        raise FaceNotFoundError(
            f"{source}: no face found; give a photo with a face of {MIN_FACE} pixels or more, "
            "or --no-align if the picture already is an aligned face"
        )
    if choice == "all":
        return dict(enumerate(faces))
    if choice.isdigit() and int(choice) > 0:
        return dict(enumerate(faces[: int(choice)]))
    names = [name.strip() for name in choice.split(",")]
    if not all(name.startswith("face") and name[4:].isdigit() for name in names):
        raise ConfigError(f"--faces '{choice}' not understood; expected all, a number, or names such as face0,face2")
    indices = [int(name[4:]) for name in names]
    if missing := [index for index in indices if index >= len(faces)]:
        raise FaceNotFoundError(
            f"{source}: there is no face{missing[0]}; {len(faces)} found: face0 to face{len(faces) - 1}"
        )
    return {index: faces[index] for index in indices}


def _area(face: Face) -> float:
    left, top, right, bottom = face.box
    return float((right - left) * (bottom - top))
