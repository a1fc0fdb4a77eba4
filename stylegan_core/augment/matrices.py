"""Random geometric and colour transforms as matrices (ADA, appendix B.2 and B.3), identity where they are not drawn."""

from collections.abc import Callable
from dataclasses import dataclass
from math import log, pi

import torch
from torch import Tensor


@dataclass(frozen=True)
class Draw:
    """Random numbers of one batch: every transform is used on a sample with probability p, by itself.

    Where a batch is split over processes, each draws for the whole and takes its own, so that splitting changes
    nothing: samples at index, index + stride, ... ."""

    num: int  # samples in this part of the batch
    p: float  # probability of each transform
    rng: torch.Generator
    index: int = 0  # of this part
    stride: int = 1  # number of parts

    def active(self, p: float | None = None) -> Tensor:
        """Choose samples, bool [num]."""
        return self.uniform(0, 1) < (self.p if p is None else p)

    def uniform(self, low: float, high: float) -> Tensor:
        """Draw [num] from U(low, high)."""
        return self._own(torch.rand(self.num * self.stride, generator=self.rng)) * (high - low) + low

    def normal(self, std: float) -> Tensor:
        """Draw [num] from N(0, std^2)."""
        return self._own(torch.randn(self.num * self.stride, generator=self.rng)) * std

    def lognormal(self, octaves: float) -> Tensor:
        """Draw factors [num] whose base-2 logarithm has the standard deviation `octaves`."""
        return torch.exp(self.normal(octaves * log(2)))

    def pixels(self, shape: torch.Size) -> Tensor:
        """Draw [num, C, H, W] from N(0, 1)."""
        return self._own(torch.randn(self.num * self.stride, *shape[1:], generator=self.rng))

    def _own(self, whole: Tensor) -> Tensor:
        return whole[self.index :: self.stride]


def _gated(active: Tensor, matrix: Tensor, before: Tensor) -> Tensor:
    """Apply matrix [n, k, k] after `before` on the active samples."""
    return torch.where(active[:, None, None], matrix @ before, before)


def _matrix(rows: list[list[Tensor | float]], num: int) -> Tensor:
    return torch.stack([torch.stack([torch.as_tensor(v).float().expand(num) for v in row], 1) for row in rows], 1)


def scaling(x: Tensor, y: Tensor) -> Tensor:
    """Scale by factors x, y [n]; [n, 3, 3]."""
    return _matrix([[x, 0.0, 0.0], [0.0, y, 0.0], [0.0, 0.0, 1.0]], len(x))


def rotation(angle: Tensor) -> Tensor:
    """Rotate by angle [n] in radians; [n, 3, 3]."""
    c, s = angle.cos(), angle.sin()
    return _matrix([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]], len(angle))


def translation(x: Tensor, y: Tensor) -> Tensor:
    """Move by x, y [n]; [n, 3, 3]."""
    return _matrix([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]], len(x))


def geometric_matrices(draw: Draw, size: int) -> Tensor:
    """Draw scaling, rotation, anisotropic scaling, rotation, translation: [n, 3, 3] on centred pixel coordinates."""
    matrix = torch.eye(3).repeat(draw.num, 1, 1)
    # Two rotations of which at least one is drawn with probability p.
    p_rotation = 1 - (1 - draw.p) ** 0.5
    factor = draw.lognormal(0.2)
    matrix = _gated(draw.active(), scaling(factor, factor), matrix)
    matrix = _gated(draw.active(p_rotation), rotation(draw.uniform(-pi, pi)), matrix)
    factor = draw.lognormal(0.2)
    matrix = _gated(draw.active(), scaling(factor, 1 / factor), matrix)
    matrix = _gated(draw.active(p_rotation), rotation(draw.uniform(-pi, pi)), matrix)
    x, y = draw.normal(0.125) * size, draw.normal(0.125) * size
    return _gated(draw.active(), translation(x, y), matrix)


def _about_luma(of_axis: Callable[[Tensor], Tensor]) -> Tensor:
    """Build [n, 4, 4] from a function of the projector [3, 3] on the grey axis."""
    linear = of_axis(torch.full((3, 3), 1 / 3))  # [n, 3, 3]
    matrix = torch.eye(4).repeat(len(linear), 1, 1)
    matrix[:, :3, :3] = linear
    return matrix


def hue_rotation(angle: Tensor) -> Tensor:
    """Rotate colours by angle [n] about the grey axis (Rodrigues' formula); [n, 4, 4]."""
    cross = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / 3**0.5
    c, s = angle.cos()[:, None, None], angle.sin()[:, None, None]
    return _about_luma(lambda luma: c * torch.eye(3) + s * cross + (1 - c) * luma)


def saturation(factor: Tensor) -> Tensor:
    """Scale the distance from the grey axis by factor [n]; [n, 4, 4]."""
    return _about_luma(lambda luma: luma + (torch.eye(3) - luma) * factor[:, None, None])


def luma_flip(num: int) -> Tensor:
    """Mirror luminance, keep hue and saturation; [num, 4, 4]."""
    return _about_luma(lambda luma: (torch.eye(3) - 2 * luma).expand(num, 3, 3))


def colour_matrices(draw: Draw) -> Tensor:
    """Draw brightness, contrast, luma flip, hue and saturation: [n, 4, 4] on (r, g, b, 1) in [-1, 1]."""
    matrix = torch.eye(4).repeat(draw.num, 1, 1)
    brightness = torch.eye(4).repeat(draw.num, 1, 1)
    brightness[:, :3, 3] = draw.normal(0.2)[:, None]
    matrix = _gated(draw.active(), brightness, matrix)
    contrast = torch.eye(4).repeat(draw.num, 1, 1)
    contrast[:, :3, :3] *= draw.lognormal(0.5)[:, None, None]
    matrix = _gated(draw.active(), contrast, matrix)
    # A flip is drawn with probability p and then done half of the time.
    matrix = _gated(draw.active(draw.p / 2), luma_flip(draw.num), matrix)
    matrix = _gated(draw.active(), hue_rotation(draw.uniform(-pi, pi)), matrix)
    return _gated(draw.active(), saturation(draw.lognormal(1.0)), matrix)
