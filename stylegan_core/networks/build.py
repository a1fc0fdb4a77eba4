"""From a config to the network it describes."""

from typing import Any

from torch import nn

from stylegan_core.errors import ConfigError
from stylegan_core.networks.autoencoder import AutoencoderCritic, AutoencoderGenerator
from stylegan_core.networks.configs import (
    StyleGAN1Config,
    StyleGAN1DiscriminatorConfig,
    StyleGAN2Config,
    StyleGAN2DiscriminatorConfig,
    StyleGAN3Config,
)
from stylegan_core.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from stylegan_core.networks.direct import DirectGenerator
from stylegan_core.networks.discriminators import StyleGAN2Discriminator
from stylegan_core.networks.generator import StyleGenerator
from stylegan_core.networks.lapgan import LAPGANDiscriminator, LAPGANGenerator
from stylegan_core.networks.progressive import StyleGAN1Discriminator
from stylegan_core.networks.small_configs import (
    AutoencoderConfig,
    AutoencoderCriticConfig,
    DCGANConfig,
    DCGANDiscriminatorConfig,
    LAPGANConfig,
    LAPGANDiscriminatorConfig,
)
from stylegan_core.networks.stylegan1 import StyleGAN1Generator
from stylegan_core.networks.stylegan2 import StyleGAN2Generator
from stylegan_core.networks.stylegan3 import StyleGAN3Generator

GeneratorNetwork = StyleGenerator | DirectGenerator  # a `Generator` that is a module with a `config`
NETWORKS: dict[type, Any] = {
    StyleGAN1Config: StyleGAN1Generator,
    StyleGAN2Config: StyleGAN2Generator,
    StyleGAN3Config: StyleGAN3Generator,
    StyleGAN1DiscriminatorConfig: StyleGAN1Discriminator,
    StyleGAN2DiscriminatorConfig: StyleGAN2Discriminator,
    DCGANConfig: DCGANGenerator,
    DCGANDiscriminatorConfig: DCGANDiscriminator,
    LAPGANConfig: LAPGANGenerator,
    LAPGANDiscriminatorConfig: LAPGANDiscriminator,
    AutoencoderConfig: AutoencoderGenerator,
    AutoencoderCriticConfig: AutoencoderCritic,
}


def build_network(config: Any) -> nn.Module:
    """Return the generator or discriminator that `config` describes, randomly initialised, in training mode."""
    kind = NETWORKS.get(type(config))
    if kind is None:
        raise ConfigError(f"no network is built from a {type(config).__name__}")
    network: nn.Module = kind(config)
    return network
