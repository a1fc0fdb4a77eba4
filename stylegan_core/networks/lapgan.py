"""A Laplacian pyramid of small generators (LAPGAN, Denton et al. 2015): each adds the detail of one octave."""

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

from stylegan_core.errors import ConfigError


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


class LAPGAN(nn.Module):
    """The whole pyramid, from `coarsest` to `img_resolution` pixels; z is cut into one part a level.

    Levels are independent GANs: `band_game` and `coarse_game` give the inputs of each level's discriminator."""

    def __init__(
        self, img_resolution: int = 64, img_channels: int = 3, coarsest: int = 8, z_dim: int = 64, width: int = 32
    ) -> None:
        super().__init__()
        factor = img_resolution // coarsest
        if coarsest < 4 or factor < 2 or img_resolution != coarsest * factor or factor & (factor - 1):
            raise ConfigError(
                f"a pyramid from {coarsest} to {img_resolution} pixels; each step doubles, from 4 or more"
            )
        self.resolutions = [img_resolution >> level for level in range(factor.bit_length() - 1)]  # fine to coarse
        self.img_resolution, self.img_channels, self.coarse_z = img_resolution, img_channels, z_dim
        self.z_dim = z_dim + sum(resolution**2 for resolution in self.resolutions)
        self.bands = nn.ModuleList([BandGenerator(img_channels, width) for _ in self.resolutions])
        self.critics = nn.ModuleList([BandDiscriminator(img_channels, side, width) for side in self.resolutions])
        self.coarse = CoarseGenerator(z_dim, img_channels, coarsest, width)
        self.coarse_critic = CoarseDiscriminator(img_channels, coarsest, width)

    def forward(self, z: Tensor) -> Tensor:
        """Return images [N, C, R, R] for z [N, z_dim]."""
        parts = z.split([self.coarse_z, *[resolution**2 for resolution in self.resolutions[::-1]]], dim=1)
        images: Tensor = self.coarse(parts[0])
        for band, part in zip(reversed(self.bands), parts[1:], strict=True):
            coarse = expand(images)
            images = coarse + band(part, coarse)
        return images

    def band_game(self, level: int, images: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return real band, generated band and the coarse image they belong to at `level` (0: finest).

        `images` [N, C, R, R] are real; z is [N, r * r] for the level's resolution r."""
        for _ in range(level):
            images = avg_pool2d(images, 2)
        coarse = expand(avg_pool2d(images, 2))
        return images - coarse, self.bands[level](z, coarse), coarse
