"""Directions from the principal components of W (GANSpace; Härkönen et al. 2020)."""

import torch
from torch import Tensor

from editing.discover.sefa import fix_signs


def principal_components(w: Tensor, num: int) -> tuple[Tensor, Tensor]:
    """Return `num` unit components [num, w_dim] of codes w [N, w_dim], and the standard deviations along them [num].

    Exact (an eigendecomposition of the covariance in float64), in falling order; signs as in `fix_signs`."""
    centred = w.double() - w.double().mean(dim=0)
    values, vectors = torch.linalg.eigh(centred.T @ centred / max(len(w) - 1, 1))  # ascending
    components = fix_signs(vectors.T.flip(0)[:num])
    return components.float(), values.flip(0)[:num].clamp_min(0).sqrt().float()
