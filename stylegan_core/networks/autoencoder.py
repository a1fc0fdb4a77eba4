"""The critic of EBGAN and BEGAN: an autoencoder whose reconstruction error is its verdict."""

import math

from torch import Tensor, nn
from torch.nn.functional import interpolate

from stylegan_core.errors import ConfigError
from stylegan_core.networks.discriminators import check_images


class AutoencoderCritic(nn.Module):
    """Images [N, C, R, R] -> energies [N] >= 0, the mean error of their reconstruction: low for real images."""

    def __init__(
        self, img_resolution: int = 64, img_channels: int = 3, width: int = 32, code: int = 64, power: int = 1
    ) -> None:
        super().__init__()
        num_halvings = int(math.log2(img_resolution)) - 3
        if img_resolution != 8 << num_halvings or num_halvings < 0:
            raise ConfigError(f"an autoencoder for {img_resolution} pixels; powers of two from 8 are supported")
        if power not in (1, 2):
            raise ConfigError(f"power {power}: reconstruction errors are absolute (1, BEGAN) or squared (2, EBGAN)")
        self.img_resolution, self.img_channels, self.power = img_resolution, img_channels, power
        down: list[nn.Module] = [nn.Conv2d(img_channels, width, 3, padding=1), nn.ELU()]
        up: list[nn.Module] = []
        for level in range(num_halvings):
            wide, wider = width * (level + 1), width * (level + 2)
            down += [nn.Conv2d(wide, wider, 3, 2, 1), nn.ELU()]
            up = [Upsampled(nn.Conv2d(wider, wide, 3, padding=1)), nn.ELU(), *up]
        top = width * (num_halvings + 1)
        self.encoder = nn.Sequential(*down, nn.Flatten(), nn.Linear(top * 64, code))
        self.decoder = nn.Sequential(
            nn.Linear(code, top * 64), nn.Unflatten(1, (top, 8, 8)), *up, nn.Conv2d(width, img_channels, 3, padding=1)
        )

    def reconstruct(self, img: Tensor) -> Tensor:
        """Return the reconstruction [N, C, R, R]."""
        images: Tensor = self.decoder(self.encoder(img))
        return images

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """Return energies [N]."""
        check_images(img, self.img_channels, self.img_resolution)
        return (self.reconstruct(img) - img).abs().pow(self.power).flatten(1).mean(1)


class Upsampled(nn.Module):
    """Nearest-neighbour doubling, then a convolution."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, out, 2 H, 2 W]."""
        y: Tensor = self.conv(interpolate(x, scale_factor=2, mode="nearest"))
        return y


def repelling_regulariser(codes: Tensor) -> Tensor:
    """EBGAN's pulling-away term (Zhao et al. 2016, eq. 4): the mean squared cosine between different codes [N, D]."""
    unit = nn.functional.normalize(codes, dim=1)
    cosine2 = (unit @ unit.T).square()
    num = len(codes)
    return (cosine2.sum() - cosine2.diagonal().sum()) / (num * (num - 1))
