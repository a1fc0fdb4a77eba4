"""Optimisers of a run, which parameters they move, and WGAN's clipping."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from stylegan_core.ops.activation import GAINS
from stylegan_core.training.settings import CLIP, StepSettings


def make_optimizer(
    parameters: list[nn.Parameter], kind: str, lr: float, settings: StepSettings, every: int
) -> torch.optim.Optimizer:
    """Make the optimiser; with a lazy regulariser `every` so many steps Adam is corrected for the extra step."""
    if kind == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=lr)
    if kind == "sgd":
        return torch.optim.SGD(parameters, lr=lr, momentum=settings.beta1)
    ratio = every / (every + 1) if every else 1.0  # StyleGAN2, appendix B, lazy regularisation
    betas = (settings.beta1**ratio, settings.beta2**ratio)
    return torch.optim.Adam(parameters, lr=lr * ratio, betas=betas, eps=1e-8)


@torch.no_grad()
def clip_weights(critic: nn.Module, limit: float | None) -> None:
    """Clamp a critic's weights and biases, as they act, to [-limit, limit] (WGAN, algorithm 1).

    A layer of equalised learning rate multiplies what it stores by a gain, so what it stores is clamped to limit over
    gain. `limit` None: 0.01, the paper's, for ordinary layers, and for those of equalised learning rate one standard
    deviation of their initial weights, since 0.01 leaves a deep critic of unit-gain layers constant."""
    for module in critic.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                bound = _bound(module, name, limit)
                parameter.clamp_(-bound, bound)


def _bound(layer: Any, name: str, limit: float | None) -> float:
    """The bound of what `layer` stores under `name`."""
    if not hasattr(layer, "weight_gain"):
        return CLIP if limit is None else limit
    activation_gain = GAINS[str(layer.activation)]
    bias_gain = float(getattr(layer, "bias_gain", activation_gain))
    if limit is None:
        return activation_gain / bias_gain  # 1 over the learning-rate multiplier
    return limit / (float(layer.weight_gain) if name == "weight" else bias_gain)


@contextmanager
def only(trained: list[nn.Parameter], fixed: list[nn.Parameter]) -> Iterator[None]:
    """Let gradients be taken by the first parameters and not by the second."""
    for parameters, wanted in ((fixed, False), (trained, True)):
        for parameter in parameters:
            parameter.requires_grad_(wanted)
    try:
        yield
    finally:
        for parameter in (*fixed, *trained):
            parameter.requires_grad_(True)
