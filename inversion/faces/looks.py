"""What an edit did to a face in its photo, measured on the photo itself, before and after."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from inversion.faces.align import align_face
from inversion.faces.attributes import UNITS
from inversion.faces.colours import lab
from inversion.faces.judges import identity_distance, judge_all
from inversion.faces.landmarks import EYES, LEFT_CORNER, RIGHT_CORNER, find_landmarks
from inversion.faces.measures import eye_distance, measure_all
from inversion.faces.scales import light_from_left
from stylegan_core.networks.protocol import Alignment

SIDE = 384  # pixels of the face that is looked at
MOUTH_BOX, EYES_BOX = (1.5, 1.0), (1.9, 0.5)  # width and height, in eye distances
MOUTH_BELOW = 0.05  # eye distances that the mouth's box lies below the middle of its corners
BOX_PIXELS = 96  # of an eye distance in a box
DIGITS = 4
AT_A_TIME = 16  # pixels whose nearest is looked for at once


@dataclass(frozen=True)
class PhotoScores:
    """A face in a photo before and after an edit."""

    before: dict[str, float]  # every judge's and scale's number, by the names in `UNITS`
    after: dict[str, float]
    identity_distance: (
        float  # of the recognition descriptors; one person's photos are about .25 apart, two people's .67
    )
    mouth_sharpness: float  # mean absolute Laplacian of the mouth's middle, over what it was before
    foreign_colour: float  # mean Lab distance of the mouth's pixels to the nearest of mouth and eyes before


@torch.no_grad()
def score_photo(
    before: NDArray[np.uint8], after: NDArray[np.uint8], quad: NDArray[np.float64], alignment: Alignment
) -> PhotoScores:
    """Compare the face at `quad` [4, 2] of two photos [H, W, 3] that differ by an edit alone."""
    faces = torch.cat([align_face(rgb, quad, SIDE) for rgb in (before, after)])
    points = find_landmarks(faces, alignment)  # [2, 68, 2]
    light = light_from_left(faces, alignment)[:, None]
    values = torch.cat([judge_all(faces, alignment), measure_all(points), light], dim=1).tolist()
    was, now = (dict(zip(UNITS, (round(value, DIGITS) for value in row), strict=True)) for row in values)
    mouths = [_mouth(face, place) for face, place in zip(faces, points, strict=True)]
    return PhotoScores(
        was,
        now,
        round(float(identity_distance(faces[1:], faces[:1], alignment)), DIGITS),
        round(_detail(mouths[1]) / max(_detail(mouths[0]), 1e-3), DIGITS),
        round(foreign_colour(mouths[1], [mouths[0], _eyes(faces[0], points[0])]), DIGITS),
    )


def foreign_colour(part: Tensor, own: list[Tensor]) -> float:
    """Return the mean Lab distance of the middle two thirds of a picture [3, h, w] in [-1, 1] to the nearest pixel of
    `own`."""
    known = torch.cat([lab(pixels) for pixels in own])
    return float(_nearest(lab(_middle(part, 2 / 3)), known).mean())


def _nearest(points: Tensor, known: Tensor) -> Tensor:
    """Return the distance [N] of points [N, 3] to the nearest of those known [M, 3].

    A tree of SciPy's takes longer to import than this to compare a mouth's pixels."""
    centre = known.mean(dim=0)
    points, known = points - centre, known - centre
    # |p - k|^2 = |p|^2 + (|k|^2 - 2 p k): the bracket is one product of matrices, done in parts that fit the cache.
    left = torch.cat([points, points.new_ones(len(points), 1)], dim=1)
    right = torch.cat([-2 * known, known.square().sum(dim=1, keepdim=True)], dim=1).T.contiguous()
    product = right.new_empty(AT_A_TIME, len(known))  # once, since memory from the system costs more than the product
    parts = [torch.mm(some, right, out=product[: len(some)]).amin(dim=1) for some in left.split(AT_A_TIME)]
    return (torch.cat(parts) + points.square().sum(dim=1)).clamp_min(0).sqrt()


def _detail(part: Tensor) -> float:
    """Return the mean absolute Laplacian, in grey levels of 0..255, of the middle half."""
    grey = _middle(part, 0.5).mean(dim=0) * 127.5
    inner = grey[1:-1, 1:-1]
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * inner).abs().mean())


def _middle(part: Tensor, share: float) -> Tensor:
    height, width = part.shape[1:]
    rows, columns = (round(side * (1 - share) / 2) for side in (height, width))
    return part[:, rows : height - rows, columns : width - columns]


def _mouth(face: Tensor, points: Tensor) -> Tensor:
    unit = float(eye_distance(points[None]))
    middle = points[[LEFT_CORNER, RIGHT_CORNER]].mean(dim=0) + torch.tensor([0, MOUTH_BELOW * unit])
    return _cut(face, middle, unit, MOUTH_BOX)


def _eyes(face: Tensor, points: Tensor) -> Tensor:
    return _cut(face, points[EYES].mean(dim=0), float(eye_distance(points[None])), EYES_BOX)


def _cut(face: Tensor, middle: Tensor, unit: float, box: tuple[float, float]) -> Tensor:
    """Cut a box around `middle` (x, y in 0..1) out of a face [3, R, R], as [3, h, w]."""
    size = torch.tensor(box)
    width, height = (round(side * BOX_PIXELS) for side in box)
    steps = [(torch.arange(number) + 0.5) / number - 0.5 for number in (width, height)]
    place = torch.stack(torch.meshgrid(*steps, indexing="xy"), dim=-1) * size * unit + middle
    grid = (place * 2 - 1)[None].to(face)
    return F.grid_sample(face[None], grid, mode="bicubic", padding_mode="border", align_corners=False)[0].clamp(-1, 1)
