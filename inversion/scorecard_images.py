"""The images of a scorecard: aligned faces as they are, and of photos the largest face of each, cut out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import ImageOps
from torch import Tensor

from inversion.config import ScorecardConfig
from inversion.faces.align import align_face, face_quad, quad_side, whole_image_quad
from inversion.faces.detect import detect_faces
from stylegan_core.console import Console
from stylegan_core.errors import ConfigError, FaceNotFoundError
from stylegan_core.networks.protocol import Alignment, Generator
from stylegan_core.training.dataset import Files, ImageDataset, decode

# Of the side, that a corner of a face's square may lie from the picture's. Detection alone brings it to 0.08 in aligned
# faces; in portraits whose face fills them it was 0.26 and more (80 and 20 pictures).
MISPLACED = 0.15


@dataclass(frozen=True)
class ScoredImages:
    """What a scorecard inverts, and what it compares edits with."""

    targets: Tensor  # [N, C, R, R] in [-1, 1]
    real: Tensor  # [M, C, R, R] in [-1, 1]: images before those
    cut_out: bool  # whether the pictures were photos, of which faces were cut out


def read_images(config: ScorecardConfig, generator: Generator, console: Console) -> ScoredImages:
    """Read the last `config.images` images, and up to `config.real` of those before them.

    Where one of the last ones is not aligned as the generator's faces are, the largest face of each picture is cut out.
    Raises `ConfigError`, `DatasetError`, and `FaceNotFoundError` for a photo without a face."""
    files = Files(config.data)
    if not 1 <= config.images <= len(files.names):
        raise ConfigError(f"--images {config.images}: the data holds {len(files.names)}; ask for 1 to that many")
    first = len(files.names) - config.images
    scored, before = range(first, len(files.names)), range(max(0, first - config.real), first)
    alignment = generator.meta.alignment
    if all(is_aligned(_picture(files, index), alignment) for index in scored):
        data = ImageDataset(config.data, generator.img_resolution)
        targets = [data.batch([index])[0] for index in scored]
        real = [data.batch([index])[0] for index in before]
        return ScoredImages(_for(generator, targets), _for(generator, real), cut_out=False)
    targets, real = [], []
    with console.progress("faces", len(scored) + len(before)) as progress:
        for index in (*scored, *before):
            face = _face(_picture(files, index), generator)
            if face is None and index in scored:
                raise FaceNotFoundError(
                    f"{files.path}/{files.names[index]}: no face found, and other pictures there are photos, not "
                    "aligned faces; take it out, or align them all by `dataset make --crop faces`"
                )
            if face is not None:
                (targets if index in scored else real).append(face)
            progress(len(targets) + len(real), 0.0)
    console.say(f"{config.data}: not aligned, so the largest face of each picture is cut out")
    return ScoredImages(_for(generator, targets), _for(generator, real), cut_out=True)


def is_aligned(rgb: NDArray[np.uint8], alignment: Alignment) -> bool:
    """Tell whether a picture [H, W, 3] is square, with its face where the alignment puts it, or without a face."""
    if rgb.shape[0] != rgb.shape[1]:
        return False
    faces = detect_faces(rgb)
    if not faces:
        return True
    whole = whole_image_quad(*rgb.shape[:2])
    off = np.abs(face_quad(faces[0].landmarks, alignment) - whole).max()
    return bool(off <= MISPLACED * quad_side(whole))


def _picture(files: Files, index: int) -> NDArray[np.uint8]:
    name = files.names[index]
    return np.asarray(ImageOps.exif_transpose(decode(files.read(name), f"{files.path}/{name}", 3)))


def _face(rgb: NDArray[np.uint8], generator: Generator) -> Tensor | None:
    """Cut the largest face [1, 3, R, R] out of a photo; None where there is none."""
    faces = detect_faces(rgb)
    if not faces:
        return None
    return align_face(rgb, face_quad(faces[0].landmarks, generator.meta.alignment), generator.img_resolution)


def _for(generator: Generator, images: Sequence[Tensor]) -> Tensor:
    """Put images [1, 1 or 3, R, R] together [N, img_channels, R, R], on the generator's device."""
    if not images:
        return torch.zeros(0, generator.img_channels, *[generator.img_resolution] * 2, device=generator.w_avg.device)
    together = torch.cat(list(images)).to(generator.w_avg.device)
    if generator.img_channels == 1:
        return together.mean(dim=1, keepdim=True)
    return together.expand(-1, generator.img_channels, -1, -1)
