"""Autoencoders: as a generator (plain or variational), and as the critic of EBGAN and BEGAN."""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from stylegan_core.networks.direct import DirectGenerator
from stylegan_core.networks.discriminators import check_images
from stylegan_core.networks.small_configs import AutoencoderConfig, AutoencoderCriticConfig, halvings


def encoder_layers(resolution: int, channels: int, width: int, out_features: int) -> nn.Sequential:
    """Images [N, channels, R, R] -> [N, out_features]: halved down to 8 pixels, then dense."""
    num = halvings(resolution, 8, "an autoencoder")
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.ELU()]
    for level in range(num):
        layers += [nn.Conv2d(width * (level + 1), width * (level + 2), 3, 2, 1), nn.ELU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * (num + 1) * 64, out_features))


def decoder_layers(resolution: int, channels: int, width: int, code: int) -> nn.Sequential:
    """Codes [N, code] -> images [N, channels, R, R]: the encoder in reverse."""
    num = halvings(resolution, 8, "an autoencoder")
    top = width * (num + 1)
    layers: list[nn.Module] = [nn.Linear(code, top * 64), nn.Unflatten(1, (top, 8, 8))]
    for level in reversed(range(num)):
        layers += [Upsampled(nn.Conv2d(width * (level + 2), width * (level + 1), 3, padding=1)), nn.ELU()]
    return nn.Sequential(*layers, nn.Conv2d(width, channels, 3, padding=1))


class Upsampled(nn.Module):
    """Nearest-neighbour doubling, then a convolution."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, out, 2 H, 2 W]."""
        y: Tensor = self.conv(interpolate(x, scale_factor=2, mode="nearest"))
        return y


class AutoencoderGenerator(DirectGenerator):
    """The decoder of an autoencoder as a generator, with its encoder beside it.

    z ~ N(0, I) becomes a code by a normal distribution: of a variational autoencoder its prior, of a plain one that
    fitted to the codes of the training images, mean `w_avg` and `factor` factor^T its covariance."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__(config, config.z_dim)
        sizes = (config.img_resolution, config.img_channels, config.width)
        self.encoder = encoder_layers(*sizes, config.z_dim * (2 if config.variational else 1))
        self.decoder = decoder_layers(*sizes, config.z_dim)
        self.register_buffer("covariance", torch.eye(config.z_dim))
        self.register_buffer("factor", torch.eye(config.z_dim))
        self.covariance: Tensor
        self.factor: Tensor

    def code(self, z: Tensor) -> Tensor:
        """Turn z ~ N(0, I) [N, z_dim] into codes [N, z_dim]."""
        return self.w_avg + z @ self.factor.T

    def render(self, w: Tensor) -> Tensor:
        """Return images [N, C, R, R]."""
        images: Tensor = self.decoder(w)
        return images

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return means and logarithms of variances of codes [N, z_dim]; those of a plain autoencoder are 0 (unused)."""
        out: Tensor = self.encoder(images)
        if not self.config.variational:
            return out, torch.zeros_like(out)
        mean, log_variance = out.chunk(2, dim=1)
        return mean, log_variance

    @torch.no_grad()
    def follow_codes(self, mean: Tensor, covariance: Tensor, share: float) -> None:
        """Move the fitted distribution by `share` towards a batch's mean [z_dim] and covariance [z_dim, z_dim]."""
        self.w_avg.lerp_(mean, share)
        self.covariance.lerp_(covariance, share)
        jitter = 1e-6 * self.covariance.diagonal().mean().clamp_min(1e-6)
        eye = torch.eye(self.z_dim, device=mean.device)
        self.factor.copy_(torch.linalg.cholesky(self.covariance + jitter * eye))


class AutoencoderCritic(nn.Module):
    """Images [N, C, R, R] -> energies [N] >= 0, the mean error of their reconstruction: low for real images."""

    def __init__(self, config: AutoencoderCriticConfig) -> None:
        super().__init__()
        self.config, self.c_dim = config, 0
        self.img_resolution, self.img_channels, self.power = config.img_resolution, config.img_channels, config.power
        sizes = (config.img_resolution, config.img_channels, config.width)
        self.encoder = encoder_layers(*sizes, config.code)
        self.decoder = decoder_layers(*sizes, config.code)

    def reconstruct(self, img: Tensor) -> Tensor:
        """Return the reconstruction [N, C, R, R]."""
        images: Tensor = self.decoder(self.encoder(img))
        return images

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """Return energies [N]."""
        check_images(img, self.img_channels, self.img_resolution)
        return (self.reconstruct(img) - img).abs().pow(self.power).flatten(1).mean(1)


def repelling_regulariser(codes: Tensor) -> Tensor:
    """EBGAN's pulling-away term (Zhao et al. 2016, eq. 4): the mean squared cosine between different codes [N, D]."""
    unit = nn.functional.normalize(codes, dim=1)
    cosine2 = (unit @ unit.T).square()
    num = len(codes)
    return (cosine2.sum() - cosine2.diagonal().sum()) / (num * (num - 1))
