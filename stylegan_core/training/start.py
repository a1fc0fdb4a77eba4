"""From a configuration to networks that are ready to train."""

import copy
import dataclasses
from typing import Any

import torch
from torch import nn

from stylegan_core.checkpoints import load_checkpoint
from stylegan_core.errors import ConfigError, TrainingError
from stylegan_core.networks.build import build_network
from stylegan_core.networks.configs import (
    PRESETS,
    StyleGAN1Config,
    StyleGAN1DiscriminatorConfig,
    StyleGAN2DiscriminatorConfig,
    StyleGAN3Config,
)
from stylegan_core.networks.efficientnet import load_efficientnet
from stylegan_core.networks.projected import ProjectedDiscriminator
from stylegan_core.networks.protocol import Alignment
from stylegan_core.networks.small_configs import (
    AutoencoderConfig,
    AutoencoderCriticConfig,
    DCGANConfig,
    DCGANDiscriminatorConfig,
    LAPGANConfig,
    LAPGANDiscriminatorConfig,
)
from stylegan_core.training.config import TrainConfig
from stylegan_core.training.dataset import ImageDataset
from stylegan_core.training.game import Models
from stylegan_core.training.grow import grow
from stylegan_core.training.settings import objective_of

ARCHITECTURE = ("z_dim", "w_dim", "mapping_layers", "channel_base", "channel_max", "width", "upsampling")
CONV_CLAMP = 256.0  # keeps 16-bit activations in range (StyleGAN2-ADA, appendix D)


def build_models(config: TrainConfig, data: ImageDataset, device: torch.device) -> tuple[Models, Alignment]:
    """Build generator, discriminator and average, random by the seed or from `init`; and the faces' alignment.

    The caller's global random state is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if config.init:
            generator, discriminator, alignment = _from_checkpoint(config, data)
        else:
            generator, discriminator, alignment = build_network(_generator_config(config, data)), None, Alignment()
        _check_fit(config, generator.config)
        if discriminator is None or _is_critic(discriminator) != (objective_of(config).critic == "energy"):
            discriminator = _new_discriminator(config, generator)
    average = copy.deepcopy(generator).eval().requires_grad_(False)
    generator.train().requires_grad_(True)
    if discriminator is None:
        return Models(generator.to(device), None, average.to(device)), alignment
    discriminator.train().requires_grad_(True)
    if isinstance(discriminator, ProjectedDiscriminator):
        discriminator.freeze()
        discriminator.calibrate(data.batch(range(min(64, len(data))))[0])
    freeze_discriminator(discriminator, config.freeze_d)
    if config.freeze_mapping:
        generator.mapping.requires_grad_(False)
    return Models(generator.to(device), discriminator.to(device), average.to(device)), alignment


def _generator_config(config: TrainConfig, data: ImageDataset) -> Any:
    preset = PRESETS[config.preset]
    values = {"img_resolution": data.resolution, "img_channels": data.channels, "c_dim": data.c_dim}
    for name in ARCHITECTURE:
        value = getattr(config, name)
        if value is not None:
            values[_field(preset, name, config.preset)] = value
    if config.w_dim is None and getattr(preset, "mapping_layers", None) == 0 and "z_dim" in values:
        values["w_dim"] = values["z_dim"]  # w is z itself
    if getattr(preset, "channels", None) is not None and preset.img_resolution != data.resolution:
        raise ConfigError(
            f"preset {config.preset} is for {preset.img_resolution} pixels, the data has {data.resolution}"
        )
    if config.fp16_res and hasattr(preset, "num_fp16_res"):
        values |= {"num_fp16_res": config.fp16_res, "conv_clamp": CONV_CLAMP}
    return dataclasses.replace(preset, **values)


def _field(preset: Any, name: str, title: str) -> str:
    """The field of a preset that an option sets."""
    field = "coarse_z_dim" if name == "z_dim" and isinstance(preset, LAPGANConfig) else name
    if field not in {item.name for item in dataclasses.fields(preset)}:
        option = "--" + name.replace("_", "-")
        raise ConfigError(f"preset {title} has no {name}; leave out {option}")
    return field


def _is_critic(discriminator: Any) -> bool:
    return isinstance(getattr(discriminator, "config", None), AutoencoderCriticConfig)


def _check_fit(config: TrainConfig, generator_config: Any) -> None:
    """Refuse options that the small networks have no use for."""
    unused: dict[str, bool] = {}
    if isinstance(generator_config, (DCGANConfig, LAPGANConfig, AutoencoderConfig)):
        unused = {
            "--freeze-mapping": config.freeze_mapping,
            "--warm-start": config.warm_start != "none",
            "--anchor": bool(config.anchor),
            "--pl-every": bool(config.pl_every),
        }
    if isinstance(generator_config, (LAPGANConfig, AutoencoderConfig)):
        unused |= {
            "--augment": config.augment in ("ada", "fixed"),
            "--discriminator projected": config.discriminator == "projected",
            "--crop-d": bool(config.crop_d),
            "--bcr": bool(config.bcr),
            f"--objective {config.objective}": objective_of(config).critic == "energy",
        }
    own_critic = config.discriminator == "projected" or objective_of(config).critic == "energy"
    if not isinstance(generator_config, DCGANConfig) or own_critic or config.init:
        unused |= {"--spectral-norm": config.spectral_norm, "--minibatch-std": config.minibatch_std}
    given = [name for name, is_given in unused.items() if is_given]
    if given:
        raise ConfigError(f"preset {config.preset} has no use for {', '.join(given)}; leave it out")


def _from_checkpoint(config: TrainConfig, data: ImageDataset) -> tuple[Any, Any, Alignment]:
    given = ["--" + name.replace("_", "-") for name in ARCHITECTURE if getattr(config, name) is not None]
    if given:
        raise ConfigError(f"--init brings its own architecture; leave out {', '.join(given)}")
    checkpoint = load_checkpoint(config.init)
    generator, discriminator = checkpoint.generator, checkpoint.discriminator
    if generator.img_resolution < data.resolution:
        generator, discriminator = grow(generator, data.resolution, config.grow_channels), None
    for name, theirs in (("img_resolution", data.resolution), ("img_channels", data.channels), ("c_dim", data.c_dim)):
        if getattr(generator, name) != theirs:
            raise TrainingError(
                f"{config.init}: its {name} is {getattr(generator, name)}, the data's {theirs}; "
                "transfer learning needs the same (see --resolution and --labels)"
            )
    return generator, discriminator if config.discriminator == "stylegan2" else None, checkpoint.meta.alignment


def _new_discriminator(config: TrainConfig, generator: Any) -> nn.Module | None:
    small = _small_discriminator(config, generator.config)
    if small is not None or isinstance(generator.config, AutoencoderConfig):
        return None if small is None else build_network(small)
    if config.discriminator == "projected":
        return ProjectedDiscriminator(load_efficientnet(), side=config.projected_side, c_dim=generator.c_dim)
    of_generator = generator.config
    values = {
        name: getattr(of_generator, name)
        for name in ("c_dim", "img_resolution", "img_channels", "channel_base", "channel_max", "channels")
        if hasattr(of_generator, name)
    }
    if isinstance(of_generator, StyleGAN3Config):
        values["channels"] = None  # the generator's are a layer, not a resolution
        if of_generator.use_radial_filters:
            # Config R doubles the feature maps of the generator alone (StyleGAN3, section 3.2).
            values |= {name: max(values[name] // 2, 1) for name in ("channel_base", "channel_max")}
    if isinstance(of_generator, StyleGAN1Config):
        return build_network(StyleGAN1DiscriminatorConfig(**values, blur_filter=of_generator.blur_filter))
    if config.fp16_res:
        values |= {"num_fp16_res": config.fp16_res, "conv_clamp": CONV_CLAMP}
    return build_network(StyleGAN2DiscriminatorConfig(**values))


def _small_discriminator(config: TrainConfig, of_generator: Any) -> Any:
    """The config of an autoencoder critic, or of the discriminator of a small network; None: neither."""
    sizes = {"img_resolution": of_generator.img_resolution, "img_channels": of_generator.img_channels}
    objective = objective_of(config)
    if objective.critic == "energy":
        base = getattr(of_generator, "channel_base", 2048)
        width = min(max(base // of_generator.img_resolution, 8), 64)
        code = AutoencoderCriticConfig.code if config.critic_code is None else config.critic_code
        power = {"ebgan": 2, "began": 1}[config.objective] if config.critic_power is None else config.critic_power
        return AutoencoderCriticConfig(**sizes, width=width, code=code, power=power)
    if isinstance(of_generator, DCGANConfig) and config.discriminator != "projected":
        widths = {"channel_base": of_generator.channel_base, "channel_max": of_generator.channel_max}
        slopes = objective.settings.penalty is not None or objective.pairs or bool(config.r1_gamma)
        return DCGANDiscriminatorConfig(
            **sizes,
            **widths,
            batch_norm=not (slopes or config.spectral_norm),
            spectral_norm=config.spectral_norm,
            minibatch_std=config.minibatch_std,
        )
    if isinstance(of_generator, LAPGANConfig):
        return LAPGANDiscriminatorConfig(**dataclasses.asdict(of_generator))
    return None


def freeze_discriminator(discriminator: Any, num_resolutions: int) -> None:
    """Keep the layers of D at its `num_resolutions` highest resolutions as they are (Freeze-D, Mo et al. 2020)."""
    if not num_resolutions:
        return
    resolutions = getattr(getattr(discriminator, "config", None), "block_resolutions", None)
    if resolutions is None or num_resolutions >= len(resolutions):
        most = "no" if resolutions is None else f"at most {len(resolutions) - 1}"
        raise ConfigError(f"freeze_d is {num_resolutions}; this discriminator has {most} resolutions to freeze")
    for resolution in resolutions[::-1][:num_resolutions]:
        getattr(discriminator, f"b{resolution}").requires_grad_(False)
