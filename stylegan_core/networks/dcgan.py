"""DCGAN (Radford et al. 2016): small, for teaching and quick trials.

The generator follows `networks.protocol.Generator`, with z itself as its only style input: W = Z, num_ws = 1."""

import itertools

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from stylegan_core.networks.direct import DirectGenerator
from stylegan_core.networks.discriminators import append_minibatch_std, check_images
from stylegan_core.networks.small_configs import DCGANConfig, DCGANDiscriminatorConfig

MBSTD_GROUP = 4  # images, as in Progressive GAN and StyleGAN


class DCGANGenerator(DirectGenerator):
    """z [N, z_dim] -> images [N, img_channels, R, R] in (-1, 1), batch norm and ReLU after every hidden layer."""

    def __init__(self, config: DCGANConfig) -> None:
        super().__init__(config, config.z_dim)
        channels = [config.channels_at(side) for side in config.sides]
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(config.z_dim, channels[0], config.sides[0], bias=False),
            nn.BatchNorm2d(channels[0]),
            nn.ReLU(),
        ]
        for wide, narrow in itertools.pairwise(channels):
            layers += [upsampling(wide, narrow, config.upsampling, bias=False), nn.BatchNorm2d(narrow), nn.ReLU()]
        layers += [upsampling(channels[-1], config.img_channels, config.upsampling), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.apply(initialise)

    def render(self, w: Tensor) -> Tensor:
        """Return images for codes [N, z_dim]."""
        images: Tensor = self.layers(w[:, :, None, None])
        return images


class DCGANDiscriminator(nn.Module):
    """Images [N, img_channels, R, R] -> logits [N, 1]; without batch norm for gradient penalties (per sample)."""

    def __init__(self, config: DCGANDiscriminatorConfig) -> None:
        super().__init__()
        self.config, self.c_dim = config, 0
        self.img_resolution, self.img_channels = config.img_resolution, config.img_channels
        channels = [config.img_channels, *[config.channels_at(side) for side in config.sides[::-1]]]
        extra = int(config.minibatch_std)
        layers: list[nn.Module] = []
        for index, (narrow, wide) in enumerate(itertools.pairwise(channels)):
            normed = config.batch_norm and index > 0  # not on the images themselves
            layers.append(nn.Conv2d(narrow, wide, 4, 2, 1, bias=not normed))
            layers += [nn.BatchNorm2d(wide)] if normed else []
            layers.append(nn.LeakyReLU(0.2))
        layers.append(nn.Conv2d(channels[-1] + extra, 1, config.sides[0]))
        self.layers = nn.Sequential(*layers)
        self.apply(initialise)
        if config.spectral_norm:
            for layer in self.layers:
                if isinstance(layer, nn.Conv2d):
                    spectral_norm(layer)

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """Return logits [N, 1], high for real images."""
        check_images(img, self.img_channels, self.img_resolution)
        x: Tensor = self.layers[:-1](img)
        if self.config.minibatch_std:
            x = append_minibatch_std(x, MBSTD_GROUP, 1)
        logits: Tensor = self.layers[-1](x)
        return logits.flatten(1)


def upsampling(in_channels: int, out_channels: int, kind: str, bias: bool = True) -> nn.Module:
    """Double the resolution: a transposed convolution of stride 2, or a convolution and PixelShuffle (Shi 2016)."""
    if kind == "transposed":
        return nn.ConvTranspose2d(in_channels, out_channels, 4, 2, 1, bias=bias)
    return nn.Sequential(nn.Conv2d(in_channels, 4 * out_channels, 3, padding=1, bias=bias), nn.PixelShuffle(2))


def initialise(module: nn.Module) -> None:
    """Draw weights as the paper does: N(0, 0.02) for convolutions, N(1, 0.02) for batch norm's scales."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)
        nn.init.zeros_(module.bias)
