"""Growing a trained generator to a higher resolution."""

import dataclasses
from typing import Any

import torch

from stylegan_core.errors import ConfigError
from stylegan_core.networks.build import build_network
from stylegan_core.networks.configs import StyleGAN2Config


@torch.no_grad()
def grow(generator: Any, resolution: int, num_channels: int | None = None) -> Any:
    """Return a StyleGAN2 with skip connections of `resolution` pixels that draws what `generator` draws, enlarged.

    Its new layers are random, but their share of the image is zero at first; ws gain two layers a resolution. The new
    resolutions have `num_channels` feature maps (None: as the generator's own rule goes on)."""
    config = generator.config
    if not isinstance(config, StyleGAN2Config) or config.architecture != "skip":
        raise ConfigError(
            f"a generator of {generator.img_resolution} pixels cannot grow to {resolution}: only StyleGAN2 with skip "
            "connections can; train at its own --resolution"
        )
    grown = dataclasses.replace(config, img_resolution=resolution, channels=None)
    channels = [config.channels_at(r) for r in config.block_resolutions]
    new = grown.block_resolutions[len(channels) :]
    channels += [num_channels or grown.channels_at(r) for r in new]
    larger = build_network(dataclasses.replace(grown, channels=tuple(channels)))
    larger.load_state_dict(larger.state_dict() | generator.state_dict())
    for r in new:
        getattr(larger.synthesis, f"b{r}").torgb.weight.zero_()
    return larger
