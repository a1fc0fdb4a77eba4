"""Move an expression from a pair of codes, or from a direction, onto another code."""

from collections.abc import Sequence

import torch
from torch import Tensor


def transfer_expression(ws: Tensor, neutral: Tensor, expression: Tensor, strength: float = 1.0) -> Tensor:
    """Return w = w1 + strength * (w3 - w2) for w1 `ws`, w2 `neutral`, w3 `expression`, each [1, num_ws, w_dim]."""
    return move(ws, expression - neutral, strength)


def move(ws: Tensor, direction: Tensor, strength: float, layers: Sequence[int] | None = None) -> Tensor:
    """Return ws + strength * direction in `layers` (None: all); direction is [1, num_ws or 1, w_dim].

    strength=0 is the identity bit for bit."""
    if strength == 0:
        return ws.clone()
    step = (strength * direction).expand_as(ws)
    if layers is None:
        return ws + step
    chosen = torch.zeros(ws.shape[1], 1, dtype=ws.dtype, device=ws.device)
    chosen[list(layers)] = 1
    return ws + step * chosen
