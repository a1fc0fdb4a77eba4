"""Checkpoints of rosinality's stylegan2-pytorch, and of pSp and e4e, whose decoder is that network."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan_core.checkpoints.assemble import Checkpoint
from stylegan_core.checkpoints.foreign import Weights, finish
from stylegan_core.checkpoints.shapes import channel_rule, filter_taps, shape_of
from stylegan_core.errors import CheckpointError
from stylegan_core.networks.build import GeneratorNetwork
from stylegan_core.networks.configs import StyleGAN2Config, StyleGAN2DiscriminatorConfig


@dataclass(frozen=True)
class Renaming:
    """A tensor under our name and theirs; theirs has `before` and `after` more axes of length one."""

    ours: str
    theirs: str
    before: int = 0
    after: int = 0

    def to_theirs(self, tensor: Tensor) -> Tensor:
        """Return our tensor in their shape."""
        return tensor.reshape((1,) * self.before + tuple(tensor.shape) + (1,) * self.after).clone()

    def to_ours(self, tensor: Tensor) -> Tensor:
        """Return their tensor in our shape."""
        shape = tuple(tensor.shape)
        inner = shape[self.before : len(shape) - self.after]
        if shape != (1,) * self.before + inner + (1,) * self.after:
            raise CheckpointError(f"{self.theirs} has shape {list(shape)}, which no rosinality checkpoint has")
        return tensor.reshape(inner)


def generator_pairs(config: StyleGAN2Config) -> list[Renaming]:
    """List the generator's tensors under both names."""
    pairs = [Renaming("synthesis.b4.const", "input.input", before=1)]
    for i in range(config.mapping_layers):
        pairs += [Renaming(f"mapping.fc{i}.{kind}", f"style.{i + 1}.{kind}") for kind in ("weight", "bias")]
    for i, resolution in enumerate(config.block_resolutions):
        block = f"synthesis.b{resolution}"
        layers = {"conv0": f"convs.{2 * i - 2}", "conv1": f"convs.{2 * i - 1}"} if i else {"conv1": "conv1"}
        for ours, theirs in layers.items():
            pairs += _styled(f"{block}.{ours}", f"{theirs}.conv")
            noise = 2 * i - (ours == "conv0")
            pairs += [
                Renaming(f"{block}.{ours}.bias", f"{theirs}.activate.bias"),
                Renaming(f"{block}.{ours}.noise_strength", f"{theirs}.noise.weight", before=1),
                Renaming(f"{block}.{ours}.noise_const", f"noises.noise_{noise}", before=2),
            ]
        theirs = f"to_rgbs.{i - 1}" if i else "to_rgb1"
        pairs += [*_styled(f"{block}.torgb", f"{theirs}.conv")]
        pairs += [Renaming(f"{block}.torgb.bias", f"{theirs}.bias", before=1, after=2)]
    return pairs


def _styled(ours: str, theirs: str) -> list[Renaming]:
    affine = [Renaming(f"{ours}.affine.{kind}", f"{theirs}.modulation.{kind}") for kind in ("weight", "bias")]
    return [Renaming(f"{ours}.weight", f"{theirs}.weight", before=1), *affine]


def discriminator_pairs(config: StyleGAN2DiscriminatorConfig) -> list[Renaming]:
    """List the discriminator's tensors under both names."""
    first = f"b{config.img_resolution}.fromrgb"
    pairs = [Renaming(f"{first}.weight", "convs.0.0.weight"), Renaming(f"{first}.bias", "convs.0.1.bias")]
    for i, resolution in enumerate(config.block_resolutions[:0:-1], start=1):
        pairs += [
            Renaming(f"b{resolution}.conv0.weight", f"convs.{i}.conv1.0.weight"),
            Renaming(f"b{resolution}.conv0.bias", f"convs.{i}.conv1.1.bias"),
            Renaming(f"b{resolution}.conv1.weight", f"convs.{i}.conv2.1.weight"),
            Renaming(f"b{resolution}.conv1.bias", f"convs.{i}.conv2.2.bias"),
            Renaming(f"b{resolution}.skip.weight", f"convs.{i}.skip.1.weight"),
        ]
    pairs += [Renaming("b4.conv.weight", "final_conv.0.weight"), Renaming("b4.conv.bias", "final_conv.1.bias")]
    for i, ours in enumerate(("fc", "out")):
        pairs += [Renaming(f"b4.{ours}.{kind}", f"final_linear.{i}.{kind}") for kind in ("weight", "bias")]
    return pairs


def is_rosinality(state: Mapping[str, Any]) -> bool:
    """Tell whether a state dict has rosinality's names for a StyleGAN2 generator."""
    return "style.1.weight" in state and "conv1.conv.modulation.weight" in state


def load_rosinality(path: Path, content: Mapping[str, Any], state: Mapping[str, Tensor]) -> Checkpoint:
    """Build the generator `state` (and `d`, where it is there) of a rosinality file with the given `content`."""
    generator = generator_weights(state, content.get("latent_avg"))
    d_state, discriminator = content.get("d"), None
    if isinstance(d_state, Mapping) and "final_linear.1.weight" in d_state:
        discriminator = _discriminator({k: v for k, v in d_state.items() if isinstance(v, Tensor)})
    return finish(path, "rosinality", generator, discriminator)


def decoder_state(content: Any) -> dict[str, Tensor] | None:
    """Return the decoder's state dict in a pSp or e4e file, or None."""
    state = content.get("state_dict") if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping):
        return None
    found = {k.removeprefix("decoder."): v for k, v in state.items() if str(k).startswith("decoder.")}
    return found if is_rosinality(found) else None


def load_psp(path: Path, content: Mapping[str, Any], state: Mapping[str, Tensor]) -> Checkpoint:
    """Build the decoder of a pSp, e4e or ReStyle file, which remembers the file where there is an encoder in it."""
    checkpoint = finish(path, "psp", generator_weights(state, content.get("latent_avg")))
    if any(str(name).startswith("encoder.") for name in content["state_dict"]):
        meta = replace(checkpoint.meta, encoder=str(path.resolve()))
        checkpoint.generator.meta = meta
        return replace(checkpoint, meta=meta)
    return checkpoint


def generator_weights(state: Mapping[str, Tensor], latent_avg: Any = None) -> Weights:
    """Rename a rosinality generator; its widths come from the shapes."""
    num_layers = len([name for name in state if name.startswith("style.") and name.endswith(".weight")])
    num_blocks = len([name for name in state if name.startswith("to_rgbs.") and name.endswith(".conv.weight")])
    if not 1 <= num_blocks <= 9:
        raise CheckpointError(f"seems to be a rosinality generator, but has {num_blocks} to_rgbs layers")
    w_dim = shape_of(state, "conv1.conv.modulation.weight", 2)[1]
    names = ["conv1", *(f"convs.{2 * i + 1}" for i in range(num_blocks))]
    config = StyleGAN2Config(
        z_dim=shape_of(state, "style.1.weight", 2)[1],
        w_dim=w_dim,
        img_resolution=4 << num_blocks,
        img_channels=shape_of(state, "to_rgb1.conv.weight", 5)[1],
        mapping_layers=num_layers,
        layer_features=_hidden(state, w_dim, num_layers),
        **channel_rule(tuple(shape_of(state, f"{name}.conv.weight", 5)[1] for name in names)),
        resample_filter=filter_taps(state, "convs.0.conv.blur.kernel"),
    )
    pairs = generator_pairs(config)
    _check_names(state, pairs, allowed=("noises.", ".kernel"))
    renamed = {pair.ours: pair.to_ours(state[pair.theirs]) for pair in pairs if pair.theirs in state}
    average = _mean_latent(latent_avg, w_dim)
    return Weights(config, renamed if average is None else {**renamed, "mapping.w_avg": average})


def _hidden(state: Mapping[str, Tensor], w_dim: int, num_layers: int) -> int | None:
    width = shape_of(state, "style.1.weight", 2)[0]
    return width if num_layers > 1 and width != w_dim else None


def _discriminator(state: Mapping[str, Tensor]) -> Weights:
    num_blocks = len([name for name in state if name.endswith(".skip.1.weight")])
    inner = [shape_of(state, f"convs.{i}.conv1.0.weight", 4)[0] for i in range(num_blocks, 0, -1)]
    base, seen = shape_of(state, "final_conv.0.weight", 4)[:2]
    config = StyleGAN2DiscriminatorConfig(
        img_resolution=4 << num_blocks,
        img_channels=shape_of(state, "convs.0.0.weight", 4)[1],
        **channel_rule((base, *inner)),
        resample_filter=filter_taps(state, "convs.1.conv2.0.kernel"),
        mbstd_num_channels=seen - base,
    )
    pairs = discriminator_pairs(config)
    _check_names(state, pairs, allowed=(".kernel",))
    return Weights(config, {pair.ours: pair.to_ours(state[pair.theirs]) for pair in pairs})


def _check_names(state: Mapping[str, Tensor], pairs: list[Renaming], allowed: tuple[str, ...]) -> None:
    """Refuse a state dict that lacks one of `pairs`; noise inputs may be absent (older files)."""
    missing = [pair.theirs for pair in pairs if pair.theirs not in state and not pair.theirs.startswith(allowed)]
    known = {pair.theirs for pair in pairs}
    unexpected = [name for name in state if name not in known and not any(part in name for part in allowed)]
    if missing or unexpected:
        kind, names = ("missing", missing) if missing else ("unexpected", unexpected)
        raise CheckpointError(f"seems to be a rosinality network, but {len(names)} tensors are {kind}: {names[:4]}")


def _mean_latent(latent_avg: Any, w_dim: int) -> Tensor | None:
    """Return the mean of W from a file's `latent_avg` [w_dim] or one a layer [num_ws, w_dim]; None if there is none."""
    if not isinstance(latent_avg, Tensor):
        return None
    if latent_avg.numel() == 0 or latent_avg.shape[-1] != w_dim:
        raise CheckpointError(f"latent_avg has shape {list(latent_avg.shape)}; the generator's w_dim is {w_dim}")
    rows = latent_avg.float().reshape(-1, w_dim)
    return rows[0] if bool((rows == rows[0]).all()) else rows.mean(dim=0)


def to_rosinality(generator: GeneratorNetwork, discriminator: Any = None) -> dict[str, Any]:
    """Return what rosinality's code loads: `g_ema`, `latent_avg`, and `d` where a discriminator is given."""
    config = generator.config
    if not isinstance(config, StyleGAN2Config) or config.architecture != "skip" or config.c_dim:
        raise CheckpointError(
            "only unconditional StyleGAN2 generators with the skip architecture have a rosinality form"
        )
    state = dict(generator.state_dict())
    for resolution in config.block_resolutions:
        for name in ("conv1",) if resolution == 4 else ("conv0", "conv1"):
            layer = f"synthesis.b{resolution}.{name}"
            # Their layers always take noise: strength zero says that ours have none.
            state.setdefault(f"{layer}.noise_strength", torch.zeros([]))
            state.setdefault(f"{layer}.noise_const", torch.zeros([resolution, resolution]))
    theirs = {pair.theirs: pair.to_theirs(state[pair.ours]) for pair in generator_pairs(config)}
    kernel = filter_kernel(config.resample_filter) * 4
    for i in range(len(config.block_resolutions) - 1):
        theirs[f"convs.{2 * i}.conv.blur.kernel"] = kernel.clone()
        theirs[f"to_rgbs.{i}.upsample.kernel"] = kernel.clone()
    content: dict[str, Any] = {"g_ema": theirs, "latent_avg": generator.w_avg.clone()}
    if isinstance(getattr(discriminator, "config", None), StyleGAN2DiscriminatorConfig):
        content |= _discriminator_to_rosinality(discriminator)
    return content


def _discriminator_to_rosinality(discriminator: Any) -> dict[str, Any]:
    config, state = discriminator.config, discriminator.state_dict()
    if config.architecture != "resnet" or config.c_dim:
        return {}
    theirs = {pair.theirs: pair.to_theirs(state[pair.ours]) for pair in discriminator_pairs(config)}
    for i in range(1, len(config.block_resolutions)):
        theirs[f"convs.{i}.conv2.0.kernel"] = filter_kernel(config.resample_filter)
        theirs[f"convs.{i}.skip.0.kernel"] = filter_kernel(config.resample_filter)
    return {"d": theirs}


def filter_kernel(taps: tuple[float, ...]) -> Tensor:
    """Return the separable filter `taps` [K] as a kernel [K, K] that sums to one."""
    row = torch.tensor(taps, dtype=torch.float32)
    return torch.outer(row, row) / row.sum().square()
