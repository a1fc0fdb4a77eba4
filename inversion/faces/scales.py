"""What is measured of a face beside what the judges say: landmark measures, and where the light comes from.

Each is a `Judge` like the others, so that directions are fitted to it, given a length, and asked for a target."""

import torch
from torch import Tensor

from inversion.faces.attributes import DEGREES, DISTANCES, LIGHT, RATIO, SCALES
from inversion.faces.judges import Judge, judge_region
from inversion.faces.landmarks import find_landmarks, trace_landmarks
from inversion.faces.measures import MEASURES, OF, measure_all
from stylegan_core.networks.protocol import Alignment

CLEAR = {DEGREES: 10.0, DISTANCES: 0.1, RATIO: 0.1}  # a difference that anybody sees
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
FACE_WIDTH = 0.72  # of the judges' region: beyond it there is hair


def light_from_left(faces: Tensor, alignment: Alignment) -> Tensor:
    """Return how much brighter the picture's left half of the face is than its right, over their mean, [N].

    faces [N, 3, R, R] in [-1, 1]; 0 is even light. The halves are those of the judges' region."""
    left, top, right, bottom = judge_region(alignment)
    side = faces.shape[-1]
    middle, half = (left + right) / 2, (right - left) * FACE_WIDTH / 2
    rows = slice(max(round(top * side), 0), min(round(bottom * side), side))
    edges = [min(max(round(x * side), 0), side) for x in (middle - half, middle, middle + half)]
    luma = ((faces.clamp(-1, 1) + 1) / 2 * torch.tensor(LUMA).to(faces)[:, None, None]).sum(dim=1)
    one, other = (luma[:, rows, slice(*pair)].mean(dim=(1, 2)) for pair in (edges[:2], edges[1:]))
    return (one - other) / (one + other).clamp_min(0.02) * 2


def scale_all(faces: Tensor, alignment: Alignment) -> Tensor:
    """Return every scale's number [N, len(SCALES)], columns in the order of `SCALES`, landmarks found once."""
    return torch.cat([measure_all(find_landmarks(faces, alignment)), light_from_left(faces, alignment)[:, None]], dim=1)


def scale(name: str) -> Judge:
    """Return the scale called `name`, one of `SCALES`."""
    if name == LIGHT:
        return Judge(light_from_left, SCALES[name], 0.03, 0.2)
    measure = MEASURES[name]

    def score(faces: Tensor, alignment: Alignment) -> Tensor:
        return OF[name](trace_landmarks(faces, alignment))

    return Judge(score, SCALES[name], measure.tolerance, CLEAR[SCALES[name]])
