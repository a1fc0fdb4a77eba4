"""Pull codes towards the mean of W."""

import torch
from torch import Tensor


def truncate(ws: Tensor, w_avg: Tensor, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
    """Return w' = w_avg + psi (w - w_avg) for ws [N, num_ws, w_dim] in the first `cutoff` layers (None: all).

    psi=1 is the identity bit for bit, psi=0 gives `w_avg` [w_dim] (Karras et al. 2019, appendix B)."""
    if psi == 1:
        return ws.clone()
    pulled = w_avg + psi * (ws - w_avg)
    return pulled if cutoff is None else torch.cat([pulled[:, :cutoff], ws[:, cutoff:]], dim=1)
