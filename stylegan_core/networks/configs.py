"""What defines each architecture: frozen configs, their JSON form, and presets."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from stylegan_core.errors import ConfigError
from stylegan_core.networks.small_configs import (
    AutoencoderConfig,
    AutoencoderCriticConfig,
    DCGANConfig,
    DCGANDiscriminatorConfig,
    LAPGANConfig,
    LAPGANDiscriminatorConfig,
)

MAX_CHANNELS = 8192
MAX_RESOLUTION = 2048


class Pyramid:
    """What the configs share of networks that go from 4 pixels to `img_resolution` by factors of two."""

    img_resolution: int

    def __post_init__(self) -> None:
        check_resolution(self.img_resolution)
        check_dims(self)

    @property
    def block_resolutions(self) -> list[int]:
        """The blocks' resolutions, 4 to `img_resolution`."""
        return resolutions_up_to(self.img_resolution)

    def channels_at(self, resolution: int) -> int:
        """The number of feature maps at `resolution`."""
        return channels_at(self, resolution)


@dataclass(frozen=True)
class StyleGAN1Config(Pyramid):
    """A StyleGAN1 generator (Karras et al. 2019); the defaults are config F, STYLEGAN1_CONFIGS has A to F."""

    z_dim: int = 512
    c_dim: int = 0
    w_dim: int = 512
    img_resolution: int = 256  # power of two, pixels
    img_channels: int = 3
    mapping_layers: int = 8  # 0: w is the normalised z
    mapping_lr_multiplier: float = 0.01
    layer_features: int | None = None  # width of the mapping's hidden layers; None: w_dim
    embed_features: int | None = None  # width of the label embedding; None: w_dim
    w_avg_beta: float = 0.995
    channel_base: int = 16384  # channels at resolution r: min(channel_base / r, channel_max)
    channel_max: int = 512
    channels: tuple[int, ...] | None = None  # per resolution from 4 px up, in place of the rule above
    use_styles: bool = True  # AdaIN in every layer
    const_input: bool = True  # False: the first layer is dense, from w
    use_noise: bool = True
    pixel_norm: bool = False  # normalise each pixel's feature vector
    blur_filter: tuple[float, ...] = (1, 2, 1)  # after upsampling; (1,): repeat pixels only
    style_mixing_prob: float = 0.9  # training: share of images made from two codes

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.mapping_layers and (self.w_dim != self.z_dim or self.c_dim):
            raise ConfigError(
                f"z_dim is {self.z_dim}, w_dim {self.w_dim} and there are {self.c_dim} label values; without a mapping "
                "network w is z itself: make w_dim and z_dim the same and leave out the labels"
            )
        if not self.use_styles and self.const_input:
            raise ConfigError("a generator without styles needs the code as its input: const_input must be False")

    @property
    def num_ws(self) -> int:
        """The number of style inputs: two a resolution, or the one input of a generator without styles."""
        return 2 * len(self.block_resolutions) if self.use_styles else 1


@dataclass(frozen=True)
class StyleGAN1DiscriminatorConfig(Pyramid):
    """The discriminator of StyleGAN1 and Progressive GAN."""

    c_dim: int = 0  # one logit a class
    img_resolution: int = 256  # power of two, pixels
    img_channels: int = 3
    channel_base: int = 16384
    channel_max: int = 512
    channels: tuple[int, ...] | None = None  # per resolution from 4 px up, in place of the rule above
    blur_filter: tuple[float, ...] = (1, 2, 1)  # before downsampling; (1,): average pixels only
    fc_features: int | None = None  # width of the last hidden layer; None: the channels at 4 px
    mbstd_group_size: int = 4
    mbstd_num_channels: int = 1


@dataclass(frozen=True)
class StyleGAN2Config(Pyramid):
    """A StyleGAN2 generator (Karras et al. 2020), with the options of the ADA-PyTorch checkpoints."""

    z_dim: int = 512
    c_dim: int = 0  # 0: unconditional
    w_dim: int = 512
    img_resolution: int = 256  # power of two, pixels
    img_channels: int = 3
    mapping_layers: int = 8
    mapping_lr_multiplier: float = 0.01
    layer_features: int | None = None  # width of the mapping's hidden layers; None: w_dim
    embed_features: int | None = None  # width of the label embedding; None: w_dim
    joint_normalization: bool = False  # z and label normalised together, not each (TensorFlow's StyleGAN2)
    w_avg_beta: float = 0.998  # decay of the running mean of W
    channel_base: int = 32768  # channels at resolution r: min(channel_base / r, channel_max)
    channel_max: int = 512
    channels: tuple[int, ...] | None = None  # per resolution from 4 px up, in place of the rule above
    architecture: str = "skip"  # orig, skip, resnet
    use_noise: bool = True
    resample_filter: tuple[float, ...] = (1, 3, 3, 1)  # taps of the separable low-pass filter
    conv_clamp: float | None = None  # largest magnitude after each layer
    num_fp16_res: int = 0  # so many highest resolutions run in 16 bit on a GPU

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("architecture", self.architecture, ("orig", "skip", "resnet"))

    @property
    def num_ws(self) -> int:
        """The number of style inputs: two a block, one for the first, one for the last image layer."""
        return 2 * int(math.log2(self.img_resolution)) - 2


@dataclass(frozen=True)
class StyleGAN2DiscriminatorConfig(Pyramid):
    """A StyleGAN2 discriminator; also the one of StyleGAN3."""

    c_dim: int = 0
    img_resolution: int = 256  # power of two, pixels
    img_channels: int = 3
    channel_base: int = 32768
    channel_max: int = 512
    channels: tuple[int, ...] | None = None  # per resolution from 4 px up, in place of the rule above
    architecture: str = "resnet"  # orig, skip, resnet
    resample_filter: tuple[float, ...] = (1, 3, 3, 1)
    conv_clamp: float | None = None
    num_fp16_res: int = 0
    mapping_layers: int = 8  # layers over the label embedding, when c_dim > 0
    cmap_dim: int | None = None  # width of the class projection; None: the channels at 4 px
    label_projection: str = "embedding"  # direct: one logit a class, no embedding (TensorFlow's StyleGAN2)
    mbstd_group_size: int = 4  # samples whose standard deviation is shared
    mbstd_num_channels: int = 1  # 0: none

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("architecture", self.architecture, ("orig", "skip", "resnet"))
        check_choice("label_projection", self.label_projection, ("embedding", "direct"))


@dataclass(frozen=True)
class StyleGAN3Config:
    """A StyleGAN3 generator (Karras et al. 2021): T by default; R has 1x1 kernels, radial filters, more channels."""

    z_dim: int = 512
    c_dim: int = 0
    w_dim: int = 512
    img_resolution: int = 256  # power of two, pixels
    img_channels: int = 3
    mapping_layers: int = 2
    mapping_lr_multiplier: float = 0.01
    layer_features: int | None = None  # width of the mapping's hidden layers; None: w_dim
    embed_features: int | None = None  # width of the label embedding; None: w_dim
    w_avg_beta: float = 0.998
    channel_base: int = 32768  # channels at cutoff f: min(channel_base / (2 f), channel_max)
    channel_max: int = 512
    channels: tuple[int, ...] | None = None  # per layer, in place of the rule above
    num_layers: int = 14  # without the image layer
    num_critical: int = 2  # last layers whose cutoff is the Nyquist limit
    first_cutoff: float = 2.0  # cycles per image
    first_stopband: float = 2**2.1
    last_stopband_rel: float = 2**0.3  # in units of the last cutoff
    margin_size: int = 10  # pixels around the image inside the network
    output_scale: float = 0.25
    conv_kernel: int = 3  # 1 for R
    filter_size: int = 6  # taps per unit of resampling
    lrelu_upsampling: int = 2
    use_radial_filters: bool = False  # True for R
    conv_clamp: float | None = 256.0
    magnitude_ema_beta: float = 0.999
    num_fp16_res: int = 0  # so many highest rates run in 16 bit on a GPU

    def __post_init__(self) -> None:
        check_resolution(self.img_resolution)
        check_dims(self)
        bounds = {"num_layers": 64, "conv_kernel": 15, "filter_size": 64, "lrelu_upsampling": 8, "margin_size": 256}
        for name, largest in bounds.items():
            value = getattr(self, name)
            if not isinstance(value, int) or not 0 < value <= largest:
                raise ConfigError(f"{name} is {value!r}; it must be a whole number from 1 to {largest}")
        if not 0 <= self.num_critical < self.num_layers or not 0 < self.first_cutoff < self.first_stopband:
            raise ConfigError("num_critical must be below num_layers, and first_cutoff below first_stopband")

    @property
    def num_ws(self) -> int:
        """The number of style inputs: the Fourier features', one a layer, and the image layer's."""
        return self.num_layers + 2


def resolutions_up_to(img_resolution: int) -> list[int]:
    """Return 4, 8, ... `img_resolution`."""
    return [2**i for i in range(2, int(math.log2(img_resolution)) + 1)]


def channels_at(config: Any, resolution: int) -> int:
    """Return the feature maps of `config` at `resolution`: its own table, or min(channel_base / r, channel_max)."""
    if config.channels is not None:
        return int(config.channels[int(math.log2(resolution)) - 2])
    return max(1, min(config.channel_base // resolution, config.channel_max))


def check_resolution(resolution: int) -> None:
    """Refuse a resolution that is no power of two in 8..2048."""
    if not isinstance(resolution, int) or not 8 <= resolution <= MAX_RESOLUTION or resolution & (resolution - 1):
        raise ConfigError(f"img_resolution is {resolution!r}; it must be a power of two from 8 to {MAX_RESOLUTION}")


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Refuse a `value` that is none of `choices`."""
    if value not in choices:
        raise ConfigError(f"{name} is {value!r}; choose one of {', '.join(choices)}")


def check_dims(config: Any) -> None:
    """Refuse dimensions that are negative or so large that they can only be a damaged or hostile file."""
    for name, largest in (("z_dim", MAX_CHANNELS), ("w_dim", MAX_CHANNELS), ("mapping_layers", 64), ("c_dim", 100_000)):
        value = getattr(config, name, 1)
        if not isinstance(value, int) or not 0 <= value <= largest:
            raise ConfigError(f"{name} is {value!r}; it must be a whole number from 0 to {largest}")
    for name in ("img_channels", "channel_base", "channel_max"):
        value = getattr(config, name, 1)
        if not isinstance(value, int) or value < 1:
            raise ConfigError(f"{name} is {value!r}; it must be a positive whole number")
    channels = getattr(config, "channels", None)
    expected = config.num_layers if hasattr(config, "num_layers") else len(resolutions_up_to(config.img_resolution))
    if channels is not None and len(channels) != expected:
        raise ConfigError(f"channels has {len(channels)} entries; the architecture has {expected} widths")
    widest = max([config.img_channels, *(channels or [])])
    if channels is None and hasattr(config, "channel_max"):
        widest = max(widest, min(config.channel_max, config.channel_base // 4))
    if widest > MAX_CHANNELS:
        raise ConfigError(f"{widest} channels in one layer; at most {MAX_CHANNELS} are supported")


STYLEGAN2 = StyleGAN2Config()
STYLEGAN1 = StyleGAN1Config()
# Table 1 of the StyleGAN paper: each config adds one thing to the one before it.
_E = replace(STYLEGAN1, style_mixing_prob=0.0)
_D = replace(_E, use_noise=False)
_C = replace(_D, const_input=False)
_B = replace(_C, mapping_layers=0, use_styles=False, pixel_norm=True)
_A = replace(_B, blur_filter=(1,))
STYLEGAN1_CONFIGS = {"A": _A, "B": _B, "C": _C, "D": _D, "E": _E, "F": STYLEGAN1}
STYLEGAN3_T = StyleGAN3Config()
PRESETS: dict[str, Any] = {
    **{f"stylegan1-{letter.lower()}": config for letter, config in STYLEGAN1_CONFIGS.items()},
    "stylegan2": STYLEGAN2,
    "stylegan2-ada": replace(STYLEGAN2, mapping_layers=2, channel_base=16384),
    "stylegan2-cifar": replace(STYLEGAN2, img_resolution=32, mapping_layers=2, architecture="orig", channel_base=32768),
    "stylegan3-t": STYLEGAN3_T,
    "stylegan3-r": replace(STYLEGAN3_T, channel_base=65536, channel_max=1024, conv_kernel=1, use_radial_filters=True),
    "stylegan2-small": replace(STYLEGAN2, z_dim=256, w_dim=256, img_resolution=64, mapping_layers=4, channel_base=2048),
    "micro-stylegan": replace(
        STYLEGAN1,
        z_dim=128,
        w_dim=128,
        img_resolution=32,
        mapping_layers=3,
        channel_base=2048,
        channel_max=128,
        style_mixing_prob=0.0,
    ),
    "dcgan": DCGANConfig(),
    "lapgan": LAPGANConfig(),
    "autoencoder": AutoencoderConfig(),
    "vae": AutoencoderConfig(variational=True),
}
PRESET_LINES = {  # one line each, for `train --help`
    "stylegan1-a": "Progressive GAN, the baseline of the StyleGAN paper's table 1 (grows)",
    "stylegan1-b": "a with tuning and bilinear sampling",
    "stylegan1-c": "b with mapping network and AdaIN styles",
    "stylegan1-d": "c with a learned constant as its input",
    "stylegan1-e": "d with noise inputs",
    "stylegan1-f": "e with style mixing: StyleGAN (Karras 2019)",
    "stylegan2": "weight demodulation, skip connections, path lengths (Karras 2020)",
    "stylegan2-ada": "the same with two mapping layers, for small data (Karras 2020)",
    "stylegan2-cifar": "its setting for 32 pixels, no style mixing",
    "stylegan2-small": "narrow, four mapping layers, for processors",
    "stylegan3-t": "alias-free, moves with its features (Karras 2021)",
    "stylegan3-r": "the same, turns too; 1024 feature maps, slow without a GPU",
    "micro-stylegan": "three mapping layers, narrow, all resolutions at once: StyleGAN in minutes",
    "dcgan": "strided convolutions and batch norm, 28 or 16 to 128 pixels (Radford 2016)",
    "lapgan": "a pyramid, a discriminator at every scale (Denton 2015)",
    "autoencoder": "squared error through a narrow code; the decoder is the generator",
    "vae": "the same with codes drawn from a prior (Kingma and Welling 2014)",
}

CONFIGS: dict[str, type] = {
    "stylegan1": StyleGAN1Config,
    "stylegan1-discriminator": StyleGAN1DiscriminatorConfig,
    "stylegan2": StyleGAN2Config,
    "stylegan3": StyleGAN3Config,
    "stylegan2-discriminator": StyleGAN2DiscriminatorConfig,
    "dcgan": DCGANConfig,
    "dcgan-discriminator": DCGANDiscriminatorConfig,
    "lapgan": LAPGANConfig,
    "lapgan-discriminator": LAPGANDiscriminatorConfig,
    "autoencoder": AutoencoderConfig,
    "autoencoder-critic": AutoencoderCriticConfig,
}
ConfigT = TypeVar("ConfigT")


def config_to_dict(config: Any) -> dict[str, Any]:
    """Return a config as plain JSON values, with its architecture under `arch`."""
    arch = next(name for name, kind in CONFIGS.items() if kind is type(config))
    return {"arch": arch, **dataclasses.asdict(config)}


def config_from_dict(data: Mapping[str, Any]) -> Any:
    """Build the config that `config_to_dict` wrote; unknown fields and architectures are refused."""
    values = dict(data)
    arch = values.pop("arch", None)
    if arch not in CONFIGS:
        raise ConfigError(f"architecture {arch!r} is unknown; known are {', '.join(CONFIGS)}")
    return make_config(CONFIGS[arch], values)


def make_config(kind: type[ConfigT], values: Mapping[str, Any]) -> ConfigT:
    """Build a config of `kind` from JSON `values`, lists becoming tuples; unknown fields are refused."""
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(f"{kind.__name__} has no field {', '.join(unknown)}")
    try:
        return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in values.items()})
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{kind.__name__}: {error}") from None
