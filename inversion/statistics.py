"""The spread of W, which sets the scale of steps, jitter and regularisers."""

from typing import Any

import torch
from torch import Tensor

from stylegan_core.seeds import generator_for

NUM_SAMPLES = 4096
FLOOR = 1e-3  # of the mean deviation: no dimension counts as fixed


def class_labels(generator: Any, num: int, device: torch.device) -> Tensor | None:
    """Return one-hot labels [num, c_dim] that go round the classes, or None for an unconditional generator."""
    if not generator.c_dim:
        return None
    return torch.nn.functional.one_hot(torch.arange(num, device=device) % generator.c_dim, generator.c_dim).float()


def w_statistics(generator: Any, seed: int = 0, num: int = NUM_SAMPLES) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of W, [w_dim] each, over `num` samples (of all classes in turn)."""
    device = generator.w_avg.device
    z = torch.randn(num, generator.z_dim, generator=generator_for(seed)).to(device)
    with torch.no_grad():
        w = generator.mapping(z, class_labels(generator, num, device))[:, 0]
    deviation = w.std(dim=0)
    return w.mean(dim=0), deviation.clamp_min(FLOOR * float(deviation.mean()) + 1e-8)
