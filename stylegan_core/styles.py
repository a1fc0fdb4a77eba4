"""Style space: what the layers that turn w into styles give out, channel by channel (StyleSpace, Wu et al. 2021)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stylegan_core.errors import ConfigError, LatentError
from stylegan_core.networks.protocol import Generator

Styles = Mapping[str, Tensor]  # a step in style space: [C] by the name of the layer that gives the styles

IMAGE_LAYER = "torgb"  # in the names of the layers that give the image: their channels are colours of the whole picture


def style_layers(generator: Generator) -> dict[str, Any]:
    """Return the layers that turn w into styles, by name: those called `affine`, whose bias is added to the styles.

    StyleGAN2 has one a convolution (the image's included), StyleGAN1 one a layer (scales, then shifts), StyleGAN3 also
    one for its input. Raises `ConfigError` for a generator that has none."""
    network = generator.synthesis
    named = network.named_modules() if isinstance(network, nn.Module) else ()
    found = {
        name: layer for name, layer in named if name.endswith("affine") and getattr(layer, "bias", None) is not None
    }
    if not found:
        raise ConfigError(f"{generator.meta.name} has no styles whose channels could be moved; move its codes instead")
    return found


def bias_steps(generator: Generator, styles: Styles) -> dict[str, Tensor]:
    """Return what is to be added to the biases, by parameter name, so that each code gets `styles` beside its own."""
    layers = style_layers(generator)
    return {f"{name}.bias": step.to(layers[name].bias) / layers[name].bias_gain for name, step in styles.items()}


def styles_up_to(generator: Generator, layer: str, styles: Styles) -> dict[str, Tensor]:
    """Return those of `styles` that a layer of `generator.feature_layers` depends on: its own, and those before it."""
    names = list(style_layers(generator))
    early = names[: names.index(f"{layer}.affine") + 1]
    return {name: step for name, step in styles.items() if name in early}


def style_deviations(generator: Generator, axes: Tensor) -> dict[str, Tensor]:
    """Return the standard deviation [C] of each style over W by layer; `axes` [K, w_dim] are W's principal axes, each a
    standard deviation long."""
    layers = style_layers(generator).items()
    with torch.no_grad():
        return {n: (axes.to(m.weight) @ m.weight.T * m.weight_gain).norm(dim=0).cpu() for n, m in layers}


def added(one: Styles, other: Styles, scale: float = 1.0) -> dict[str, Tensor]:
    """Return one + scale * other."""
    names = dict.fromkeys([*one, *other])
    parts = {name: [one.get(name), scale * other[name] if name in other else None] for name in names}
    return {name: torch.stack([p for p in pair if p is not None]).sum(dim=0) for name, pair in parts.items()}


def split_styles(styles: Tensor, layers: Sequence[tuple[str, int]]) -> dict[str, Tensor]:
    """Return styles [C], those of all `layers` (name, size) in a row, as a step in style space of the layers moved."""
    parts = styles.float().split([size for _, size in layers])
    return {name: part.clone() for (name, _), part in zip(layers, parts, strict=True) if bool(part.any())}


def check_styles(styles: Styles, generator: Generator) -> str:
    """Say which of `styles` does not fit a generator, as `b8.conv0.affine of 512 channels`; empty where all do."""
    if not styles:
        return ""
    layers = style_layers(generator)
    for name, step in styles.items():
        if name not in layers or step.shape != layers[name].bias.shape:
            return f"{name} of {step.numel()} channels"
    return ""


def unpack_styles(arrays: Mapping[str, NDArray[Any]], source: str) -> dict[str, Tensor]:
    """Return the arrays of an .npz that are called `style.LAYER`; raises `LatentError` for one that is no step."""
    styles = {}
    for name, array in arrays.items():
        if name.startswith("style."):
            if not np.issubdtype(array.dtype, np.floating) or array.ndim != 1 or not np.isfinite(array).all():
                raise LatentError(f"{source}: '{name}' is not a finite step [C] in style space; make the file again")
            styles[name.removeprefix("style.")] = torch.from_numpy(array.astype(np.float32))
    return styles
