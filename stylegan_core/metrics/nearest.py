"""Nearest training images of samples: does a generator repeat what it was shown?"""

from dataclasses import dataclass

import torch
from torch import Tensor

from stylegan_core.errors import ConfigError

CLOSE = 0.05  # share of training images whose nearest other is as near: what "as near as two of them" means
_BLOCK = 1024


@dataclass(frozen=True)
class Neighbours:
    """The nearest training images of samples, in a feature space."""

    indices: Tensor  # [M, k], nearest first
    distances: Tensor  # [M, k], Euclidean
    threshold: float  # nearer than this are only 5 % of training images to their nearest other
    share: float  # of samples that are nearer to a training image: 0.05 where nothing is memorised, 1 where all is


def find_neighbours(fake: Tensor, real: Tensor, k: int = 3) -> Neighbours:
    """Find the `k` nearest of the training images' features [N, D] for each sample's [M, D]."""
    if len(real) <= max(k, 1):
        raise ConfigError(f"{k} nearest images need more than {k} training images, not {len(real)}")
    fake, real = fake.double(), real.double()
    found = [torch.cdist(part, real).topk(k, dim=1, largest=False) for part in fake.split(_BLOCK)]
    distances = torch.cat([part.values for part in found])
    own = torch.cat([torch.cdist(part, real).kthvalue(2, dim=1).values for part in real.split(_BLOCK)])
    threshold = float(torch.quantile(own, CLOSE))
    share = float((distances[:, 0] < threshold).double().mean())
    return Neighbours(torch.cat([part.indices for part in found]), distances, threshold, share)
