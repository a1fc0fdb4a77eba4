"""Put an edited face back into its photo."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from inversion.faces.align import quad_side
from inversion.faces.flow import FLOW_SIDE, motion_between, move_pixels, resize
from stylegan_core.errors import ConfigError
from stylegan_core.images import to_tensor, to_uint8

MODES = ("auto", "full", "delta", "warp", "none")
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
    """Resolve `auto`: `warp` where the face in the photo is larger than the generator's image, else `full`."""
    if mode not in MODES:
        raise ConfigError(f"--paste '{mode}' is unknown; expected one of {', '.join(MODES)}")
    if mode != "auto":
        return mode
    return "warp" if quad_side(quad) > img_resolution else "full"


def paste_face(
    rgb: NDArray[np.uint8], quad: NDArray[np.float64], edited: Tensor, inverted: Tensor, mode: str = "auto"
) -> PasteResult:
    """Paste `edited` [1, 3, R, R] into the photo [H, W, 3] at `quad` under a feathered elliptical mask.

    `inverted` [1, 3, R, R] is the unedited render. `full` blends the rendered face itself. `delta` adds the difference
    of the renders and so keeps the photo's own detail. `warp` moves the photo's pixels by the motion between the
    renders first, and adds the difference that motion does not explain. Pixels outside the mask stay bit-identical,
    and so does the whole photo under `delta` and `warp` where the renders are equal."""
    mode = choose_mode(mode, quad, edited.shape[-1])
    edited, inverted = edited.detach().float().cpu(), inverted.detach().float().cpu()
    mask, result = np.zeros(rgb.shape[:2], np.float32), rgb.copy()
    left, top, right, bottom = _bounds(quad, rgb.shape[0], rgb.shape[1])
    unchanged = mode in ("delta", "warp") and torch.equal(edited, inverted)
    if mode == "none" or left >= right or top >= bottom or unchanged:
        return PasteResult(result, mask, mode, 0, 0)
    region = (slice(top, bottom), slice(left, right))
    position = _face_positions(quad, left, top, right, bottom)  # [h, w, 2] in units of the face
    weight = ellipse_mask(position)
    blended = BLENDS[mode](rgb[region], position, weight, edited, inverted, quad)
    touched = (weight > 0).numpy()
    result[region][touched] = to_uint8(blended)[0][touched]
    mask[region] = weight.numpy()
    changed = int((result[region] != rgb[region]).any(axis=-1).sum())
    return PasteResult(result, mask, mode, changed, int(touched.sum()))


def _blend_full(
    photo: NDArray[np.uint8], position: Tensor, weight: Tensor, edited: Tensor, _: Tensor, quad: NDArray[np.float64]
) -> Tensor:
    under = to_tensor(photo)
    return under + weight * (_resample(edited, position, quad_side(quad)) - under)


def _blend_delta(
    photo: NDArray[np.uint8], position: Tensor, weight: Tensor, edited: Tensor, inverted: Tensor,
    quad: NDArray[np.float64],
) -> Tensor:  # fmt: skip
    return to_tensor(photo) + weight * _resample(edited - inverted, position, quad_side(quad))


def _blend_warp(
    photo: NDArray[np.uint8], position: Tensor, weight: Tensor, edited: Tensor, inverted: Tensor,
    quad: NDArray[np.float64],
) -> Tensor:  # fmt: skip
    flow = motion_between(inverted, edited)
    unexplained = resize(edited) - move_pixels(resize(inverted), flow)
    offset = _resample(flow[None], position, FLOW_SIDE)[0].permute(1, 2, 0) * weight[..., None]  # [h, w, 2]
    axes = torch.from_numpy(np.stack([quad[3] - quad[0], quad[1] - quad[0]])).float()  # rows: right, down
    height, width = photo.shape[:2]
    centres = torch.stack(torch.meshgrid(torch.arange(width) + 0.5, torch.arange(height) + 0.5, indexing="xy"), dim=-1)
    source = (centres + offset @ axes) / torch.tensor([width, height]) * 2 - 1
    moved = F.grid_sample(to_tensor(photo), source[None], mode="bicubic", padding_mode="border", align_corners=False)
    return moved + weight * _resample(unexplained, position, quad_side(quad))


BLENDS = {"full": _blend_full, "delta": _blend_delta, "warp": _blend_warp}


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
    shrunk = max(1, math.ceil(side))
    if shrunk < face.shape[-1]:
        face = F.interpolate(face, size=(shrunk, shrunk), mode="bicubic", antialias=True, align_corners=False)
    grid = (position * 2 - 1).float()[None]
    return F.grid_sample(face, grid, mode="bicubic", padding_mode="border", align_corners=False)
