"""Bias, activation, gain and clamp in one step."""

import math
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

LRELU_SLOPE = 0.2
SQRT2 = math.sqrt(2)

# name -> (function, gain that keeps unit variance); the names are those of the ADA-PyTorch checkpoints
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {
    "linear": (lambda x: x, 1.0),
    "relu": (F.relu, SQRT2),
    "lrelu": (lambda x: F.leaky_relu(x, LRELU_SLOPE), SQRT2),
    "tanh": (lambda x: x.tanh(), 1.0),
    "sigmoid": (lambda x: x.sigmoid(), 1.0),
    "elu": (F.elu, 1.0),
    "selu": (F.selu, 1.0),
    "softplus": (F.softplus, 1.0),
    "swish": (lambda x: x.sigmoid() * x, SQRT2),
}


def bias_act(
    x: Tensor,
    bias: Tensor | None = None,
    activation: str = "linear",
    gain: float = 1.0,
    clamp: float | None = None,
) -> Tensor:
    """Return `clamp(act(x + bias) * gain)` for x [N, C] or [N, C, H, W] and bias [C].

    `gain` comes on top of the activation's own (sqrt 2 for lrelu); `clamp` is the largest
    magnitude let through, after both gains."""
    function, own_gain = ACTIVATIONS[activation]
    if bias is not None:
        x = x + bias.reshape([1, -1] + [1] * (x.ndim - 2))
    x = function(x)
    if own_gain * gain != 1:
        x = x * (own_gain * gain)
    return x if clamp is None else x.clamp(-clamp, clamp)
