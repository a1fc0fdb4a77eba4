"""Cut faces out of photos the way the generator's training faces were cut."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from stylegan_core.images import to_tensor
from stylegan_core.networks.protocol import Alignment

MAX_SUPERSAMPLED = 4096  # samples a side at most while a large face is shrunk


def face_quad(landmarks: NDArray[np.float64], alignment: Alignment) -> NDArray[np.float64]:
    """Return the corners [4, 2] of the aligned crop in the photo: top left, bottom left, bottom right, top right.

    The oriented square of FFHQ (Karras et al. 2019, appendix A) from five landmarks [5, 2], scaled and shifted by
    `alignment`."""
    left_eye, right_eye, _, left_mouth, right_mouth = landmarks
    eye_to_eye = right_eye - left_eye
    eyes, mouth = (left_eye + right_eye) / 2, (left_mouth + right_mouth) / 2
    eye_to_mouth = mouth - eyes
    x = eye_to_eye - np.array([-eye_to_mouth[1], eye_to_mouth[0]])
    x /= max(float(np.hypot(*x)), 1e-8)
    x *= max(float(np.hypot(*eye_to_eye)) * 2.0, float(np.hypot(*eye_to_mouth)) * 1.8) * alignment.crop_scale
    y = np.array([-x[1], x[0]])
    centre = eyes + eye_to_mouth * (0.1 + alignment.crop_shift)
    return np.stack([centre - x - y, centre - x + y, centre + x + y, centre + x - y])


def whole_image_quad(height: int, width: int) -> NDArray[np.float64]:
    """Return the quad of the largest centred square, for pictures that are aligned already."""
    side = min(height, width)
    left, top = (width - side) / 2, (height - side) / 2
    right, bottom = left + side, top + side
    return np.array([[left, top], [left, bottom], [right, bottom], [right, top]], np.float64)


def quad_side(quad: NDArray[np.float64]) -> float:
    """Return the side of the quad in photo pixels."""
    return float(np.hypot(*(quad[3] - quad[0])))


def align_face(rgb: NDArray[np.uint8], quad: NDArray[np.float64], size: int) -> Tensor:
    """Resample the quad of a photo [H, W, 3] as an upright face [1, 3, size, size] in [-1, 1].

    Parts of the quad outside the photo are filled by reflection. Where the face shrinks, several samples a pixel are
    averaged, so that nothing aliases; where it does not, sampling is bicubic."""
    samples = min(max(1, math.ceil(quad_side(quad) / size)), max(1, MAX_SUPERSAMPLED // size))
    crop, origin = _crop_around(rgb, quad)
    photo = to_tensor(crop)
    points = _sample_points(quad - origin, size * samples)  # [size k, size k, 2]
    grid = points / torch.tensor([crop.shape[1], crop.shape[0]]) * 2 - 1
    mode = "bicubic" if samples == 1 else "bilinear"
    face = F.grid_sample(photo, grid[None].float(), mode=mode, padding_mode="reflection", align_corners=False)
    return F.avg_pool2d(face, samples).clamp(-1, 1)


def _crop_around(rgb: NDArray[np.uint8], quad: NDArray[np.float64]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Cut the part of the photo that the quad can touch, its reflections included."""
    height, width = rgb.shape[:2]
    low, high = quad.min(axis=0), quad.max(axis=0)
    beyond = np.maximum(0, np.maximum(-low, high - [width, height]))  # reflected back in by as much
    left, top = np.clip(np.floor(low - beyond - 3), 0, [max(width - 1, 0), max(height - 1, 0)]).astype(int)
    right, bottom = np.clip(np.ceil(high + beyond + 3), 1, [width, height]).astype(int)
    right, bottom = max(right, left + 1), max(bottom, top + 1)
    return rgb[top:bottom, left:right], np.array([left, top], np.float64)


def _sample_points(quad: NDArray[np.float64], size: int) -> Tensor:
    """Return the photo positions [size, size, 2] of the face's pixel centres."""
    corner, right, down = quad[0], quad[3] - quad[0], quad[1] - quad[0]
    steps = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    u, v = steps[None, :, None], steps[:, None, None]
    return torch.tensor(corner) + u * torch.tensor(right) + v * torch.tensor(down)
