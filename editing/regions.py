"""Parts of a face that an edit is confined to: from landmarks, or painted by hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from torch import Tensor
from torch.nn import functional as F

from editing.judging import as_face
from editing.region_names import REGIONS as REGIONS
from editing.region_names import parse_regions
from inversion.faces.align import align_face
from inversion.faces.landmarks import BROWS, JAW, MOUTH, NOSE, find_landmarks
from inversion.faces.measures import LEFT_BROW, LEFT_EYE, RIGHT_BROW, RIGHT_EYE
from inversion.faces.motion import eye_distance_of
from stylegan_core.errors import ConfigError
from stylegan_core.images import Photo, read_photo
from stylegan_core.networks.protocol import Alignment, Generator

Points = NDArray[np.float64]  # [P, 2], in units of the face
Mask = NDArray[np.float32]  # [side, side] or [H, W], 0..1

SIDE = 256  # pixels of a face's mask
FEATHER = 0.15  # of the eye distance, over which a region fades
FOREHEAD = 0.55  # how far above the brows the face goes, in eye distances
# Parts of a face: the polygons' points, and how far the region goes beyond them, in eye distances.
PARTS: dict[str, tuple[tuple[slice, ...], float]] = {
    "eyes": ((LEFT_EYE, RIGHT_EYE), 0.14),
    "brows": ((LEFT_BROW, RIGHT_BROW), 0.10),
    "nose": ((NOSE,), 0.08),
    "mouth": ((MOUTH,), 0.16),
}


def face_region(names: Sequence[str], renders: Sequence[Tensor], alignment: Alignment) -> Mask:
    """Return the mask [SIDE, SIDE] of named regions of a face, as any of `renders` [1, C, R, R] shows it.

    1 within, 0 from `FEATHER` on outside; the places that the parts have before and after an edit both count."""
    mask = np.zeros((SIDE, SIDE), np.float32)
    for image in renders:
        points = find_landmarks(as_face(image), alignment)[0].double().numpy()
        for name in names:
            mask = np.maximum(mask, region_mask(name, points))
    return mask


def region_mask(name: str, points: Points) -> Mask:
    """Return the mask [SIDE, SIDE] of one region for landmarks [68, 2] in units of the face."""
    unit = eye_distance_of(points)
    if name in PARTS:
        outlines, reach = PARTS[name]
        drawn = np.maximum.reduce([_polygon(points[outline]) for outline in outlines])
        return _feathered(drawn, reach * unit, FEATHER * unit)
    face = _polygon(np.concatenate([points[JAW], points[BROWS] + FOREHEAD * unit * _upwards(points)]))
    if name == "face":
        return _feathered(face, 0.0, FEATHER * unit)
    if name == "skin":
        parts = np.maximum.reduce([_feathered(_polygon(points[o]), 0.0, FEATHER * unit) for n in PARTS if n != "nose"
                                   for o in PARTS[n][0]])  # fmt: skip
        return _feathered(face, 0.0, FEATHER * unit) * (1 - parts)
    # Hair: what lies around the face above its chin; where hair ends and background begins no landmark tells.
    above = (np.arange(SIDE) + 0.5) / SIDE < points[JAW, 1].max()
    return (1 - _feathered(face, 0.0, FEATHER * unit)) * above[:, None].astype(np.float32)


def photo_mask(regions: str, quad: NDArray[np.float64], renders: Sequence[Tensor], alignment: Alignment,
               height: int, width: int) -> Mask:  # fmt: skip
    """Return where in a photo [H, W] a face's edit may show: 0 is bit for bit the photo.

    `regions` are names and files (of the photo's size) as `parse_regions` reads them; the face has the corners
    `quad` [4, 2]."""
    parts = parse_regions(regions)
    mask = np.zeros((height, width), np.float32)
    if names := [part for part in parts if part in REGIONS]:
        mask = onto_photo(face_region(names, renders, alignment), quad, height, width)
    for part in (part for part in parts if part not in REGIONS):
        mask = np.maximum(mask, read_mask(part, height, width))
    return mask


def aligned_mask(regions: str, renders: Sequence[Tensor], generator: Generator, quad: NDArray[np.float64] | None,
                 photo: Photo | None) -> Tensor:  # fmt: skip
    """Return where in a face's render an edit may show, [1, 1, R, R] in 0..1."""
    parts, side = parse_regions(regions), renders[0].shape[-1]
    files = [part for part in parts if part not in REGIONS]
    mask = torch.zeros(1, 1, side, side)
    if names := [part for part in parts if part in REGIONS]:
        found = torch.from_numpy(face_region(names, renders, generator.meta.alignment))[None, None]
        mask = F.interpolate(found, size=(side, side), mode="bilinear", antialias=True, align_corners=False)
    if files and (photo is None or quad is None):
        raise ConfigError(
            f"--region {files[0]}: a mask's file needs the photo, which is not known; name it with --photo"
        )
    for part in files:
        assert photo is not None and quad is not None
        painted = read_mask(part, *photo.rgb.shape[:2])
        cut = align_face(np.repeat((painted[..., None] * 255).astype(np.uint8), 3, axis=-1), quad, side)
        mask = torch.maximum(mask, cut[:, :1].add(1).div(2).clamp(0, 1).cpu())
    return mask


def mask_files(regions: str) -> list[Path]:
    """Return the files among regions."""
    return [Path(part) for part in parse_regions(regions) if part not in REGIONS]


def onto_photo(mask: Mask, quad: NDArray[np.float64], height: int, width: int) -> Mask:
    """Lay a face's mask [S, S] onto a photo [H, W] at the corners `quad` [4, 2]; 0 outside them."""
    axes = np.stack([quad[3] - quad[0], quad[1] - quad[0]], axis=1)  # columns: right, down
    rows, columns = np.mgrid[:height, :width] + 0.5
    place = (np.stack([columns, rows], axis=-1) - quad[0]) @ np.linalg.inv(axes).T  # [H, W, 2] in 0..1 of the face
    grid = torch.from_numpy(place * 2 - 1).float()[None]
    laid = F.grid_sample(torch.from_numpy(mask)[None, None], grid, padding_mode="zeros", align_corners=False)
    return laid[0, 0].numpy()


def read_mask(path: str, height: int, width: int, option: str = "--region") -> Mask:
    """Read a painted mask: white is where edits show; raises `ConfigError` for one of another size."""
    rgb = read_photo(path).rgb
    if rgb.shape[:2] != (height, width):
        raise ConfigError(
            f"{option} {path} is {rgb.shape[1]}x{rgb.shape[0]} pixels, the photo {width}x{height}; "
            "a mask of the photo's size is needed"
        )
    return (rgb.astype(np.float32).mean(axis=-1) / 255).astype(np.float32)


def confine(photo: NDArray[np.uint8], edited: NDArray[np.uint8], mask: Mask) -> NDArray[np.uint8]:
    """Return `edited` [H, W, 3] within the mask [H, W] and `photo` outside, mixed where the mask fades."""
    mixed = photo + mask[..., None] * (edited.astype(np.float32) - photo)
    return np.where(mask[..., None] > 0, mixed.round().clip(0, 255).astype(np.uint8), photo)


def _upwards(points: Points) -> Points:
    across = points[RIGHT_EYE].mean(axis=0) - points[LEFT_EYE].mean(axis=0)
    return np.array([across[1], -across[0]]) / np.linalg.norm(across)


def _polygon(points: Points) -> NDArray[np.bool_]:
    """Draw the convex hull of points."""
    from scipy.spatial import ConvexHull  # which starts slowly

    hull = points[ConvexHull(points).vertices]
    canvas = Image.new("1", (SIDE, SIDE))
    ImageDraw.Draw(canvas).polygon([tuple(point) for point in (hull * SIDE).tolist()], fill=1)
    return np.asarray(canvas)


def _feathered(drawn: NDArray[np.bool_], reach: float, feather: float) -> Mask:
    """Return 1 up to `reach` from what is drawn, 0 from `feather` farther on, in units of the face."""
    from scipy.ndimage import distance_transform_edt  # which starts slowly

    distance = distance_transform_edt(~drawn) / SIDE
    return np.clip(1 - (distance - reach) / feather, 0, 1).astype(np.float32)
