"""The generator that is kept: an exponential average over the one that is trained."""

import torch
from torch import nn


def decay(batch: int, half_life_kimg: float, cur_nimg: int, rampup: float) -> float:
    """The factor of the old average for a step of `batch` images: half-life at most rampup * cur_nimg."""
    half_life = half_life_kimg * 1000
    if rampup > 0:
        half_life = min(half_life, cur_nimg * rampup)
    return float(0.5 ** (batch / max(half_life, 1e-8)))


@torch.no_grad()
def update(average: nn.Module, current: nn.Module, beta: float) -> None:
    """Move the parameters of `average` towards `current` by 1 - beta, in place, and copy the buffers."""
    for old, new in zip(average.parameters(), current.parameters(), strict=True):
        old.copy_(new.lerp(old, beta))
    for kept, given in zip(average.buffers(), current.buffers(), strict=True):
        kept.copy_(given)
