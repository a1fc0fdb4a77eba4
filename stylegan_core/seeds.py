"""Latents and random streams from integer seeds."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def latents_from_seeds(seeds: Sequence[int], z_dim: int) -> Tensor:
    """Draw z [N, z_dim] ~ N(0, I), one row a seed, the same row whatever its neighbours.

    Rows are `numpy.random.RandomState(seed).randn(z_dim)`, so seeds mean what they mean in NVIDIA's tools."""
    rows = [np.random.RandomState(seed).randn(z_dim) for seed in seeds]
    return torch.from_numpy(np.stack(rows)).to(torch.float32)


def generator_for(seed: int, index: int = 0) -> torch.Generator:
    """Make an independent random stream on the CPU for item `index` of a run with `seed`."""
    mixed = np.random.SeedSequence([seed & 0xFFFFFFFF, index]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(mixed[0]) << 16 ^ int(mixed[1]))
