"""From weights with ADA-PyTorch names (and what a pickle says of its layers) to the config that they fit."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from stylegan_core.checkpoints.rebuild import as_array
from stylegan_core.errors import CheckpointError
from stylegan_core.networks.configs import (
    StyleGAN2Config,
    StyleGAN2DiscriminatorConfig,
    StyleGAN3Config,
    resolutions_up_to,
)
from stylegan_core.networks.stylegan3 import plan_layers

Attributes = Mapping[str, Mapping[str, Any]]  # module name -> what its pickle says of it; may be empty
_DEFAULT_TAPS = (1, 3, 3, 1)


def stylegan2_config(state: Mapping[str, Tensor], about: Attributes) -> StyleGAN2Config:
    """Return the config of a StyleGAN2 generator; what shapes cannot tell comes from `about`, or is the default."""
    resolutions = block_resolutions(state, r"synthesis\.b(\d+)\.conv1\.weight")
    last = resolutions[-1]
    channels = tuple(shape_of(state, f"synthesis.b{r}.conv1.weight", 4)[0] for r in resolutions)
    skips = "synthesis.b4.torgb.weight" in state
    architecture = "skip" if skips else "resnet" if "synthesis.b8.skip.weight" in state else "orig"
    block = about.get("synthesis.b4.conv1", {})
    for name, module in about.items():
        expected = "lrelu" if re.search(r"\.(conv\d|fc\d+)$", name) else "linear"
        if module.get("activation", expected) != expected:
            raise CheckpointError(f"layer {name} has the activation {module['activation']!r}; {expected} is supported")
    return StyleGAN2Config(
        w_dim=shape_of(state, "synthesis.b4.conv1.affine.weight", 2)[1],
        img_resolution=last,
        img_channels=shape_of(state, f"synthesis.b{last}.torgb.weight", 4)[0],
        **channel_rule(channels),
        architecture=architecture,
        use_noise="synthesis.b4.conv1.noise_strength" in state,
        resample_filter=filter_taps(state, "synthesis.b8.conv0.resample_filter"),
        conv_clamp=block.get("conv_clamp"),
        num_fp16_res=sum(bool(about.get(f"synthesis.b{r}", {}).get("use_fp16")) for r in resolutions),
        **mapping_fields(state, about),
    )


def stylegan3_config(state: Mapping[str, Tensor], about: Attributes) -> StyleGAN3Config:
    """Return the config of a StyleGAN3 generator; its layers' names tell their sizes and widths."""
    found = [re.fullmatch(r"synthesis\.L(\d+)_(\d+)_(\d+)\.weight", name) for name in state]
    layers = sorted(tuple(int(text) for text in match.groups()) for match in found if match)
    if [index for index, _, _ in layers] != list(range(len(layers))) or len(layers) < 3:
        raise CheckpointError(f"the StyleGAN3 layers are numbered {[index for index, _, _ in layers]}")
    names = ["synthesis.L{}_{}_{}".format(*layer) for layer in layers]
    made = {**about.get("", {}).get("init", {}), **about.get("synthesis", {}).get("init", {})}
    given = {key: _number(made[key], key) for key in _SIGNAL_OPTIONS if key in made}
    inner = about.get(names[0], {})
    filters = [state[f"{name}.down_filter"] for name in names if f"{name}.down_filter" in state]
    up_taps = state[f"{names[0]}.up_filter"].shape[0] if f"{names[0]}.up_filter" in state else 0
    upsampling = int(given.get("lrelu_upsampling", 2))
    config = StyleGAN3Config(
        **mapping_fields(state, about),
        **given,
        w_dim=shape_of(state, f"{names[0]}.affine.weight", 2)[1],
        img_resolution=layers[-1][1],
        img_channels=shape_of(state, f"{names[-1]}.weight", 4)[0],
        num_layers=len(layers) - 1,
        conv_kernel=shape_of(state, f"{names[0]}.weight", 4)[2],
        use_radial_filters=any(taps.ndim == 2 for taps in filters),
        **({} if "filter_size" in given or not up_taps else {"filter_size": up_taps // upsampling}),
        conv_clamp=inner.get("conv_clamp", 256.0),
        magnitude_ema_beta=float(inner.get("magnitude_ema_beta", 0.999)),
        channels=tuple(width for _, _, width in layers[:-1]),
    )
    by_rule = replace(config, channels=None)
    if plan_layers(by_rule) == plan_layers(config):
        config = by_rule
    planned = [plan.size for plan in plan_layers(config)]
    if planned != [size for _, size, _ in layers]:
        raise CheckpointError(
            f"the StyleGAN3 layers have sides {[s for _, s, _ in layers]}, its options give {planned}"
        )
    return config


_SIGNAL_OPTIONS = (
    *("num_critical", "first_cutoff", "first_stopband", "last_stopband_rel", "margin_size", "output_scale"),
    *("num_fp16_res", "filter_size", "lrelu_upsampling", "channel_base", "channel_max"),
)


def _number(value: Any, name: str) -> Any:
    array = as_array(value)
    if array is None or array.size != 1:
        raise CheckpointError(f"{name} is no number")
    return array.item()


def mapping_fields(state: Mapping[str, Tensor], about: Attributes) -> dict[str, Any]:
    """Return the config fields of the mapping network: dims, depth, learning-rate multiplier."""
    num_layers = len([name for name in state if re.fullmatch(r"mapping\.fc\d+\.weight", name)])
    c_dim, embedded = 0, 0
    if "mapping.embed.weight" in state:
        embedded, c_dim = shape_of(state, "mapping.embed.weight", 2)
    hidden, first = shape_of(state, "mapping.fc0.weight", 2)
    w_dim = shape_of(state, f"mapping.fc{num_layers - 1}.weight", 2)[0]
    lr_multiplier, beta = about.get("mapping.fc0", {}).get("bias_gain"), about.get("mapping", {}).get("w_avg_beta")
    return {
        "z_dim": first - embedded,
        "c_dim": c_dim,
        "mapping_layers": num_layers,
        "mapping_lr_multiplier": float(lr_multiplier) if isinstance(lr_multiplier, (int, float)) else 0.01,
        "layer_features": hidden if num_layers > 1 and hidden != w_dim else None,
        "embed_features": embedded if c_dim and embedded != w_dim else None,
        "w_avg_beta": float(beta) if isinstance(beta, (int, float)) else 0.998,
    }


def discriminator_config(state: Mapping[str, Tensor], about: Attributes) -> StyleGAN2DiscriminatorConfig:
    """Return the config of a StyleGAN2 discriminator."""
    resolutions = [4, *block_resolutions(state, r"b(\d+)\.conv0\.weight", first=8)]
    last = resolutions[-1]
    base, seen = shape_of(state, "b4.conv.weight", 4)[:2]
    channels = (base, *(shape_of(state, f"b{r}.conv0.weight", 4)[0] for r in resolutions[1:]))
    resnet, skip = f"b{last}.skip.weight" in state, "b4.fromrgb.weight" in state
    labelled = "mapping.embed.weight" in state
    group_size = about.get("b4.mbstd", {}).get("group_size", 4)
    clamp = about.get(f"b{last}.conv0", {}).get("conv_clamp")
    return StyleGAN2DiscriminatorConfig(
        c_dim=shape_of(state, "mapping.embed.weight", 2)[1] if labelled else 0,
        img_resolution=last,
        img_channels=shape_of(state, f"b{last}.fromrgb.weight", 4)[1],
        **channel_rule(channels),
        architecture="resnet" if resnet else "skip" if skip else "orig",
        resample_filter=filter_taps(state, f"b{last}.conv1.resample_filter"),
        conv_clamp=clamp,
        num_fp16_res=sum(bool(about.get(f"b{r}", {}).get("use_fp16")) for r in resolutions),
        mapping_layers=len([name for name in state if re.fullmatch(r"mapping\.fc\d+\.weight", name)]) or 8,
        cmap_dim=shape_of(state, "b4.out.weight", 2)[0] if labelled else None,
        mbstd_group_size=1 << 30 if group_size is None else int(group_size),
        mbstd_num_channels=seen - base,
    )


def block_resolutions(state: Mapping[str, Tensor], pattern: str, first: int = 4) -> list[int]:
    """Return the resolutions of the layers whose names match `pattern`; they must double from `first` on."""
    found = sorted(int(match[1]) for name in state if (match := re.fullmatch(pattern, name)) and len(match[1]) < 6)
    expected = [r for r in resolutions_up_to(found[-1] if found else first) if r >= first]
    if not found or found != expected:
        raise CheckpointError(
            f"the weights have blocks at {found or 'no resolution'}; expected {first}, {2 * first}, ..."
        )
    return found


def channel_rule(channels: tuple[int, ...]) -> dict[str, Any]:
    """Return channel_base and channel_max where that rule gives `channels`, else the channels themselves."""
    top, last = max(channels), 4 << (len(channels) - 1)
    for i, resolution in enumerate(resolutions_up_to(last)):
        base = channels[i] * resolution
        if (channels[i] < top or resolution == last) and channels == tuple(
            max(1, min(base // r, top)) for r in resolutions_up_to(last)
        ):
            return {"channel_base": base, "channel_max": top}
    return {"channels": channels}


def filter_taps(state: Mapping[str, Tensor], name: str) -> tuple[float, ...]:
    """Return the taps of the stored resampling filter `name`, which must be separable; without one, [1, 3, 3, 1]."""
    stored = state.get(name)
    if stored is None or stored.ndim == 0:
        return _DEFAULT_TAPS
    taps = stored.double() if stored.ndim == 1 else stored.double().sum(dim=0)
    taps = taps / taps.sum()
    if stored.ndim == 2 and not torch.allclose(
        torch.outer(taps, taps), stored.double() / stored.double().sum(), atol=1e-6
    ):
        raise CheckpointError(f"the resampling filter {name} is not separable; such networks are not supported")
    default = torch.tensor(_DEFAULT_TAPS, dtype=torch.float64) / 8
    if taps.shape == default.shape and torch.allclose(taps, default, atol=1e-6):
        return _DEFAULT_TAPS
    return tuple(taps.tolist())


def shape_of(state: Mapping[str, Tensor], name: str, ndim: int) -> tuple[int, ...]:
    """Return the shape of the tensor `name`, which must be there and have `ndim` axes."""
    if name not in state:
        raise CheckpointError(
            f"{name} is missing; the file has {len(state)} tensors ({', '.join(list(state)[:4])}, ...)"
        )
    shape = tuple(state[name].shape)
    if len(shape) != ndim:
        raise CheckpointError(f"{name} has shape {list(shape)}; {ndim} axes are expected")
    return shape
