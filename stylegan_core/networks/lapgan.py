"""A Laplacian pyramid of small generators (LAPGAN, Denton et al. 2015): each adds the detail of one octave."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from stylegan_core.errors import ImageError
from stylegan_core.networks.direct import DirectGenerator
from stylegan_core.networks.small_configs import LAPGANConfig


def laplacian_pyramid(images: Tensor, num_levels: int) -> list[Tensor]:
    """Split images [N, C, R, R] into `num_levels` bands of detail, fine to coarse, and the coarse rest, last.

    `collapse` puts them together again exactly."""
    bands = []
    for _ in range(num_levels):
        coarse = avg_pool2d(images, 2)
        bands.append(images - expand(coarse))
        images = coarse
    return [*bands, images]


def collapse(pyramid: list[Tensor]) -> Tensor:
    """Undo `laplacian_pyramid`."""
    images = pyramid[-1]
    for band in reversed(pyramid[:-1]):
        images = expand(images) + band
    return images


def expand(images: Tensor) -> Tensor:
    """Double the resolution smoothly."""
    return interpolate(images, scale_factor=2, mode="bilinear", align_corners=False)


class BandGenerator(nn.Module):
    """Noise and the expanded coarse image [N, C, R, R] -> the band of detail that belongs to it."""

    def __init__(self, img_channels: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(img_channels + 1, width, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(width, width, 5, padding=2),
            nn.ReLU(),
            nn.Conv2d(width, img_channels, 5, padding=2),
        )

    def forward(self, z: Tensor, coarse: Tensor) -> Tensor:
        """Return the band for z [N, R * R] and `coarse` [N, C, R, R]."""
        plane = z.view(len(z), 1, *coarse.shape[2:])
        band: Tensor = self.layers(torch.cat([coarse, plane], 1))
        return band


class BandDiscriminator(nn.Module):
    """A band and its coarse image -> logits [N, 1]; it sees their sum and the coarse image, as the paper has it."""

    def __init__(self, img_channels: int, resolution: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(2 * img_channels, width, 5, 2, 2),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 5, 2, 2),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(2 * width * (resolution // 4) ** 2, 1),
        )

    def forward(self, band: Tensor, coarse: Tensor) -> Tensor:
        """Return logits [N, 1], high for real bands."""
        logits: Tensor = self.layers(torch.cat([band + coarse, coarse], 1))
        return logits


class CoarseGenerator(nn.Module):
    """z [N, z_dim] -> the coarsest image [N, C, S, S]."""

    def __init__(self, z_dim: int, img_channels: int, side: int, width: int) -> None:
        super().__init__()
        self.shape = (img_channels, side, side)
        self.layers = nn.Sequential(
            nn.Linear(z_dim, 4 * width),
            nn.ReLU(),
            nn.Linear(4 * width, 4 * width),
            nn.ReLU(),
            nn.Linear(4 * width, img_channels * side * side),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Return the image."""
        images: Tensor = self.layers(z)
        return images.view(-1, *self.shape)


class CoarseDiscriminator(nn.Module):
    """The coarsest image [N, C, S, S] -> logits [N, 1]."""

    def __init__(self, img_channels: int, side: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(img_channels * side * side, 4 * width),
            nn.LeakyReLU(0.2),
            nn.Linear(4 * width, 4 * width),
            nn.LeakyReLU(0.2),
            nn.Linear(4 * width, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits [N, 1], high for real images."""
        logits: Tensor = self.layers(images)
        return logits


class LAPGANGenerator(DirectGenerator):
    """The whole pyramid; a code is z of the coarsest level and a plane of noise a band, coarse to fine."""

    def __init__(self, config: LAPGANConfig) -> None:
        super().__init__(config, config.z_dim)
        channels, width = config.img_channels, config.width
        self.bands = nn.ModuleList([BandGenerator(channels, width) for _ in config.resolutions])  # fine to coarse
        self.coarse = CoarseGenerator(config.coarse_z_dim, channels, config.coarsest, width)

    def parts(self, z: Tensor) -> tuple[Tensor, ...]:
        """Cut codes [N, z_dim] into the coarsest level's and each band's, coarse to fine."""
        sizes = [self.config.coarse_z_dim, *[side**2 for side in self.config.resolutions[::-1]]]
        return z.split(sizes, dim=1)

    def render(self, w: Tensor) -> Tensor:
        """Return images [N, C, R, R], each band on top of what the levels below it drew."""
        parts = self.parts(w)
        images: Tensor = self.coarse(parts[0])
        for band, part in zip(reversed(self.bands), parts[1:], strict=True):
            coarse = expand(images)
            images = coarse + band(part, coarse)
        return images

    def games(self, z: Tensor, real: Tensor) -> Tensor:
        """Return what each level draws when the levels below it are real: packed as `real` [N, K] is.

        The levels of a LAPGAN are independent games (Denton et al. 2015, section 3.2)."""
        levels, parts = unpack(real, self.config), self.parts(z)
        bands = [
            (band(part, coarse), coarse)
            for band, part, (_, coarse) in zip(self.bands, parts[:0:-1], levels, strict=False)
        ]
        return pack([*bands, (self.coarse(parts[0]), None)])


class LAPGANDiscriminator(nn.Module):
    """One discriminator a level: packed bands and their coarse images [N, K] -> logits [N, levels]."""

    def __init__(self, config: LAPGANConfig) -> None:
        super().__init__()
        self.config, self.c_dim = config, 0
        self.img_resolution, self.img_channels = config.img_resolution, config.img_channels
        channels, width = config.img_channels, config.width
        self.bands = nn.ModuleList([BandDiscriminator(channels, side, width) for side in config.resolutions])
        self.coarse = CoarseDiscriminator(channels, config.coarsest, width)

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """Return logits, fine to coarse, high for real; images [N, C, R, R] are split into their bands first."""
        levels = unpack(img if img.ndim == 2 else split(img, self.config), self.config)
        logits = [critic(band, coarse) for critic, (band, coarse) in zip(self.bands, levels, strict=False)]
        return torch.cat([*logits, self.coarse(levels[-1][0])], dim=1)


Level = tuple[Tensor, Tensor | None]  # a band [N, C, r, r] and the expanded image below it; the coarsest has none


def split(images: Tensor, config: LAPGANConfig) -> Tensor:
    """Pack the bands of images [N, C, R, R], each with its coarse image, for the levels' games: [N, K]."""
    levels: list[Level] = []
    for _ in config.resolutions:
        smaller = avg_pool2d(images, 2)
        coarse = expand(smaller)
        levels.append((images - coarse, coarse))
        images = smaller
    return pack([*levels, (images, None)])


def pack(levels: Sequence[Level]) -> Tensor:
    """Lay levels, fine to coarse, out in rows [N, K], so that a batch of them is one tensor."""
    return torch.cat([part.flatten(1) for level in levels for part in level if part is not None], dim=1)


def unpack(rows: Tensor, config: LAPGANConfig) -> list[Level]:
    """Undo `pack`."""
    shapes = [(config.img_channels, side, side) for side in config.resolutions]
    coarse = (config.img_channels, config.coarsest, config.coarsest)
    sizes = [math.prod(shape) for shape in shapes for _ in range(2)] + [math.prod(coarse)]
    if rows.shape[1] != sum(sizes):
        raise ImageError(f"a packed pyramid of {rows.shape[1]} values; {sum(sizes)} are expected")
    parts = rows.split(sizes, dim=1)
    levels: list[Level] = [
        (parts[2 * i].view(-1, *shape), parts[2 * i + 1].view(-1, *shape)) for i, shape in enumerate(shapes)
    ]
    return [*levels, (parts[-1].view(-1, *coarse), None)]
