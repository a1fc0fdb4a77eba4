"""NVIDIA's TensorFlow pickles, read without TensorFlow: StyleGAN2 here, StyleGAN1 in tensorflow1.py."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from stylegan_core.checkpoints.assemble import Checkpoint
from stylegan_core.checkpoints.foreign import Weights, finish
from stylegan_core.checkpoints.shapes import channel_rule, mapping_fields, shape_of
from stylegan_core.checkpoints.tensorflow1 import is_stylegan1, stylegan1_discriminator, stylegan1_generator
from stylegan_core.checkpoints.unpickle import Record
from stylegan_core.checkpoints.variables import (
    LAYER,
    Rename,
    collect,
    conv_kernel,
    dense_kernel,
    filter_option,
    flipped_kernel,
    float_option,
    label_concat,
    last_image,
    options,
    rename,
    same,
)
from stylegan_core.errors import CheckpointError
from stylegan_core.networks.configs import StyleGAN2Config, StyleGAN2DiscriminatorConfig, resolutions_up_to

NETWORK_CLASSES = ("dnnlib.tflib.network.Network", "tfutil.Network")


def _plus_one(value: np.ndarray, match: re.Match[str]) -> np.ndarray:
    return value + 1  # they add the one when they use it


GENERATOR_NAMES: list[Rename] = [
    (r"dlatent_avg", "mapping.w_avg", same),
    (r"mapping/Dense(\d+)/weight", r"mapping.fc\1.weight", dense_kernel),
    (r"mapping/Dense(\d+)/bias", r"mapping.fc\1.bias", same),
    (r"mapping/LabelConcat/weight", "mapping.embed.weight", label_concat),
    (r"mapping/LabelEmbed/weight", "mapping.embed.weight", dense_kernel),
    (r"mapping/LabelEmbed/bias", "mapping.embed.bias", same),
    (r"synthesis/4x4/Const/const", "synthesis.b4.const", lambda value, match: value[0]),
]
for _theirs, _ours, _weight in (
    ("Conv0_up", "conv0", flipped_kernel),
    ("Conv1", "conv1", conv_kernel),
    ("Conv", "conv1", conv_kernel),
    ("ToRGB", "torgb", conv_kernel),
):
    GENERATOR_NAMES += [
        (rf"synthesis/{LAYER}{_theirs}/weight", rf"synthesis.b\g<r>.{_ours}.weight", _weight),
        (rf"synthesis/{LAYER}{_theirs}/bias", rf"synthesis.b\g<r>.{_ours}.bias", same),
        (rf"synthesis/{LAYER}{_theirs}/mod_weight", rf"synthesis.b\g<r>.{_ours}.affine.weight", dense_kernel),
        (rf"synthesis/{LAYER}{_theirs}/mod_bias", rf"synthesis.b\g<r>.{_ours}.affine.bias", _plus_one),
        (
            rf"synthesis/{LAYER}{_theirs}/noise_strength",
            rf"synthesis.b\g<r>.{_ours}.noise_strength",
            lambda value, match: value.reshape(()),
        ),
    ]
GENERATOR_NAMES.append((rf"synthesis/{LAYER}Skip/weight", r"synthesis.b\g<r>.skip.weight", flipped_kernel))

DISCRIMINATOR_NAMES: list[Rename] = [
    (r"4x4/Dense0/weight", "b4.fc.weight", dense_kernel),
    (r"4x4/Dense0/bias", "b4.fc.bias", same),
    (r"Output/weight", "b4.out.weight", dense_kernel),
    (r"Output/bias", "b4.out.bias", same),
    (r"4x4/Conv/weight", "b4.conv.weight", conv_kernel),
    (r"4x4/Conv/bias", "b4.conv.bias", same),
    (rf"{LAYER}Skip/weight", r"b\g<r>.skip.weight", conv_kernel),
]
for _theirs, _ours in (("FromRGB", "fromrgb"), ("Conv0", "conv0"), ("Conv1_down", "conv1")):
    DISCRIMINATOR_NAMES += [
        (rf"{LAYER}{_theirs}/weight", rf"b\g<r>.{_ours}.weight", conv_kernel),
        (rf"{LAYER}{_theirs}/bias", rf"b\g<r>.{_ours}.bias", same),
    ]


def find_tensorflow(content: Any) -> tuple[Record, Record | None] | None:
    """Return (Gs, D) of a TensorFlow pickle: a tuple (G, D, Gs), or one network alone; None if it is none."""
    entries = list(content) if isinstance(content, (tuple, list)) else [content]
    networks = [entry for entry in entries if isinstance(entry, Record) and entry.name in NETWORK_CLASSES]
    if not networks or len(networks) != len(entries) or len(networks) > 3:
        return None
    return networks[-1], networks[1] if len(networks) == 3 else None


def load_tensorflow(path: Path, generator: Record, discriminator: Record | None) -> Checkpoint:
    """Build Gs (and D, where its architecture is known) of a TensorFlow pickle."""
    variables = collect(generator)
    if is_stylegan1(variables):
        weights = stylegan1_generator(variables, options(generator))
    else:
        weights = _generator(variables, options(generator))
    critic = None
    if discriminator is not None:
        theirs = collect(discriminator)
        if "Output/weight" in theirs and not any(name.startswith("mapping/") for name in theirs):
            critic = _discriminator(theirs, options(discriminator))
        elif "4x4/Dense1/weight" in theirs and "FromRGB_lod0/weight" in theirs:
            critic = stylegan1_discriminator(theirs, options(discriminator))
    return finish(path, "nvidia-tensorflow", weights, critic)


def _generator(variables: Mapping[str, np.ndarray], kwargs: Mapping[str, Any]) -> Weights:
    largest = max([int(m[1]) for name in variables if (m := re.match(r"synthesis/(\d+)x", name))], default=0)
    variables = {_without_lod(name, largest): value for name, value in variables.items()}
    state = rename(variables, GENERATOR_NAMES)
    if "synthesis.b4.conv1.affine.weight" not in state:
        raise CheckpointError(
            f"seems to be a TensorFlow network of {len(variables)} variables ({', '.join(list(variables)[:4])}, ...), "
            "but it is no StyleGAN2 generator: synthesis/4x4/Conv/mod_weight is missing"
        )
    for name, value in variables.items():
        if match := re.fullmatch(r"synthesis/noise(\d{1,2})", name):
            index = int(match[1])  # 4x4 has one noise input, every other resolution two
            layer = f"b{4 << (index + 1) // 2}.conv{(index + 1) % 2}"
            state[f"synthesis.{layer}.noise_const"] = torch.from_numpy(last_image(value))
    joint = "mapping/LabelConcat/weight" in variables
    if joint:
        state["mapping.embed.bias"] = torch.zeros([state["mapping.embed.weight"].shape[0]])
    resolution = max(int(m[1]) for name in state if (m := re.match(r"synthesis\.b(\d+)\.conv1\.weight", name)))
    resolutions = resolutions_up_to(resolution)
    skips = "synthesis.b4.torgb.weight" in state
    channels = tuple(shape_of(state, f"synthesis.b{r}.conv1.weight", 4)[0] for r in resolutions)
    about = {"mapping.fc0": {"bias_gain": float_option(kwargs, "mapping_lrmul", 0.01)}}
    config = StyleGAN2Config(
        w_dim=shape_of(state, "synthesis.b4.conv1.affine.weight", 2)[1],
        img_resolution=resolution,
        img_channels=shape_of(state, f"synthesis.b{resolution}.torgb.weight", 4)[0],
        **channel_rule(channels),
        architecture="skip" if skips else "resnet" if "synthesis.b8.skip.weight" in state else "orig",
        use_noise="synthesis.b4.conv1.noise_strength" in state,
        resample_filter=filter_option(kwargs, "resample_kernel", (1, 3, 3, 1)),
        joint_normalization=joint,
        **mapping_fields(state, about),
    )
    return Weights(config, state)


def _without_lod(name: str, largest: int) -> str:
    """Name the image layer of configs B to D, which number them by level of detail, as the others do."""
    match = re.fullmatch(r"synthesis/ToRGB_lod0/(\w+)", name)
    return name if match is None else f"synthesis/{largest}x{largest}/ToRGB/{match[1]}"


def _discriminator(variables: Mapping[str, np.ndarray], kwargs: Mapping[str, Any]) -> Weights:
    state = rename(variables, DISCRIMINATOR_NAMES)
    inner = {int(m[1]): t.shape[0] for name, t in state.items() if (m := re.fullmatch(r"b(\d+)\.conv0\.weight", name))}
    last = max(inner, default=0)
    base, seen = shape_of(state, "b4.conv.weight", 4)[:2]
    num_outputs = shape_of(state, "b4.out.weight", 2)[0]
    labels = kwargs.get("label_size", 0)
    config = StyleGAN2DiscriminatorConfig(
        c_dim=num_outputs if labels else 0,
        label_projection="direct" if labels else "embedding",
        img_resolution=last,
        img_channels=shape_of(state, f"b{last}.fromrgb.weight", 4)[1],
        **channel_rule((base, *(inner[r] for r in sorted(inner)))),
        architecture="resnet"
        if f"b{last}.skip.weight" in state
        else "skip"
        if "b4.fromrgb.weight" in state
        else "orig",
        resample_filter=filter_option(kwargs, "resample_kernel", (1, 3, 3, 1)),
        mbstd_group_size=int(float_option(kwargs, "mbstd_group_size", 4)),
        mbstd_num_channels=seen - base,
    )
    return Weights(config, state)
