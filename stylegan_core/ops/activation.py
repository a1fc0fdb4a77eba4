"""Bias, activation, gain and clamp in as few passes over memory as plain PyTorch allows."""

import math

import torch.nn.functional as F
from torch import Tensor

LRELU_SLOPE = 0.2
SQRT2 = math.sqrt(2)
GAINS = {"linear": 1.0, "lrelu": SQRT2}  # keep unit variance through the activation (He et al. 2015)


def activate_(x: Tensor, activation: str, clamp: float | None = None) -> Tensor:
    """Apply the activation to x [N, C, ...] in place and limit its magnitude to `clamp`.

    There is no gain here: for a > 0, lrelu(a x) = a lrelu(x), so the callers put GAINS into weights and biases."""
    if activation == "lrelu":
        x = F.leaky_relu_(x, LRELU_SLOPE)
    return x if clamp is None else x.clamp(-clamp, clamp)
