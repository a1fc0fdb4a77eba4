"""NVIDIA's TensorFlow pickles: StyleGAN2 (all its configs with modulated convolutions), read without TensorFlow."""

import math
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan_core.checkpoints.assemble import Checkpoint
from stylegan_core.checkpoints.foreign import Weights, finish
from stylegan_core.checkpoints.rebuild import as_array
from stylegan_core.checkpoints.shapes import channel_rule, mapping_fields, shape_of
from stylegan_core.checkpoints.unpickle import Record
from stylegan_core.errors import CheckpointError
from stylegan_core.networks.configs import StyleGAN2Config, StyleGAN2DiscriminatorConfig, resolutions_up_to

NETWORK_CLASSES = ("dnnlib.tflib.network.Network", "tfutil.Network")
MAX_DEPTH = 4
Rename = tuple[str, str, Callable[[np.ndarray, re.Match[str]], np.ndarray]]


def _same(value: np.ndarray, match: re.Match[str]) -> np.ndarray:
    return value


def _dense(value: np.ndarray, match: re.Match[str]) -> np.ndarray:
    return value.T  # [in, out] -> [out, in]


def _conv(value: np.ndarray, match: re.Match[str]) -> np.ndarray:
    return value.transpose(3, 2, 0, 1)  # [k, k, in, out] -> [out, in, k, k]


def _conv_up(value: np.ndarray, match: re.Match[str]) -> np.ndarray:
    # Their upsampling convolution correlates, ours (a transposed convolution) convolves: flip the kernel.
    return value[::-1, ::-1].transpose(3, 2, 0, 1)


def _plus_one(value: np.ndarray, match: re.Match[str]) -> np.ndarray:
    return value + 1  # they add the one when they use it


def _image(value: np.ndarray, match: re.Match[str]) -> np.ndarray:
    return value.reshape(value.shape[-2:])


def _label_concat(value: np.ndarray, match: re.Match[str]) -> np.ndarray:
    return value.T * math.sqrt(value.shape[0])  # undo the equalised learning rate that ours applies


_LAYER = r"(?P<r>\d+)x(?P=r)/"
GENERATOR_NAMES: list[Rename] = [
    (r"dlatent_avg", "mapping.w_avg", _same),
    (r"mapping/Dense(\d+)/weight", r"mapping.fc\1.weight", _dense),
    (r"mapping/Dense(\d+)/bias", r"mapping.fc\1.bias", _same),
    (r"mapping/LabelConcat/weight", "mapping.embed.weight", _label_concat),
    (r"mapping/LabelEmbed/weight", "mapping.embed.weight", _dense),
    (r"mapping/LabelEmbed/bias", "mapping.embed.bias", _same),
    (r"synthesis/4x4/Const/const", "synthesis.b4.const", lambda value, match: value[0]),
]
for _theirs, _ours, _weight in (
    ("Conv0_up", "conv0", _conv_up),
    ("Conv1", "conv1", _conv),
    ("Conv", "conv1", _conv),
    ("ToRGB", "torgb", _conv),
):
    GENERATOR_NAMES += [
        (rf"synthesis/{_LAYER}{_theirs}/weight", rf"synthesis.b\g<r>.{_ours}.weight", _weight),
        (rf"synthesis/{_LAYER}{_theirs}/bias", rf"synthesis.b\g<r>.{_ours}.bias", _same),
        (rf"synthesis/{_LAYER}{_theirs}/mod_weight", rf"synthesis.b\g<r>.{_ours}.affine.weight", _dense),
        (rf"synthesis/{_LAYER}{_theirs}/mod_bias", rf"synthesis.b\g<r>.{_ours}.affine.bias", _plus_one),
        (
            rf"synthesis/{_LAYER}{_theirs}/noise_strength",
            rf"synthesis.b\g<r>.{_ours}.noise_strength",
            lambda value, match: value.reshape(()),
        ),
    ]
GENERATOR_NAMES.append((rf"synthesis/{_LAYER}Skip/weight", r"synthesis.b\g<r>.skip.weight", _conv_up))

DISCRIMINATOR_NAMES: list[Rename] = [
    (r"4x4/Dense0/weight", "b4.fc.weight", _dense),
    (r"4x4/Dense0/bias", "b4.fc.bias", _same),
    (r"Output/weight", "b4.out.weight", _dense),
    (r"Output/bias", "b4.out.bias", _same),
    (r"4x4/Conv/weight", "b4.conv.weight", _conv),
    (r"4x4/Conv/bias", "b4.conv.bias", _same),
    (rf"{_LAYER}Skip/weight", r"b\g<r>.skip.weight", _conv),
]
for _theirs, _ours in (("FromRGB", "fromrgb"), ("Conv0", "conv0"), ("Conv1_down", "conv1")):
    DISCRIMINATOR_NAMES += [
        (rf"{_LAYER}{_theirs}/weight", rf"b\g<r>.{_ours}.weight", _conv),
        (rf"{_LAYER}{_theirs}/bias", rf"b\g<r>.{_ours}.bias", _same),
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
    weights = _generator(variables, options(generator))
    critic = None
    if discriminator is not None:
        theirs = collect(discriminator)
        if "Output/weight" in theirs and not any(name.startswith("mapping/") for name in theirs):
            critic = _discriminator(theirs, options(discriminator))
    return finish(path, "nvidia-tensorflow", weights, critic)


def options(network: Record) -> dict[str, Any]:
    """Return the static keyword arguments a TensorFlow network was made with."""
    state = network.state if isinstance(network.state, dict) else {}
    kwargs = state.get("static_kwargs")
    values = kwargs.items if isinstance(kwargs, Record) else kwargs
    return dict(values) if isinstance(values, dict) else {}


def collect(network: Record, depth: int = 0) -> dict[str, np.ndarray]:
    """Return a TensorFlow network's variables by name, those of its components under `component/`."""
    state = network.state
    if not isinstance(state, dict) or depth > MAX_DEPTH:
        raise CheckpointError("a TensorFlow network without a readable state")
    found: dict[str, np.ndarray] = {}
    variables = state.get("variables")
    for entry in variables if isinstance(variables, list) else []:
        if not isinstance(entry, (tuple, list)) or len(entry) != 2 or not isinstance(entry[0], str):
            raise CheckpointError("a TensorFlow network whose variables are not (name, value) pairs")
        value = as_array(entry[1])
        if value is not None:
            found[entry[0]] = value
    components = state.get("components")
    nested = components.items if isinstance(components, Record) else components
    for name in ("mapping", "synthesis"):
        child = nested.get(name) if isinstance(nested, dict) else None
        if isinstance(child, Record):
            found |= {f"{name}/{key}": value for key, value in collect(child, depth + 1).items()}
    return found


def rename(variables: Mapping[str, np.ndarray], names: list[Rename]) -> dict[str, Tensor]:
    """Return the variables that `names` knows, under our names and in our layout."""
    state = {}
    for theirs, value in variables.items():
        for pattern, ours, change in names:
            match = re.fullmatch(pattern, theirs)
            if match:
                try:
                    changed = np.array(change(value, match), dtype=np.float32)
                except (ValueError, IndexError):
                    raise CheckpointError(f"{theirs} has shape {list(value.shape)}, which no StyleGAN has") from None
                state[match.expand(ours)] = torch.from_numpy(changed)
                break
    return state


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
        match = re.fullmatch(r"synthesis/noise(\d+)", name)
        if match:
            index = int(match[1])  # 4x4 has one noise input, every other resolution two
            layer = "conv0" if index % 2 else "conv1"
            state[f"synthesis.b{4 << ((index + 1) // 2)}.{layer}.noise_const"] = torch.from_numpy(
                _image(value, match).copy()
            )
    joint = "mapping/LabelConcat/weight" in variables
    if joint:
        state["mapping.embed.bias"] = torch.zeros([state["mapping.embed.weight"].shape[0]])
    resolution = max(int(m[1]) for name in state if (m := re.match(r"synthesis\.b(\d+)\.conv1\.weight", name)))
    resolutions = resolutions_up_to(resolution)
    skips = "synthesis.b4.torgb.weight" in state
    channels = tuple(shape_of(state, f"synthesis.b{r}.conv1.weight", 4)[0] for r in resolutions)
    about = {"mapping.fc0": {"bias_gain": kwargs.get("mapping_lrmul", 0.01)}}
    config = StyleGAN2Config(
        w_dim=shape_of(state, "synthesis.b4.conv1.affine.weight", 2)[1],
        img_resolution=resolution,
        img_channels=shape_of(state, f"synthesis.b{resolution}.torgb.weight", 4)[0],
        **channel_rule(channels),
        architecture="skip" if skips else "resnet" if "synthesis.b8.skip.weight" in state else "orig",
        use_noise="synthesis.b4.conv1.noise_strength" in state,
        resample_filter=_taps(kwargs),
        joint_normalization=joint,
        **mapping_fields(state, about),
    )
    return Weights(config, state)


def _without_lod(name: str, largest: int) -> str:
    """Name the image layer of configs B to D, which number them by level of detail, as the others do."""
    match = re.fullmatch(r"synthesis/ToRGB_lod0/(\w+)", name)
    return name if match is None else f"synthesis/{largest}x{largest}/ToRGB/{match[1]}"


def _taps(kwargs: Mapping[str, Any]) -> tuple[float, ...]:
    taps = kwargs.get("resample_kernel", [1, 3, 3, 1])
    if (
        not isinstance(taps, (list, tuple))
        or not all(isinstance(t, (int, float)) for t in taps)
        or not 0 < len(taps) < 64
    ):
        raise CheckpointError(f"the resample_kernel is {str(taps)[:60]}; a list of numbers is expected")
    return tuple(taps)


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
        resample_filter=_taps(kwargs),
        mbstd_group_size=int(kwargs.get("mbstd_group_size", 4)),
        mbstd_num_channels=seen - base,
    )
    return Weights(config, state)
