"""Colours as people see them apart."""

import torch
from torch import Tensor

XYZ_OF_RGB = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
D65 = (0.95047, 1.0, 1.08883)  # the white point's XYZ


def lab(part: Tensor) -> Tensor:
    """Return the CIE Lab colours [h * w, 3] (D65) of a picture [3, h, w] of sRGB in [-1, 1], in 64 bit.

    scikit-image's own conversion imports SciPy."""
    rgb = part.double().flatten(1).T.add(1).div(2).clamp(0, 1)
    linear = torch.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = linear @ rgb.new_tensor(XYZ_OF_RGB).T / rgb.new_tensor(D65)
    x, y, z = torch.where(xyz > 0.008856, xyz ** (1 / 3), 7.787 * xyz + 16 / 116).unbind(dim=1)
    return torch.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], dim=1)
