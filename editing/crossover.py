"""Cross two codes over by layers, and lay style-mixing grids out."""

from collections.abc import Sequence

import torch
from torch import Tensor


def crossover(ws_a: Tensor, ws_b: Tensor, layers: Sequence[int]) -> Tensor:
    """Return ws_a [N, num_ws, w_dim] with `layers` taken from ws_b (style mixing, Karras et al. 2019, section 3.1)."""
    child = ws_a.clone()
    child[:, list(layers)] = ws_b[:, list(layers)]
    return child


def mixing_grid(rows: Tensor, columns: Tensor, layers: Sequence[int]) -> Tensor:
    """Cross every row code with every column code: [R, num_ws, w_dim] x [C, ...] -> [R, C, num_ws, w_dim].

    `layers` come from the column, the others from the row."""
    return torch.stack([crossover(row.expand(len(columns), -1, -1), columns, layers) for row in rows])
