"""What defines the small networks of the lectures: DCGAN, LAPGAN, autoencoders."""

import math
from dataclasses import dataclass

from stylegan_core.errors import ConfigError

DCGAN_SIDES = {28: (7, 14), **{1 << n: tuple(1 << k for k in range(2, n)) for n in range(4, 8)}}  # of hidden maps
MAX_SIDE = 512  # pixels of a pyramid or an autoencoder
MAX_WIDTH = 8192


def check_counts(config: object, **largest: int) -> None:
    """Refuse fields that are no whole numbers from 1 to their `largest`."""
    for name, most in largest.items():
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise ConfigError(f"{name} is {value!r}; it must be a whole number from 1 to {most}")


def check_unlabelled(c_dim: int, kind: str) -> None:
    """Refuse labels, which these networks do not take."""
    if c_dim:
        raise ConfigError(f"{kind} has no classes; leave out --labels, or take a StyleGAN preset")


def halvings(resolution: int, to: int, kind: str) -> int:
    """How often `resolution` can be halved down to `to` pixels; raises `ConfigError` where that is not even."""
    num = int(math.log2(max(resolution, 1) / to)) if isinstance(resolution, int) and resolution >= to else -1
    if num < 0 or resolution != to << num or resolution > MAX_SIDE:
        raise ConfigError(f"{kind} for {resolution} pixels; powers of two from {to} to {MAX_SIDE} are supported")
    return num


@dataclass(frozen=True)
class DCGANConfig:
    """A DCGAN generator (Radford et al. 2016) for 28 pixels, or 16 to 128; z itself is its only style: W = Z."""

    z_dim: int = 100
    c_dim: int = 0
    img_resolution: int = 64  # pixels
    img_channels: int = 3
    channel_base: int = 2048  # channels at r pixels: min(channel_base / r, channel_max); the paper's 512 at 4 pixels
    channel_max: int = 1024
    upsampling: str = "transposed"  # transposed (strided) convolutions, or pixelshuffle

    def __post_init__(self) -> None:
        check_dcgan(self)
        check_counts(self, z_dim=MAX_WIDTH)
        if self.upsampling not in ("transposed", "pixelshuffle"):
            raise ConfigError(f"upsampling is {self.upsampling!r}; choose transposed or pixelshuffle")

    @property
    def sides(self) -> tuple[int, ...]:
        """The sides of the hidden maps, in pixels."""
        return DCGAN_SIDES[self.img_resolution]

    def channels_at(self, side: int) -> int:
        """The number of feature maps at `side` pixels."""
        return dcgan_channels(self, side)


@dataclass(frozen=True)
class DCGANDiscriminatorConfig:
    """DCGAN's discriminator; without batch norm where a penalty looks at single samples, or slopes are bounded."""

    c_dim: int = 0
    img_resolution: int = 64
    img_channels: int = 3
    channel_base: int = 2048
    channel_max: int = 1024
    batch_norm: bool = True
    spectral_norm: bool = False  # of every convolution (Miyato et al. 2018), in place of batch norm
    minibatch_std: bool = False  # a map more before the last layer: how far the images of a batch differ

    def __post_init__(self) -> None:
        check_dcgan(self)

    @property
    def sides(self) -> tuple[int, ...]:
        """The sides of the hidden maps, in pixels."""
        return DCGAN_SIDES[self.img_resolution]

    def channels_at(self, side: int) -> int:
        """The number of feature maps at `side` pixels."""
        return dcgan_channels(self, side)


def check_dcgan(config: DCGANConfig | DCGANDiscriminatorConfig) -> None:
    """Refuse what both halves of a DCGAN refuse."""
    if config.img_resolution not in DCGAN_SIDES:
        raise ConfigError(f"DCGAN at {config.img_resolution} pixels; it is made for {', '.join(map(str, DCGAN_SIDES))}")
    check_unlabelled(config.c_dim, "a DCGAN")
    check_counts(config, img_channels=64, channel_base=1 << 20, channel_max=MAX_WIDTH)


def dcgan_channels(config: DCGANConfig | DCGANDiscriminatorConfig, side: int) -> int:
    """min(channel_base / side, channel_max), 1 at least."""
    return max(1, min(config.channel_base // side, config.channel_max))


@dataclass(frozen=True)
class LAPGANConfig:
    """A Laplacian pyramid of small generators, or (the same fields) of their discriminators (Denton et al. 2015)."""

    coarse_z_dim: int = 64  # of the coarsest level; each band takes a plane of noise beside it
    c_dim: int = 0
    img_resolution: int = 64
    img_channels: int = 3
    coarsest: int = 8  # pixels of the coarsest level
    width: int = 32  # feature maps

    def __post_init__(self) -> None:
        check_unlabelled(self.c_dim, "a LAPGAN")
        check_counts(self, coarse_z_dim=MAX_WIDTH, img_channels=64, coarsest=MAX_SIDE, width=MAX_WIDTH)
        factor = self.img_resolution // self.coarsest
        uneven = self.img_resolution != self.coarsest * factor or factor & (factor - 1)
        if self.coarsest < 4 or factor < 2 or uneven or self.img_resolution > MAX_SIDE:
            raise ConfigError(
                f"a pyramid from {self.coarsest} to {self.img_resolution} pixels; each step doubles, from 4 or more, "
                f"up to {MAX_SIDE}"
            )

    @property
    def resolutions(self) -> list[int]:
        """The bands' resolutions, fine to coarse; the coarsest level is not among them."""
        num = (self.img_resolution // self.coarsest).bit_length() - 1
        return [self.img_resolution >> level for level in range(num)]

    @property
    def z_dim(self) -> int:
        """The length of a whole code: the coarsest level's, then a plane of noise a band."""
        return self.coarse_z_dim + sum(resolution**2 for resolution in self.resolutions)


@dataclass(frozen=True)
class LAPGANDiscriminatorConfig(LAPGANConfig):
    """The discriminators of a LAPGAN, one a level."""


@dataclass(frozen=True)
class AutoencoderConfig:
    """An autoencoder whose decoder is the generator: W is the space of its codes."""

    z_dim: int = 64  # length of a code
    c_dim: int = 0
    img_resolution: int = 64  # power of two, pixels
    img_channels: int = 3
    width: int = 32  # feature maps at full resolution; each halving adds as many
    variational: bool = False  # codes are drawn from what the encoder says (Kingma and Welling 2014)

    def __post_init__(self) -> None:
        check_unlabelled(self.c_dim, "an autoencoder")
        check_counts(self, z_dim=MAX_WIDTH, img_channels=64, width=1024)
        halvings(self.img_resolution, 8, "an autoencoder")


@dataclass(frozen=True)
class AutoencoderCriticConfig:
    """The critic of EBGAN and BEGAN: its verdict is the error of its reconstruction."""

    img_resolution: int = 64
    img_channels: int = 3
    c_dim: int = 0
    width: int = 32
    code: int = 64
    power: int = 1  # of the error: 1 (BEGAN) or 2 (EBGAN)

    def __post_init__(self) -> None:
        check_unlabelled(self.c_dim, "an autoencoder critic")
        check_counts(self, img_channels=64, width=1024, code=MAX_WIDTH)
        halvings(self.img_resolution, 8, "an autoencoder critic")
        if self.power not in (1, 2):
            raise ConfigError(f"power {self.power}: errors are absolute (1, BEGAN) or squared (2, EBGAN)")
