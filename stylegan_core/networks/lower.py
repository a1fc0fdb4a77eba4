"""The lower layers of a generator: the same codes, drawn smaller and faster."""

import copy
from typing import Any

from torch import nn

from stylegan_core.errors import ConfigError
from stylegan_core.networks.configs import StyleGAN2Config
from stylegan_core.networks.generator import StyleGenerator
from stylegan_core.networks.protocol import Generator


def at_resolution(generator: Generator, resolution: int) -> Generator:
    """Return `generator` drawing `resolution` pixels by its layers up to there; 0 or its own returns itself.

    It takes the same codes (those of the left-out layers do nothing) and shares the weights and the fingerprint. A
    StyleGAN2 with skip connections has an image at each resolution; any other raises `ConfigError`."""
    if resolution in (0, generator.img_resolution):
        return generator
    drawn = drawn_resolutions(generator)
    if len(drawn) == 1:
        raise ConfigError(f"--resolution {resolution}: only a StyleGAN2 with skip connections draws smaller images too")
    if resolution not in drawn:
        offered = ", ".join(map(str, drawn))
        raise ConfigError(f"--resolution {resolution}: this generator draws {offered} pixels")
    assert isinstance(generator, StyleGenerator)
    synthesis = generator.synthesis
    kept = [r for r in synthesis.block_resolutions if r <= resolution]
    lower = _with_modules(synthesis, {f"b{r}": getattr(synthesis, f"b{r}") for r in kept})
    lower.block_resolutions = kept
    smaller = _with_modules(generator, dict(generator.named_children()) | {"synthesis": lower})
    smaller.img_resolution = resolution
    return smaller


def drawn_resolutions(generator: Generator) -> list[int]:
    """Return the sizes in pixels that `at_resolution` can draw, its own last."""
    config = getattr(generator, "config", None)
    if not isinstance(config, StyleGAN2Config) or config.architecture != "skip":
        return [generator.img_resolution]
    assert isinstance(generator, StyleGenerator)
    return list(generator.synthesis.block_resolutions)


def _with_modules(module: nn.Module, children: dict[str, nn.Module]) -> Any:
    """Return a shallow copy of `module` with other children."""
    other = copy.copy(module)
    other.__dict__["_modules"] = dict(children)
    return other
