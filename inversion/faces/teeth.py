"""Teeth between lips that part: a sketch of their light, which a small network turns into teeth."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from inversion.faces.align import quad_side
from inversion.faces.blend import box_of
from inversion.faces.flow import box_filter
from inversion.faces.lips import FEATHER, Lips
from inversion.faces.motion import Points
from inversion.faces.mouth import fitted
from inversion.faces.mouth_frame import MouthFrame, MouthPicture
from inversion.faces.restore import Restorer

PICTURE = MouthPicture(144, 96, 1.4, 1.4 * 96 / 144, 0.42)  # of a mouth that is painted
CHEEKS = ((31, 2), (35, 14))  # landmarks: nostril and jaw, between which a cheek is looked at
TOOTH_LIGHT, LIGHT_SHARE, WARMTH = 0.36, 0.6, (0.07, 0.0, -0.06)  # a tooth's colour, in [-1, 1], from a cheek's light
TOOTH_LENGTH = 0.17  # of the upper teeth below the upper lip, in widths of the mouth
LIP_SHADE, SHADE_DEPTH = 0.3, 0.03  # how much darker teeth are under the upper lip, and how far down, in those widths
COLOURED = 0.1  # difference of a cheek's channels, in [-1, 1], from which on a photo is one in colour
SEEN = 1e-4  # share of a pixel that has to be between the lips
CRISP, SOFT = 0.6, 5  # how much sharper teeth are made at most than those of 256 px faces, over a square of pixels
COARSE = 0.6  # pixels of a photo to one of the picture, as in those faces
LIT_FROM, NARROW_LIGHT = 0.12, 0.45  # eye distances of an opening that lights its teeth in full; light in a slit
CAVITY = 0.22  # brightness, of the teeth's, of what lies behind and beside them
TURNING = 3.0  # power by which the row of teeth darkens towards the corners


def sketch(edge: Points, white: Tensor) -> Tensor:
    """Return the light of teeth [1, 3, rows, columns] in [-1, 1] below the upper `edge` [N, 2] of an opening, which is
    in the frame of the mouth; `white` [3] in [-1, 1] is the colour of a tooth in the light of the face."""
    x, y = PICTURE.places().transpose(2, 0, 1)
    left, right = edge[0, 0], edge[-1, 0]
    upper = fitted(edge, x.clip(left, right))
    along = (2 * (x - left) / max(right - left, 1e-6) - 1).clip(-1, 1)
    depth = (y - upper).clip(0)
    light = (1 - np.abs(along) ** TURNING) * (1 - LIP_SHADE * np.exp(-depth / SHADE_DEPTH))
    light *= 1 / (1 + np.exp((depth - TOOTH_LENGTH) / 0.01))
    light = CAVITY + (1 - CAVITY) * light
    result: Tensor = torch.from_numpy(light).float() * (white[:, None, None] + 1) - 1
    return result[None]


def tooth_white(face: Tensor, points: Points) -> Tensor:
    """Return the colour [3] in [-1, 1] of teeth in the light of a face [1, 3, R, R] with landmarks `points` [68, 2].

    By the light of the cheeks, as `benchmarks/mouths.py` prints it. The white of the eyes says less: lids shade it."""
    cheek = cheek_colour(face, points)
    coloured = ((cheek.max() - cheek.min()) / COLOURED).clamp(max=1)  # 0 in a grey photo
    return (TOOTH_LIGHT + LIGHT_SHARE * cheek.mean() + coloured * torch.tensor(WARMTH)).clamp(-1, 1)


def cheek_colour(face: Tensor, points: Points) -> Tensor:
    """Return the median colour [3] of both cheeks of a face [1, 3, R, R] with landmarks `points` [68, 2]."""
    side = face.shape[-1]
    cheeks = np.concatenate([np.linspace(points[one], points[other], 12)[2:9] for one, other in CHEEKS])
    rows, columns = (cheeks * side).astype(int).clip(0, side - 1).T[::-1]
    return face[0, :, rows, columns].median(dim=1).values


def opening_mask(edges: tuple[Points, Points], feather: float) -> Tensor:
    """Return in 0..1 what lies between the edges [N, 2] of an opening in the frame, [1, 1, rows, columns], over a
    `feather` in widths of the mouth."""
    x, y = PICTURE.places().transpose(2, 0, 1)
    left, right = edges[0][0, 0], edges[0][-1, 0]
    upper, lower = (fitted(edge, x.clip(left, right)) for edge in edges)
    beside: NDArray[np.float64] = (left - x).clip(0) + (x - right).clip(0)
    inside = np.minimum((y - upper) / feather + 0.5, (lower - y) / feather + 0.5).clip(0, 1)
    inside *= (1 - beside / feather).clip(0, 1)
    return torch.from_numpy(inside).float()[None, None]


@torch.no_grad()
def paint_teeth(
    network: Restorer | None,
    photo: Tensor,
    between: Tensor,
    position: Tensor,
    quad: NDArray[np.float64],
    lips: Lips,
    points: Points,
    white: Tensor,
) -> Tensor:
    """Return a block of a photo [1, 3, h, w] with what its parted lips show: teeth, and the dark beside them.

    `between` [h, w] in 0..1 is where that is, `position` [h, w, 2] are the places of the pixels in the face, `quad`
    [4, 2] is the face's in the pixels, `points` [68, 2] are its landmarks now, and `white` [3] is the colour of its
    teeth. Without a network the sketch is shown."""
    box = box_of(between, SEEN)
    if box is None:
        return photo
    part = (..., *box)
    frame = MouthFrame.of(points)
    crisp = CRISP * float(np.clip(_fineness(quad, frame) - COARSE, 0, 1))
    painted = _painted(network, _seen(photo, quad, frame), lips, frame, white, crisp)
    x, y = torch.from_numpy(frame.inside(position[box].double().numpy())).float().unbind(dim=-1)
    grid = torch.stack([x / PICTURE.width * 2, (y / PICTURE.height + PICTURE.above) * 2 - 1], dim=-1)[None]
    inside = F.grid_sample(painted, grid, mode="bicubic", padding_mode="border", align_corners=False)
    result = photo.clone()
    result[part] += between[box] * (inside - result[part])
    return result


def _painted(
    network: Restorer | None, seen: Tensor, lips: Lips, frame: MouthFrame, white: Tensor, crisp: float
) -> Tensor:
    """Return the picture `seen` [1, 3, rows, columns] of a mouth with teeth between its lips, without colour where
    `white` [3] has none."""
    edges = frame.inside(lips.edges[0]), frame.inside(lips.edges[1])
    mask = opening_mask(edges, FEATHER * lips.unit / frame.width)
    given = seen + mask * (sketch(edges[0], _shaded(white, lips)) - seen)
    painted = given if network is None else network(given, mask).clamp(-1, 1)
    painted = (painted + crisp * mask * (painted - box_filter(painted, SOFT))).clamp(-1, 1)
    grey = painted.mean(dim=1, keepdim=True)
    return grey + (white.max() - white.min()).div(WARMTH[0] - WARMTH[2]).clamp(max=1) * (painted - grey)


def _shaded(white: Tensor, lips: Lips) -> Tensor:
    """Return the colour [3] of teeth between lips that are a little apart, which shade them."""
    height = float((lips.edges[1] - lips.edges[0])[:, 1].max()) / lips.unit
    return (white + 1) * (NARROW_LIGHT + (1 - NARROW_LIGHT) * min(height / LIT_FROM, 1)) - 1


def _seen(photo: Tensor, quad: NDArray[np.float64], frame: MouthFrame) -> Tensor:
    """Return the picture of the mouth in a block of a photo [1, 3, h, w], shrunk first where it is far finer."""
    axes = np.stack([quad[3] - quad[0], quad[1] - quad[0]])  # rows: right, down
    finer = _fineness(quad, frame)
    places = quad[0] + frame.outside(PICTURE.places()) @ axes
    size = np.array(photo.shape[:1:-1])
    low = np.floor(places.min(axis=(0, 1)) - 2 * finer).clip(0, size - 1).astype(int)
    high = np.ceil(places.max(axis=(0, 1)) + 2 * finer).clip(low + 1, size).astype(int)
    part = photo[..., low[1] : high[1], low[0] : high[0]]
    grid = torch.from_numpy((places - low) / (high - low)).float()[None] * 2 - 1
    if finer > 1:
        shrunk = [max(1, round(pixels / finer)) for pixels in part.shape[2:]]
        part = F.interpolate(part, size=shrunk, mode="bilinear", antialias=True, align_corners=False)
    return F.grid_sample(part, grid, mode="bicubic", padding_mode="border", align_corners=False)


def _fineness(quad: NDArray[np.float64], frame: MouthFrame) -> float:
    """Return how many pixels of the photo in which a face lies at `quad` [4, 2] there are to one of the picture's."""
    return quad_side(quad) * frame.width * PICTURE.width / PICTURE.columns
