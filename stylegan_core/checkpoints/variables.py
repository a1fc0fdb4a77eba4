"""TensorFlow variables: collected from a network's record, and renamed with their layout changed to ours."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan_core.checkpoints.rebuild import as_array
from stylegan_core.checkpoints.unpickle import Record
from stylegan_core.errors import CheckpointError

MAX_DEPTH = 4
LAYER = r"(?P<r>\d+)x(?P=r)/"
Rename = tuple[str, str, Callable[[np.ndarray, re.Match[str]], np.ndarray]]


def same(value: np.ndarray, match: re.Match[str]) -> np.ndarray:
    """Take the value as it is."""
    return value


def dense_kernel(value: np.ndarray, match: re.Match[str]) -> np.ndarray:
    """Turn [in, out] into [out, in]."""
    return value.T


def conv_kernel(value: np.ndarray, match: re.Match[str]) -> np.ndarray:
    """Turn [k, k, in, out] into [out, in, k, k]."""
    return value.transpose(3, 2, 0, 1)


def flipped_kernel(value: np.ndarray, match: re.Match[str]) -> np.ndarray:
    """Turn [k, k, in, out] into [out, in, k, k], mirrored: they correlate where ours convolves."""
    return value[::-1, ::-1].transpose(3, 2, 0, 1)


def label_concat(value: np.ndarray, match: re.Match[str]) -> np.ndarray:
    """Turn [c_dim, features] into [features, c_dim], undoing the learning-rate scale that our layer applies."""
    return value.T * math.sqrt(value.shape[0])


def last_image(value: np.ndarray) -> np.ndarray:
    """Return a noise input [1, 1, H, W] as [H, W]."""
    if value.ndim < 2 or value.size != value.shape[-1] * value.shape[-2]:
        raise CheckpointError(f"a noise input has shape {list(value.shape)}; [1, 1, H, W] is expected")
    return np.array(value.reshape(value.shape[-2:]), dtype=np.float32)


def float_option(kwargs: Mapping[str, Any], name: str, default: float) -> float:
    """Return a network's numeric option."""
    array = as_array(kwargs.get(name, default))
    if array is None or array.size != 1:
        raise CheckpointError(f"the option {name} is no number")
    return float(array.item())


def filter_option(kwargs: Mapping[str, Any], name: str, default: tuple[float, ...]) -> tuple[float, ...]:
    """Return the taps of a network's filter option; none (an empty list) is a single tap."""
    taps = kwargs.get(name, default) or [1]
    if not isinstance(taps, (list, tuple)) or len(taps) > 64 or not all(isinstance(t, (int, float)) for t in taps):
        raise CheckpointError(f"the option {name} is {str(taps)[:60]}; a list of numbers is expected")
    return tuple(taps)


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
