"""Growing a trained generator: to more feature maps, and to a higher resolution."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from stylegan_core.errors import ConfigError
from stylegan_core.networks.build import GeneratorNetwork, build_network
from stylegan_core.networks.configs import StyleGAN2Config


def grow(generator: GeneratorNetwork, resolution: int, num_channels: int | None = None) -> Any:
    """Return a StyleGAN2 with skip connections of `resolution` pixels that draws what `generator` draws, enlarged.

    Its new layers are random, but their share of the image is zero at first; ws gain two layers a resolution. The new
    resolutions have `num_channels` feature maps (None: as the generator's own rule goes on)."""
    config = _growable(generator, resolution)
    grown = dataclasses.replace(config, img_resolution=resolution, channels=None)
    channels = [config.channels_at(r) for r in config.block_resolutions]
    channels += [num_channels or grown.channels_at(r) for r in grown.block_resolutions[len(channels) :]]
    return widen(generator, channels)


@torch.no_grad()
def widen(generator: GeneratorNetwork, channels: Sequence[int]) -> Any:
    """Return a StyleGAN2 with skip connections that draws what `generator` draws, with `channels` feature maps.

    `channels` has one number a resolution from 4 px up, none below the generator's own; more of them than it has
    make it larger. The new maps are random, and what looks at them starts at zero (Net2Net, Chen et al. 2016)."""
    resolution = 4 * 2 ** (len(channels) - 1)
    config = _growable(generator, resolution)
    old = [config.channels_at(r) for r in config.block_resolutions]
    if len(channels) < len(old) or any(new < now for new, now in zip(channels, old, strict=False)):
        raise ConfigError(f"channels {list(channels)} are fewer than the generator's {old}; give as many or more")
    larger: Any = build_network(dataclasses.replace(config, img_resolution=resolution, channels=tuple(channels)))
    given, state = generator.state_dict(), larger.state_dict()
    for name, tensor in state.items():
        if name in given:
            state[name] = _widened(name, given[name], tensor)
        elif name.endswith("torgb.weight"):
            state[name] = torch.zeros_like(tensor)
    larger.load_state_dict(state)
    return larger


def _widened(name: str, old: Tensor, new: Tensor) -> Tensor:
    """Put `old` into the first entries of `new` so that the layer does to the first maps what it did."""
    if old.shape == new.shape:
        return old
    grown = new * old.std() if name.endswith("weight") else new.clone()
    if name.endswith("affine.bias"):
        grown.fill_(float(old.mean()))
    if old.ndim == 4 and "affine" not in name:
        grown[: old.shape[0], old.shape[1] :] = 0  # the first maps do not look at the new ones
        if "torgb" in name:  # its gain is 1 / sqrt(maps)
            old = old * math.sqrt(new.shape[1] / old.shape[1])
    grown[tuple(slice(0, size) for size in old.shape)] = old
    return grown


def _growable(generator: GeneratorNetwork, resolution: int) -> StyleGAN2Config:
    config = generator.config
    if not isinstance(config, StyleGAN2Config) or config.architecture != "skip":
        raise ConfigError(
            f"a generator of {generator.img_resolution} pixels cannot grow to {resolution}: only StyleGAN2 with skip "
            "connections can; train at its own --resolution"
        )
    return config
