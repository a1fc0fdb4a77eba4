"""Put an edited face back into its photo."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from inversion.config import PASTE_MODES
from inversion.faces.align import align_face, quad_side
from inversion.faces.creases import crease_light
from inversion.faces.detect import detect_faces
from inversion.faces.flow import FLOW_SIDE, box_filter, motion_between, move_pixels, resize
from inversion.faces.landmarks import find_landmarks
from inversion.faces.lips import SHADE, Lips, lift_corners, moving_lips
from inversion.faces.motion import GRID, Points, dense_motion, expression_motion, stretch, with_closed_lips
from inversion.faces.pins import Pins, taken_along
from inversion.faces.restore import Restorer, restore
from inversion.faces.teeth import paint_teeth, tooth_white
from stylegan_core.errors import ConfigError
from stylegan_core.images import to_tensor, to_uint8
from stylegan_core.networks.protocol import Alignment

MASK_CENTRE = (0.5, 0.5)  # of the soft ellipse, in units of the aligned face
MASK_RADII = (0.47, 0.49)
MASK_FEATHER = 0.35  # share of the radius over which the mask falls to zero
FOREIGN = 0.15  # change, in [-1, 1] and not by motion, of a place to which the photo's detail no longer belongs
PLACE = 7  # side in pixels, of `FLOW_SIDE`, of the square over which the change is averaged
CELLS = 12  # across a face: light and colour coarser than these stay the photo's
LANDMARK_SIDE = 256  # pixels of the photo's face in which its landmarks are sought
DETECTION_SIDE = 160  # pixels of the photo's face in which a detector must see one
PULLED_APART = 0.3  # stretch at which the photo's pixels are all restored
LIGHT, COLOUR = 0.3, 0.08  # change of light and of colour, in [-1, 1], that an edit brings at most beside its motion
LIGHT_SMOOTHING, COLOUR_SMOOTHING = 3, 9  # pixels, of `FLOW_SIDE`, over which they are averaged


@dataclass(frozen=True)
class PasteResult:
    """A whole photo with an edited face."""

    rgb: NDArray[np.uint8]  # [H, W, 3]
    mask: NDArray[np.float32]  # [H, W]: 0 where the photo was not touched
    mode: str
    pixels_changed: int
    pixels_in_mask: int
    seam_ratio: float = 1.0  # gradient along the mask's edge against the photo's own there; 1 is no seam
    colour_shift: tuple[float, ...] = ()  # what `full` adds to the render's R, G, B (of -1..1) to match the photo


@dataclass(frozen=True)
class FaceEdit:
    """A face to paste: its corners in the photo, and the renders with and without the edit.

    `near` are the two renders (with, without) of a code near W, whose edits mean most: `motion` looks at those."""

    quad: NDArray[np.float64]  # [4, 2]
    edited: Tensor  # [1, 3, R, R] in [-1, 1]
    inverted: Tensor  # [1, 3, R, R] in [-1, 1]
    near: tuple[Tensor, Tensor] | None = None  # as the two above; None: those
    alignment: Alignment = Alignment()  # of the renders
    appearance: float = 1.0  # how much of its light and colour the edit brings beside its motion, in `motion`
    restorer: Restorer | None = None  # brings detail back where `motion` pulls pixels apart
    teeth: Restorer | None = None  # paints what parting lips show, of its sketch
    pins: Pins | None = None  # places that `motion` takes farther than the landmarks go
    turns: bool = False  # whether the head is to turn in `motion`; else that is taken out


def choose_mode(mode: str, rgb: NDArray[np.uint8], quad: NDArray[np.float64], img_resolution: int) -> str:
    """Resolve `auto` for the face at `quad` of a photo [H, W, 3].

    `motion` where a detector sees a face there; else (cats, drawings) `warp` where it is larger than the generator's
    image, and `full` where it is not."""
    if mode not in PASTE_MODES:
        raise ConfigError(f"--paste '{mode}' is unknown; expected one of {', '.join(PASTE_MODES)}")
    if mode != "auto":
        return mode
    if shows_face(rgb, quad):
        return "motion"
    return "warp" if quad_side(quad) > img_resolution else "full"


def shows_face(rgb: NDArray[np.uint8], quad: NDArray[np.float64]) -> bool:
    """Tell whether a detector sees a face at `quad` of a photo [H, W, 3]."""
    return bool(detect_faces(to_uint8(align_face(*_shrunken(rgb, quad), DETECTION_SIDE))[0]))


def _shrunken(rgb: NDArray[np.uint8], quad: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return the part of a photo around a face, shrunk where it is far finer than what looks at it needs."""
    times = int(quad_side(quad) // LANDMARK_SIDE)
    if times < 2:
        return rgb, quad
    height, width = rgb.shape[:2]
    margin = quad_side(quad) / 8
    left, top = (int(value) for value in np.clip(np.floor(quad.min(axis=0) - margin), 0, [width, height]))
    right, bottom = (int(value) for value in np.clip(np.ceil(quad.max(axis=0) + margin), 0, [width, height]))
    if left >= right or top >= bottom:
        return rgb, quad
    small = Image.fromarray(rgb[top:bottom, left:right]).reduce(times)
    return np.asarray(small), (quad - [left, top]) / times


def paste_face(
    rgb: NDArray[np.uint8], quad: NDArray[np.float64], edited: Tensor, inverted: Tensor, mode: str = "auto"
) -> PasteResult:
    """Paste `edited` [1, 3, R, R] into the photo [H, W, 3] at `quad` under a feathered elliptical mask.

    `inverted` [1, 3, R, R] is the unedited render. `full` blends the rendered face itself. `delta` adds the difference
    of the renders and so keeps the photo's own detail. `warp` moves the photo's pixels by the motion between the
    renders first, and adds the difference that motion does not explain; where that is large, as where lips close over
    teeth, the fine detail is the render's. Pixels outside the mask stay bit-identical, and so does the whole photo
    under `delta` and `warp` where the renders are equal."""
    rgb, results = paste_faces(rgb, [FaceEdit(quad, edited, inverted)], mode)
    return results[0]


def paste_faces(
    rgb: NDArray[np.uint8], faces: Sequence[FaceEdit], mode: str = "auto"
) -> tuple[NDArray[np.uint8], list[PasteResult]]:
    """Paste several faces into one photo [H, W, 3]; return it and a result for each face, in order.

    Every face is blended with the photo as it was. Where masks overlap, the pixel is the mean of what the faces make
    of it, weighted by their masks, so that the order does not matter beyond rounding. The results share one `rgb`."""
    result = rgb.copy()
    total = np.zeros(rgb.shape[:2], np.float32)  # masks laid so far
    modes = [choose_mode(mode, rgb, face.quad, face.edited.shape[-1]) for face in faces]
    parts = [_blend(rgb, face, chosen) for face, chosen in zip(faces, modes, strict=True)]
    for part in parts:
        if part is not None:
            _lay(result, total, part)
    return result, [_result(rgb, result, part, chosen) for part, chosen in zip(parts, modes, strict=True)]


@dataclass(frozen=True)
class _Part:
    """One face blended with the part of the photo that it can touch."""

    region: tuple[slice, slice]
    weight: NDArray[np.float32]  # [h, w]
    blended: NDArray[np.uint8]  # [h, w, 3]
    colour_shift: tuple[float, ...]


def _blend(rgb: NDArray[np.uint8], face: FaceEdit, mode: str) -> _Part | None:
    """Blend a face with the photo; None where nothing is to be done."""
    edited, inverted = _at_hand(face.edited), _at_hand(face.inverted)
    left, top, right, bottom = _bounds(face.quad, rgb.shape[0], rgb.shape[1])
    unchanged = mode in ("delta", "warp", "motion") and torch.equal(edited, inverted)
    if mode == "none" or left >= right or top >= bottom or unchanged:
        return None
    region = (slice(top, bottom), slice(left, right))
    position = _face_positions(face.quad, left, top, right, bottom)  # [h, w, 2] in units of the face
    weight = ellipse_mask(position)
    shift: tuple[float, ...] = ()
    if mode == "motion":
        blended = _blend_motion(rgb, region, position, weight, face)
        return _Part(region, weight.numpy(), to_uint8(blended)[0], shift)
    if mode == "full":
        shift = colour_shift(rgb[region], position, weight, inverted, face.quad)
        edited = (edited + torch.tensor(shift)[:, None, None]).clamp(-1, 1)
    blended = BLENDS[mode](rgb[region], position, weight, edited, inverted, face.quad)
    return _Part(region, weight.numpy(), to_uint8(blended)[0], shift)


def _at_hand(render: Tensor) -> Tensor:
    return render.detach().float().cpu()


def _lay(result: NDArray[np.uint8], total: NDArray[np.float32], part: _Part) -> None:
    """Lay a part into the result: as it is where it comes first, as a running weighted mean where it does not."""
    under, before = result[part.region], total[part.region]
    touched = part.weight > 0
    overlap = touched & (before > 0)
    share = (part.weight / np.maximum(before + part.weight, 1e-12))[..., None]
    mixed = under + share * (part.blended.astype(np.float32) - under)
    under[touched] = part.blended[touched]
    under[overlap] = mixed[overlap].round().clip(0, 255).astype(np.uint8)
    before += part.weight


def _result(rgb: NDArray[np.uint8], result: NDArray[np.uint8], part: _Part | None, mode: str) -> PasteResult:
    mask = np.zeros(rgb.shape[:2], np.float32)
    if part is None:
        return PasteResult(result, mask, mode, 0, 0)
    mask[part.region] = part.weight
    touched = part.weight > 0
    changed = int((changed_pixels(rgb[part.region], result[part.region]) & touched).sum())
    ratio = seam_ratio(rgb[part.region], result[part.region], part.weight)
    return PasteResult(result, mask, mode, changed, int(touched.sum()), ratio, part.colour_shift)


def changed_pixels(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where two pictures [h, w, 3] differ, [h, w]."""
    differs = before != after
    changed: NDArray[np.bool_] = differs[..., 0] | differs[..., 1] | differs[..., 2]
    return changed


def seam_ratio(before: NDArray[np.uint8], after: NDArray[np.uint8], weight: NDArray[np.float32]) -> float:
    """Return the mean gradient where the mask fades, 0 < weight [h, w] < 1, of `after` [h, w, 3] against `before`."""
    seam = (weight[:-1, :-1] > 0) & (weight[:-1, :-1] < 1)
    if not seam.any():
        return 1.0
    steps = [_gradient(image)[seam].mean() for image in (before, after)]
    return float((steps[1] + 1e-3) / (steps[0] + 1e-3))  # a flat photo divides by no zero


def _gradient(image: NDArray[np.uint8]) -> NDArray[np.float32]:
    values = image.astype(np.float32) @ np.full(3, 1 / 3, np.float32)
    across, down = np.diff(values, axis=1)[:-1], np.diff(values, axis=0)[:, :-1]
    return np.hypot(across, down).astype(np.float32)


def colour_shift(
    photo: NDArray[np.uint8], position: Tensor, weight: Tensor, inverted: Tensor, quad: NDArray[np.float64]
) -> tuple[float, ...]:
    """Return how much brighter the photo [h, w, 3] is than the unedited render where the mask fades, a channel each."""
    ring = (weight > 0) & (weight < 1)
    if not bool(ring.any()):
        return (0.0, 0.0, 0.0)
    gap = to_tensor(photo) - _resample(inverted, position, quad_side(quad))
    return tuple(float(value) for value in gap[0, :, ring].mean(dim=1))


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
    moved = _moved(photo, position, weight, flow, quad)
    side = quad_side(quad)
    moved = moved + weight * _resample(unexplained, position, side)
    foreign = weight * _resample(_foreign(unexplained), position, side).clamp(0, 1)
    return moved - foreign * _fine(moved - _resample(edited, position, side), side)


def _moved(
    photo: NDArray[np.uint8], position: Tensor, weight: Tensor, offsets: Tensor, quad: NDArray[np.float64]
) -> Tensor:
    """Return a block of the photo [1, 3, h, w] with its pixels moved by offsets [2, r, r], in units of the face."""
    offset = _resample(offsets[None], position, offsets.shape[-1])[0].permute(1, 2, 0) * weight[..., None]  # [h, w, 2]
    axes = torch.from_numpy(np.stack([quad[3] - quad[0], quad[1] - quad[0]])).float()  # rows: right, down
    height, width = photo.shape[:2]
    centres = torch.stack(torch.meshgrid(torch.arange(width) + 0.5, torch.arange(height) + 0.5, indexing="xy"), dim=-1)
    source = (centres + offset @ axes) / torch.tensor([width, height]) * 2 - 1
    return F.grid_sample(to_tensor(photo), source[None], mode="bicubic", padding_mode="border", align_corners=False)


def _blend_motion(
    rgb: NDArray[np.uint8], region: tuple[slice, slice], position: Tensor, weight: Tensor, face: FaceEdit
) -> Tensor:
    """Move the photo's pixels as the landmarks of the renders move, and add what light and colour the edit brings.

    Of an expression, which brings none, that is the light of its folds."""
    looked = look(rgb, face)
    edited, inverted, before, after = looked.edited, looked.inverted, looked.before, looked.after
    small, own, motion = looked.small, looked.own, looked.motion
    lips = moving_lips(small, own, before, after, motion, face.pins) if face.appearance < 1 else None
    if lips is None:
        offsets = dense_motion(*(face.pins.among(own, motion) if face.pins else (own, motion)))
        moved = _moved(rgb[region], position, weight, offsets, face.quad)
        apart = _resample(stretch(offsets), position, GRID)
    else:
        moved, apart, between = _with_lips(rgb[region], position, weight, lips, face.quad)
        if lips.parted:
            quad = face.quad - [region[1].start, region[0].start]
            white = tooth_white(small, own)
            moved = paint_teeth(face.teeth, moved, between, position, quad, lips, own + motion, white)
    if face.restorer is not None:
        apart = (apart / PULLED_APART).clamp(0, 1) * weight
        moved = restore(face.restorer, moved, apart, quad_side(face.quad))
    offsets = F.interpolate(dense_motion(before, after - before)[None], size=(FLOW_SIDE, FLOW_SIDE), mode="bilinear")[0]
    unexplained = resize(edited) - move_pixels(resize(inverted), offsets)
    change = face.appearance * bounded_change(unexplained) + (1 - face.appearance) * crease_light(unexplained, after)
    return moved + weight * _resample(change, position, FLOW_SIDE)


@dataclass(frozen=True)
class Looked:
    """What `motion` sees of an edit: two renders, their landmarks, and how those of the photo move with them."""

    edited: Tensor  # [1, 3, R, R]
    inverted: Tensor
    before: Points  # [68, 2], of `inverted`
    after: Points
    small: Tensor  # the photo's face
    own: Points  # its landmarks
    motion: Points  # [68, 2]


def look(rgb: NDArray[np.uint8], face: FaceEdit) -> Looked:
    """Look at the renders of a face, and at the photo [H, W, 3] that it goes back into."""
    edited, inverted = (_at_hand(render) for render in face.near or (face.edited, face.inverted))
    before, after = find_landmarks(torch.cat([inverted, edited]), face.alignment).double().numpy()
    small = align_face(*_shrunken(rgb, face.quad), LANDMARK_SIDE)
    own = find_landmarks(small, face.alignment)[0].double().numpy()
    motion = with_closed_lips(own, expression_motion(before, after, face.turns))
    return Looked(edited, inverted, before, after, small, own, motion)


def moved_by_paste(rgb: NDArray[np.uint8], face: FaceEdit, places: Points) -> Points:
    """Return how far `motion` takes places [P, 2] of a face, in its units, without pins and before the mask fades."""
    looked = look(rgb, face)
    return taken_along(looked.own, looked.motion, places)


def _with_lips(
    photo: NDArray[np.uint8], position: Tensor, weight: Tensor, lips: Lips, quad: NDArray[np.float64]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return a block of the photo [1, 3, h, w] with its lips moved over the mouth, how far that pulls it apart, and
    where the mouth is between them [h, w]."""
    above, below, line = lips.layers(position)
    between = (1 - above - below).clamp_min(0)
    upper, lower = (_moved(photo, position, weight, offsets, quad) for offsets in (lips.upper, lips.lower))
    behind = (upper + lower) / 2 if lips.parted else to_tensor(photo)
    moved = above * upper + below * lower + between * behind - weight * SHADE * line
    moved = lift_corners(moved, position, lips, quad_side(quad)) if lips.closed else moved
    apart = [_resample(stretch(offsets), position, GRID) for offsets in (lips.upper, lips.lower)]
    return moved, above * apart[0] + below * apart[1], between


def bounded_change(change: Tensor) -> Tensor:
    """Return a change [1, 3, R, R] whose light stays below `LIGHT` and whose colour below `COLOUR`, smoothed."""
    light = change.mean(dim=1, keepdim=True)
    colour = box_filter(change - light, COLOUR_SMOOTHING)
    light = box_filter(light, LIGHT_SMOOTHING)
    return LIGHT * (light / LIGHT).tanh() + COLOUR * (colour / COLOUR).tanh()


def _foreign(unexplained: Tensor) -> Tensor:
    """Return in 0..1 how little the photo's detail belongs into the edited face [1, 1, r, r]: teeth, under closed lips.

    `unexplained` [1, 3, r, r] is the change that no motion explains."""
    change = box_filter(unexplained.abs().mean(dim=1, keepdim=True), PLACE)
    return 1 - (-(change / FOREIGN).square()).exp()


def _fine(image: Tensor, side: float) -> Tensor:
    """Return an image [1, 3, h, w] without what is coarser than a cell; a face has `CELLS` across its `side` pixels."""
    height, width = image.shape[2:]
    cells = [max(1, round(CELLS * pixels / side)) for pixels in (height, width)]
    coarse = F.interpolate(image, size=cells, mode="bilinear", antialias=True, align_corners=False)
    return image - F.interpolate(coarse, size=(height, width), mode="bicubic", align_corners=False)


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
