"""The three small networks that judge faces: expression, identity, age and gender.

Architectures of @vladmandic/face-api (MIT); `same` is TensorFlow's SAME padding."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from inversion.faces.attributes import EXPRESSIONS, PROBABILITY, YEARS
from stylegan_core.assets import asset_path
from stylegan_core.networks.protocol import Alignment

MEAN_RGB = (122.782, 117.001, 104.298)
FACE_REGION = (0.252, 0.3142, 0.748, 0.8102)  # left, top, right, bottom in units of the FFHQ quad
EYE_TO_MOUTH = 1 / 3.6  # in units of the FFHQ quad's side, where the face's height sets that side

Weights = dict[str, Tensor]
Region = tuple[float, float, float, float]  # left, top, right, bottom


@dataclass(frozen=True)
class Judge:
    """One attribute of a face as a number."""

    score: Callable[[Tensor, Alignment], Tensor]  # aligned faces [N, 3, R, R] in [-1, 1] -> [N]
    unit: str  # of the number: probability or years
    tolerance: float  # a difference that does not count
    clear: float  # a difference that anybody sees


def expression_probabilities(faces: Tensor, alignment: Alignment) -> Tensor:
    """Return probabilities [N, 7] in the order of `EXPRESSIONS` for aligned faces [N, 3, R, R] in [-1, 1]."""
    weights = load_weights("face_expression_model", faces.device)
    return dense_features(judge_crop(faces, alignment, 112) / 255, weights).softmax(dim=1)


def dense_features(x: Tensor, weights: Weights) -> Tensor:
    """Run the expression and the landmark network up to their last layer, on [N, 3, 112, 112]."""
    for index in range(4):
        x = _dense_block(x, weights, f"dense{index}")
    pooled = F.avg_pool2d(x, 7, 2).flatten(1)
    return pooled @ weights["fc/weights"] + weights["fc/bias"]


def identity_descriptor(faces: Tensor, alignment: Alignment) -> Tensor:
    """Return dlib-style descriptors [N, 128] of aligned faces [N, 3, R, R] in [-1, 1].

    The Euclidean distance of two is about .25 for one person's photos and .67 for two people's."""
    weights = load_weights("face_recognition_model", faces.device)
    x = judge_crop(faces, alignment, 150) / 256
    x = F.relu(_scaled_conv(x, weights, "conv32_down", stride=2, padding=0))
    x = F.max_pool2d(x, 3, 2)
    for name in ("conv32_1", "conv32_2", "conv32_3", "conv64_down", "conv64_1", "conv64_2", "conv64_3", "conv128_down",
                 "conv128_1", "conv128_2", "conv256_down", "conv256_1", "conv256_2", "conv256_down_out"):  # fmt: skip
        x = _residual_block(x, weights, name)
    return x.mean(dim=(2, 3)) @ weights["fc"]


def identity_distance(faces: Tensor, others: Tensor, alignment: Alignment) -> Tensor:
    """Return the Euclidean distance [N] of the identity descriptors of two batches of aligned faces."""
    return (identity_descriptor(faces, alignment) - identity_descriptor(others, alignment)).norm(dim=1)


def age_and_gender(faces: Tensor, alignment: Alignment) -> tuple[Tensor, Tensor]:
    """Return ages [N] in years and probabilities [N] of `male` for aligned faces [N, 3, R, R] in [-1, 1]."""
    weights = load_weights("age_gender_model", faces.device)
    x = judge_crop(faces, alignment, 112) / 255
    x = F.relu(_same(x, weights["entry_flow/conv_in/filters"], weights["entry_flow/conv_in/bias"], stride=2))
    x = _reduction_block(x, weights, "entry_flow/reduction_block_0", activate_first=False)
    x = _reduction_block(x, weights, "entry_flow/reduction_block_1")
    for index in range(2):
        y = x
        for part in range(3):
            y = _separable(F.relu(y), weights, f"middle_flow/main_block_{index}/separable_conv{part}")
        x = x + y
    x = _reduction_block(x, weights, "exit_flow/reduction_block")
    x = F.relu(_separable(x, weights, "exit_flow/separable_conv"))
    pooled = F.avg_pool2d(x, 7, 2).flatten(1)
    age = (pooled @ weights["fc/age/weights"] + weights["fc/age/bias"]).flatten()
    gender = (pooled @ weights["fc/gender/weights"] + weights["fc/gender/bias"]).softmax(dim=1)
    return age, gender[:, 0]


def _expression(index: int) -> Judge:
    return Judge(lambda faces, alignment: expression_probabilities(faces, alignment)[:, index], PROBABILITY, 0.05, 0.5)


JUDGES: dict[str, Judge] = {
    **{name: _expression(index) for index, name in enumerate(EXPRESSIONS)},
    "age": Judge(lambda faces, alignment: age_and_gender(faces, alignment)[0], YEARS, 2.0, 10.0),
    "gender": Judge(lambda faces, alignment: age_and_gender(faces, alignment)[1], PROBABILITY, 0.05, 0.5),  # of male
}


def judge_all(faces: Tensor, alignment: Alignment) -> Tensor:
    """Return every judge's number [N, len(JUDGES)], columns in the order of `JUDGES`, each network run once."""
    age, gender = age_and_gender(faces, alignment)
    return torch.cat([expression_probabilities(faces, alignment), age[:, None], gender[:, None]], dim=1)


def judge_crop(faces: Tensor, alignment: Alignment, size: int) -> Tensor:
    """Cut the judges' region out of aligned faces [N, 3, R, R] in [-1, 1]: [N, 3, size, size], 0..255 less the mean."""
    resolution = faces.shape[-1]
    left, top, right, bottom = (math.floor(edge * resolution + 1e-6) for edge in judge_region(alignment))
    crop = faces[:, :, max(top, 0) : bottom, max(left, 0) : right]
    crop = F.interpolate(crop, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    return network_input(crop)


def network_input(crops: Tensor) -> Tensor:
    """Return crops [N, 3, r, r] in [-1, 1] as the networks take them: 0..255 less the mean."""
    return crops.clamp(-1, 1) * 127.5 + 127.5 - torch.tensor(MEAN_RGB, device=crops.device)[:, None, None]


def judge_region(alignment: Alignment, region: Region = FACE_REGION) -> Region:
    """Return a region (left, top, right, bottom) of the FFHQ quad in units of a face aligned by `alignment`."""
    left, top, right, bottom = region
    centre = 0.5 + alignment.crop_shift * EYE_TO_MOUTH
    vertical = [0.5 + (edge - centre) / alignment.crop_scale for edge in (top, bottom)]
    horizontal = [0.5 + (edge - 0.5) / alignment.crop_scale for edge in (left, right)]
    return horizontal[0], vertical[0], horizontal[1], vertical[1]


@lru_cache(maxsize=8)
def load_weights(name: str, device: torch.device) -> Weights:
    """Load a network of the assets in 32 bit."""
    state = load_file(asset_path(f"{name}.safetensors"), device=str(device))
    return {key: value.float() for key, value in state.items()}


def _same(x: Tensor, filters: Tensor, bias: Tensor | None, stride: int, groups: int = 1) -> Tensor:
    x = _pad_same(x, filters.shape[-1], stride)
    return F.conv2d(x, filters, bias, stride=stride, groups=groups)


def _pad_same(x: Tensor, kernel: int, stride: int, value: float = 0.0) -> Tensor:
    """Pad as TensorFlow's SAME does: the odd pixel goes right and below."""
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads, value=value)


def _separable(x: Tensor, weights: Weights, name: str, stride: int = 1) -> Tensor:
    x = _same(x, weights[f"{name}/depthwise_filter"], None, stride, groups=x.shape[1])
    return F.conv2d(x, weights[f"{name}/pointwise_filter"], weights[f"{name}/bias"])


def _dense_block(x: Tensor, weights: Weights, name: str) -> Tensor:
    if f"{name}/conv0/filters" in weights:
        a = F.relu(_same(x, weights[f"{name}/conv0/filters"], weights[f"{name}/conv0/bias"], stride=2))
    else:
        a = F.relu(_separable(x, weights, f"{name}/conv0", stride=2))
    b = _separable(a, weights, f"{name}/conv1")
    c = _separable(F.relu(a + b), weights, f"{name}/conv2")
    d = _separable(F.relu(a + b + c), weights, f"{name}/conv3")
    return F.relu(a + b + c + d)


def _scaled_conv(x: Tensor, weights: Weights, name: str, stride: int = 1, padding: int = 1) -> Tensor:
    x = F.conv2d(x, weights[f"{name}/conv/filters"], weights[f"{name}/conv/bias"], stride=stride, padding=padding)
    scale, shift = weights[f"{name}/scale/weights"], weights[f"{name}/scale/biases"]
    return x * scale[:, None, None] + shift[:, None, None]


def _residual_block(x: Tensor, weights: Weights, name: str) -> Tensor:
    down = "_down" in name
    y = F.relu(_scaled_conv(x, weights, f"{name}/conv1", stride=2 if down else 1, padding=0 if down else 1))
    y = _scaled_conv(y, weights, f"{name}/conv2")
    shortcut = F.avg_pool2d(x, 2) if down else x
    height, width = (max(y.shape[axis], shortcut.shape[axis]) for axis in (2, 3))
    pad_to = (0, width - shortcut.shape[3], 0, height - shortcut.shape[2])
    shortcut = F.pad(shortcut, (*pad_to, 0, y.shape[1] - shortcut.shape[1]))
    y = F.pad(y, (0, width - y.shape[3], 0, height - y.shape[2]))
    return F.relu(y + shortcut)


def _reduction_block(x: Tensor, weights: Weights, name: str, activate_first: bool = True) -> Tensor:
    y = _separable(F.relu(x) if activate_first else x, weights, f"{name}/separable_conv0")
    y = _separable(F.relu(y), weights, f"{name}/separable_conv1")
    y = F.max_pool2d(_pad_same(y, 3, 2, value=float("-inf")), 3, 2)
    shortcut = weights[f"{name}/expansion_conv/filters"], weights[f"{name}/expansion_conv/bias"]
    return y + _same(x, *shortcut, stride=2)
