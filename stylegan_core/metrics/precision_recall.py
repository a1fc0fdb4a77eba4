"""Improved precision and recall (Kynkäänniemi et al. 2019): fidelity and coverage, told apart."""

import torch
from torch import Tensor

from stylegan_core.errors import ConfigError

_BLOCK = 1024  # rows of the distance matrix at a time


def precision_recall(real: Tensor, fake: Tensor, k: int = 3) -> tuple[float, float]:
    """Precision: the share of fakes [M, D] inside the manifold of reals [N, D]; recall: the reverse.

    A manifold is the union of balls around samples that reach to their k-th nearest neighbour."""
    if min(len(real), len(fake)) <= k:
        raise ConfigError(f"k={k} neighbours need more than {k} samples a side, not {len(real)} and {len(fake)}")
    return _share_inside(fake, real, k), _share_inside(real, fake, k)


def _share_inside(points: Tensor, manifold: Tensor, k: int) -> float:
    points, manifold = points.double(), manifold.double()
    # The nearest of k + 1 is the sample itself.
    radii = torch.cat([torch.cdist(part, manifold).kthvalue(k + 1, dim=1).values for part in manifold.split(_BLOCK)])
    inside = [(torch.cdist(part, manifold) <= radii).any(1) for part in points.split(_BLOCK)]
    return float(torch.cat(inside).double().mean())
