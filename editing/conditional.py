"""Edits that leave other attributes alone: their directions are taken out of the step."""

from collections.abc import Sequence

import torch
from torch import Tensor

from stylegan_core.errors import ConfigError

LEFT = 1e-3  # share of a direction's length below which nothing of it counts as left


def without(vector: Tensor, others: Sequence[Tensor], name: str = "the direction") -> Tensor:
    """Return `vector` [1, L, w_dim] less its parts along `others` (each [1, 1 or num_ws, w_dim]).

    The projection onto the complement of their span (InterFaceGAN, Shen et al. 2020, section 3.3, for several at
    once), so no order matters. W directions stay in W where all are. Raises `ConfigError` if nothing is left."""
    if not others:
        return vector
    num_layers = max(item.shape[1] for item in (vector, *others))
    shape = (1, num_layers, vector.shape[2])
    flat = vector.expand(shape).reshape(-1).double()
    span = torch.stack([item.to(vector).expand(shape).reshape(-1).double() for item in others], dim=1)
    basis, sizes, _ = torch.linalg.svd(span, full_matrices=False)
    basis = basis[:, sizes > sizes[0] * 1e-9]
    left = flat - basis @ (basis.T @ flat)
    if left.norm() <= LEFT * flat.norm():
        raise ConfigError(f"nothing of {name} is left without the attributes to keep; keep fewer")
    return left.reshape(shape).to(vector.dtype)
