"""DCGAN (Radford et al. 2016) for 28 and 64 pixels: small, for teaching and quick trials.

The generator follows `networks.protocol.Generator`, with z itself as its only style input: W = Z, num_ws = 1."""

import itertools

import torch
from torch import Tensor, nn

from stylegan_core.errors import ConfigError
from stylegan_core.networks.discriminators import check_images

WIDTHS = {28: (4, 2), 64: (8, 4, 2, 1)}  # channels of the hidden maps, in units of `width`
FIRST_SIDE = {28: 7, 64: 4}  # pixels of the first map


class DCGANGenerator(nn.Module):
    """z [N, z_dim] -> images [N, img_channels, R, R] in (-1, 1), by transposed convolutions with batch norm."""

    def __init__(self, img_resolution: int = 64, img_channels: int = 3, z_dim: int = 100, width: int = 64) -> None:
        super().__init__()
        check_size(img_resolution)
        self.z_dim = self.w_dim = z_dim
        self.c_dim, self.num_ws = 0, 1
        self.img_resolution, self.img_channels = img_resolution, img_channels
        channels = [width * factor for factor in WIDTHS[img_resolution]]
        side = FIRST_SIDE[img_resolution]
        layers: list[nn.Module] = [nn.ConvTranspose2d(z_dim, channels[0], side), nn.BatchNorm2d(channels[0]), nn.ReLU()]
        for wide, narrow in itertools.pairwise(channels):
            layers += [nn.ConvTranspose2d(wide, narrow, 4, 2, 1, bias=False), nn.BatchNorm2d(narrow), nn.ReLU()]
        layers += [nn.ConvTranspose2d(channels[-1], img_channels, 4, 2, 1), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.register_buffer("w_avg", torch.zeros(z_dim), persistent=False)
        self.w_avg: Tensor
        self.apply(initialise)

    @property
    def noise(self) -> dict[str, Tensor]:
        """No noise inputs."""
        return {}

    def mapping(
        self, z: Tensor, c: Tensor | None = None, truncation_psi: float = 1.0, truncation_cutoff: int | None = None
    ) -> Tensor:
        """Return ws [N, 1, z_dim] = psi * z."""
        return (z * truncation_psi)[:, None]

    def synthesis(self, ws: Tensor, noise_mode: str = "const", noise: dict[str, Tensor] | None = None) -> Tensor:
        """Render ws [N, 1, z_dim]; there is no noise to choose."""
        images: Tensor = self.layers(ws[:, 0, :, None, None])
        return images

    def forward(self, z: Tensor) -> Tensor:
        """Return images for z [N, z_dim]."""
        return self.synthesis(self.mapping(z))


class DCGANDiscriminator(nn.Module):
    """Images [N, img_channels, R, R] -> logits [N, 1]; `batch_norm=False` goes with gradient penalties (per sample)."""

    def __init__(
        self, img_resolution: int = 64, img_channels: int = 3, width: int = 64, batch_norm: bool = True
    ) -> None:
        super().__init__()
        check_size(img_resolution)
        self.img_resolution, self.img_channels = img_resolution, img_channels
        channels = [img_channels, *[width * factor for factor in WIDTHS[img_resolution][::-1]]]
        layers: list[nn.Module] = []
        for index, (narrow, wide) in enumerate(itertools.pairwise(channels)):
            normed = batch_norm and index > 0  # not on the images themselves
            layers.append(nn.Conv2d(narrow, wide, 4, 2, 1, bias=not normed))
            layers += [nn.BatchNorm2d(wide)] if normed else []
            layers.append(nn.LeakyReLU(0.2))
        layers.append(nn.Conv2d(channels[-1], 1, FIRST_SIDE[img_resolution]))
        self.layers = nn.Sequential(*layers)
        self.apply(initialise)

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """Return logits [N, 1], high for real images."""
        check_images(img, self.img_channels, self.img_resolution)
        logits: Tensor = self.layers(img)
        return logits.flatten(1)


def initialise(module: nn.Module) -> None:
    """Draw weights as the paper does: N(0, 0.02) for convolutions, N(1, 0.02) for batch norm's scales."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)


def check_size(img_resolution: int) -> None:
    """Refuse sizes that DCGAN is not drawn up for."""
    if img_resolution not in WIDTHS:
        raise ConfigError(f"DCGAN at {img_resolution} pixels; it is made for {' and '.join(map(str, WIDTHS))}")
