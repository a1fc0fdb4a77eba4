"""Put an edited face back into its photo."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from inversion.faces.align import quad_side
from stylegan_core.errors import ConfigError
from stylegan_core.images import to_tensor, to_uint8

MODES = ("auto", "full", "delta", "none")
MASK_CENTRE = (0.5, 0.5)  # of the soft ellipse, in units of the aligned face
MASK_RADII = (0.47, 0.49)
MASK_FEATHER = 0.35  # share of the radius over which the mask falls to zero


@dataclass(frozen=True)
class PasteResult:
    """A whole photo with an edited face."""

    rgb: NDArray[np.uint8]  # [H, W, 3]
    mask: NDArray[np.float32]  # [H, W]: 0 where the photo was not touched
    mode: str
    pixels_changed: int
    pixels_in_mask: int


def choose_mode(mode: str, quad: NDArray[np.float64], img_resolution: int) -> str:
    """Resolve `auto`: `delta` where the face in the photo is larger than the generator's image, else `full`."""
    if mode not in MODES:
        raise ConfigError(f"--paste '{mode}' is unknown; expected one of {', '.join(MODES)}")
    if mode != "auto":
        return mode
    return "delta" if quad_side(quad) > img_resolution else "full"


def paste_face(
    rgb: NDArray[np.uint8], quad: NDArray[np.float64], edited: Tensor, inverted: Tensor, mode: str = "auto"
) -> PasteResult:
    """Paste `edited` [1, 3, R, R] into the photo [H, W, 3] at `quad` under a feathered elliptical mask.

    `full` blends the rendered face itself; `delta` adds the difference to `inverted` [1, 3, R, R], the unedited render,
    and so keeps the photo's own detail. Pixels outside the mask stay bit-identical."""
    mode = choose_mode(mode, quad, edited.shape[-1])
    mask = np.zeros(rgb.shape[:2], np.float32)
    result = rgb.copy()
    left, top, right, bottom = _bounds(quad, rgb.shape[0], rgb.shape[1])
    if mode == "none" or left >= right or top >= bottom:
        return PasteResult(result, mask, mode, 0, 0)
    region = (slice(top, bottom), slice(left, right))
    position = _face_positions(quad, left, top, right, bottom)  # [h, w, 2] in units of the face
    weight = ellipse_mask(position)
    photo = to_tensor(rgb[region])
    change = edited - inverted if mode == "delta" else edited
    layer = _resample(change, position, quad_side(quad))
    blended = photo + weight * (layer if mode == "delta" else layer - photo)
    touched = (weight > 0).numpy()
    result[region][touched] = to_uint8(blended)[0][touched]
    mask[region] = weight.numpy()
    changed = int((result[region] != rgb[region]).any(axis=-1).sum())
    return PasteResult(result, mask, mode, changed, int(touched.sum()))


def ellipse_mask(position: Tensor) -> Tensor:
    """Return the mask [h, w] in 0..1 at `position` [h, w, 2] in units of the face: 1 inside, 0 from the ellipse on."""
    centred = (position - torch.tensor(MASK_CENTRE)) / torch.tensor(MASK_RADII)
    depth = ((1 - centred.square().sum(dim=-1).sqrt()) / MASK_FEATHER).clamp(0, 1)
    return (depth * depth * (3 - 2 * depth)).float()  # smoothstep


def _bounds(quad: NDArray[np.float64], height: int, width: int) -> tuple[int, int, int, int]:
    low, high = np.floor(quad.min(axis=0)), np.ceil(quad.max(axis=0))
    left, top = (int(x) for x in np.clip(low, 0, [width, height]))
    right, bottom = (int(x) for x in np.clip(high, 0, [width, height]))
    return left, top, right, bottom


def _face_positions(quad: NDArray[np.float64], left: int, top: int, right: int, bottom: int) -> Tensor:
    """Return where the centres of a block of photo pixels lie in the face, [h, w, 2] in 0..1."""
    axes = np.stack([quad[3] - quad[0], quad[1] - quad[0]], axis=1)  # columns: right, down
    inverse = torch.from_numpy(np.linalg.inv(axes))
    x = torch.arange(left, right, dtype=torch.float64) + 0.5 - quad[0, 0]
    y = torch.arange(top, bottom, dtype=torch.float64) + 0.5 - quad[0, 1]
    points = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # [h, w, 2]
    return points @ inverse.T


def _resample(face: Tensor, position: Tensor, side: float) -> Tensor:
    """Sample the face [1, 3, R, R] at `position` [h, w, 2], shrunk with antialiasing first where it is too fine."""
    face = face.detach().float().cpu()
    shrunk = max(1, math.ceil(side))
    if shrunk < face.shape[-1]:
        face = F.interpolate(face, size=(shrunk, shrunk), mode="bicubic", antialias=True, align_corners=False)
    grid = (position * 2 - 1).float()[None]
    return F.grid_sample(face, grid, mode="bicubic", padding_mode="border", align_corners=False)
