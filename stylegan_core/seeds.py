"""Latents and random streams from integer seeds."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from stylegan_core.errors import ConfigError


def latents_from_seeds(seeds: Sequence[int], z_dim: int) -> Tensor:
    """Draw z [N, z_dim] ~ N(0, I), one row a seed, the same row whatever its neighbours.

    Rows are `numpy.random.RandomState(seed).randn(z_dim)`, so seeds mean what they mean in NVIDIA's tools."""
    rows = [np.random.RandomState(seed).randn(z_dim) for seed in seeds]
    return torch.from_numpy(np.stack(rows)).to(torch.float32)


def generator_for(seed: int, index: int = 0) -> torch.Generator:
    """Make an independent random stream on the CPU for item `index` of a run with `seed`."""
    mixed = np.random.SeedSequence([seed & 0xFFFFFFFF, index]).generate_state(2, np.uint32)
    return torch.Generator().manual_seed(int(mixed[0]) << 16 ^ int(mixed[1]))


def parse_seeds(text: str, limit: int = 100_000) -> list[int]:
    """Read `0-15,20,99` as a list of seeds; raises `ConfigError`."""
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()):
            raise ConfigError(f"seeds '{text}' not understood; expected numbers and ranges such as 0-15,20")
        span = range(int(first), int(last if dash else first) + 1)
        if len(span) + len(seeds) > limit:
            raise ConfigError(f"seeds '{text}' are more than {limit:,}; ask for fewer at a time")
        seeds.extend(span)
    if not seeds or max(seeds) >= 2**32:
        raise ConfigError(f"seeds '{text}' not understood; expected numbers from 0 to {2**32 - 1}")
    return seeds
