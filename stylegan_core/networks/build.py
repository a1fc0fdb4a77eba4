"""From a config to the network it describes."""

from typing import Any

from torch import nn

from stylegan_core.errors import ConfigError
from stylegan_core.networks.configs import StyleGAN2Config, StyleGAN2DiscriminatorConfig, StyleGAN3Config
from stylegan_core.networks.discriminators import StyleGAN2Discriminator
from stylegan_core.networks.stylegan2 import StyleGAN2Generator
from stylegan_core.networks.stylegan3 import StyleGAN3Generator

GENERATORS: dict[type, Any] = {StyleGAN2Config: StyleGAN2Generator, StyleGAN3Config: StyleGAN3Generator}
DISCRIMINATORS: dict[type, Any] = {StyleGAN2DiscriminatorConfig: StyleGAN2Discriminator}


def build_network(config: Any) -> nn.Module:
    """Return the generator or discriminator that `config` describes, randomly initialised, in training mode."""
    kind = GENERATORS.get(type(config)) or DISCRIMINATORS.get(type(config))
    if kind is None:
        raise ConfigError(f"no network is built from a {type(config).__name__}")
    network: nn.Module = kind(config)
    return network
