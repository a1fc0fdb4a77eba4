"""StyleGAN1 in NVIDIA's TensorFlow pickles: its variables under our names."""

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan_core.checkpoints.foreign import Weights
from stylegan_core.checkpoints.shapes import channel_rule, mapping_fields, shape_of
from stylegan_core.checkpoints.variables import (
    LAYER,
    Rename,
    conv_kernel,
    dense_kernel,
    filter_option,
    float_option,
    label_concat,
    last_image,
    rename,
    same,
)
from stylegan_core.errors import CheckpointError
from stylegan_core.networks.configs import StyleGAN1Config, StyleGAN1DiscriminatorConfig

FUSED_FROM = 128  # px: with fused_scale=auto, their upsampling kernels are used flipped from here on


def _hidden_bias(value: np.ndarray, match: re.Match[str]) -> np.ndarray:
    # Theirs is lrelu(sqrt2 W x + b), ours sqrt2 lrelu(W x + b).
    return value / math.sqrt(2)


MAPPING: list[Rename] = [
    (r"dlatent_avg", "mapping.w_avg", same),
    (r"mapping/Dense(\d+)/weight", r"mapping.fc\1.weight", dense_kernel),
    (r"mapping/Dense(\d+)/bias", r"mapping.fc\1.bias", _hidden_bias),
    (r"mapping/LabelConcat/weight", "mapping.embed.weight", label_concat),
]
SYNTHESIS: list[Rename] = [(r"synthesis/4x4/Const/const", "synthesis.b4.const", lambda value, match: value[0])]
for _theirs, _ours, _kernel in (
    ("Const", "conv0", same),
    ("Dense", "conv0", dense_kernel),
    ("Conv", "conv1", conv_kernel),
    ("Conv0_up", "conv0", conv_kernel),
    ("Conv1", "conv1", conv_kernel),
):
    SYNTHESIS += [
        (rf"synthesis/{LAYER}{_theirs}/weight", rf"synthesis.b\g<r>.{_ours}.weight", _kernel),
        (rf"synthesis/{LAYER}{_theirs}/bias", rf"synthesis.b\g<r>.{_ours}.bias", same),
        (rf"synthesis/{LAYER}{_theirs}/Noise/weight", rf"synthesis.b\g<r>.{_ours}.noise_strength", same),
        (rf"synthesis/{LAYER}{_theirs}/StyleMod/weight", rf"synthesis.b\g<r>.{_ours}.affine.weight", dense_kernel),
        (rf"synthesis/{LAYER}{_theirs}/StyleMod/bias", rf"synthesis.b\g<r>.{_ours}.affine.bias", same),
    ]
DISCRIMINATOR: list[Rename] = [
    (r"4x4/Conv/weight", "b4.conv.weight", conv_kernel),
    (r"4x4/Conv/bias", "b4.conv.bias", _hidden_bias),
    (r"4x4/Dense0/weight", "b4.fc.weight", dense_kernel),
    (r"4x4/Dense0/bias", "b4.fc.bias", _hidden_bias),
    (r"4x4/Dense1/weight", "b4.out.weight", dense_kernel),
    (r"4x4/Dense1/bias", "b4.out.bias", same),
]
for _theirs, _ours in (("Conv0", "conv0"), ("Conv1_down", "conv1")):
    DISCRIMINATOR += [
        (rf"{LAYER}{_theirs}/weight", rf"b\g<r>.{_ours}.weight", conv_kernel),
        (rf"{LAYER}{_theirs}/bias", rf"b\g<r>.{_ours}.bias", _hidden_bias),
    ]


def is_stylegan1(variables: Mapping[str, np.ndarray]) -> bool:
    """Tell whether a generator's variables are those of StyleGAN1 (AdaIN, images by level of detail)."""
    return "synthesis/ToRGB_lod0/weight" in variables and "synthesis/4x4/Conv/mod_weight" not in variables


def stylegan1_generator(variables: Mapping[str, np.ndarray], kwargs: Mapping[str, Any]) -> Weights:
    """Return config and weights of a StyleGAN1 generator."""
    state = rename(variables, [*MAPPING, *SYNTHESIS])
    resolutions = _resolutions(state, r"synthesis\.b(\d+)\.conv1\.weight")
    last = resolutions[-1]
    for name, value in variables.items():
        if match := re.fullmatch(r"synthesis/noise(\d{1,2})", name):
            index = int(match[1])  # two a resolution
            state[f"synthesis.b{4 << index // 2}.conv{index % 2}.noise_const"] = torch.from_numpy(last_image(value))
    _add_images(state, variables, "synthesis/ToRGB_lod", "synthesis.b{}.torgb", last, same)
    _flip_fused(state, resolutions, kwargs.get("fused_scale", "auto"))
    if "mapping.embed.weight" in state:
        state["mapping.embed.bias"] = torch.zeros([state["mapping.embed.weight"].shape[0]])
    lod = variables.get("synthesis/lod", np.zeros([]))
    state["synthesis.lod"] = torch.tensor(float(lod.reshape(-1)[0]) if lod.size else 0.0)
    about = {"mapping.fc0": {"bias_gain": float_option(kwargs, "mapping_lrmul", 0.01)}}
    fields = mapping_fields(state, about) | {"w_avg_beta": float_option(kwargs, "dlatent_avg_beta", 0.995)}
    config = StyleGAN1Config(
        w_dim=shape_of(state, "synthesis.b4.conv1.affine.weight", 2)[1],
        img_resolution=last,
        img_channels=shape_of(state, f"synthesis.b{last}.torgb.weight", 4)[0],
        **channel_rule(tuple(shape_of(state, f"synthesis.b{r}.conv1.weight", 4)[0] for r in resolutions)),
        const_input="synthesis.b4.const" in state,
        use_noise="synthesis.b4.conv1.noise_strength" in state,
        pixel_norm=bool(kwargs.get("use_pixel_norm", False)),
        blur_filter=filter_option(kwargs, "blur_filter", (1, 2, 1)),
        **fields,
    )
    return Weights(config, state)


def stylegan1_discriminator(variables: Mapping[str, np.ndarray], kwargs: Mapping[str, Any]) -> Weights:
    """Return config and weights of a StyleGAN1 discriminator."""
    state = rename(variables, DISCRIMINATOR)
    inner = _resolutions(state, r"b(\d+)\.conv0\.weight")
    base, seen = shape_of(state, "b4.conv.weight", 4)[:2]
    hidden, num_outputs = shape_of(state, "b4.fc.weight", 2)[0], shape_of(state, "b4.out.weight", 2)[0]
    _add_images(state, variables, "FromRGB_lod", "b{}.fromrgb", inner[-1], _hidden_bias)
    lod = variables.get("lod", np.zeros([]))
    state["lod"] = torch.tensor(float(lod.reshape(-1)[0]) if lod.size else 0.0)
    config = StyleGAN1DiscriminatorConfig(
        c_dim=num_outputs if kwargs.get("label_size", 0) else 0,
        img_resolution=inner[-1],
        img_channels=shape_of(state, f"b{inner[-1]}.fromrgb.weight", 4)[1],
        **channel_rule((base, *(shape_of(state, f"b{r}.conv0.weight", 4)[0] for r in inner))),
        blur_filter=filter_option(kwargs, "blur_filter", (1, 2, 1)),
        fc_features=hidden if hidden != base else None,
        mbstd_group_size=int(float_option(kwargs, "mbstd_group_size", 4)),
        mbstd_num_channels=seen - base,
    )
    return Weights(config, state)


def _resolutions(state: Mapping[str, Tensor], pattern: str) -> list[int]:
    found = sorted(int(match[1]) for name in state if (match := re.fullmatch(pattern, name)) and len(match[1]) < 6)
    if not found or found != [found[0] << i for i in range(len(found))] or found[0] > 8:
        raise CheckpointError(f"seems to be a StyleGAN1 network, but has layers at {found or 'no resolution'}")
    return found


def _add_images(
    state: dict[str, Tensor], variables: Mapping[str, np.ndarray], theirs: str, ours: str, last: int, bias: Any
) -> None:
    """Rename the image layers, which are numbered by level of detail: 0 is the full resolution."""
    names: list[Rename] = [
        (rf"{theirs}{lod}/{kind}", f"{ours.format(last >> lod)}.{kind}", conv_kernel if kind == "weight" else bias)
        for lod in range(last.bit_length() - 2)
        for kind in ("weight", "bias")
    ]
    state |= rename(variables, names)


def _flip_fused(state: dict[str, Tensor], resolutions: list[int], fused: Any) -> None:
    """Flip the kernels that they use in a transposed convolution, which mirrors them."""
    if fused not in (True, False, "auto"):
        raise CheckpointError(f"fused_scale is {str(fused)[:40]!r}; auto, true or false is expected")
    for resolution in resolutions[1:]:
        if fused is True or (fused == "auto" and resolution >= FUSED_FROM):
            name = f"synthesis.b{resolution}.conv0.weight"
            if name in state:
                state[name] = state[name].flip(2, 3)
