"""The mapping network z (and labels) -> ws, and the truncation trick."""

import torch
from torch import Tensor, nn

from stylegan_core.errors import LatentMismatchError
from stylegan_core.networks.layers import FullyConnected, normalize_2nd_moment


def truncate(ws: Tensor, w_avg: Tensor, psi: float = 1.0, cutoff: int | None = None) -> Tensor:
    """Pull `ws` [N, num_ws, w_dim] towards `w_avg` [w_dim] in the first `cutoff` layers (None: all).

    psi=1 is the identity, psi=0 gives `w_avg`."""
    if psi == 1:
        return ws
    pulled = w_avg.to(ws.dtype).lerp(ws, psi)
    return pulled if cutoff is None else torch.cat([pulled[:, :cutoff], ws[:, cutoff:]], dim=1)


class MappingNetwork(nn.Module):
    """A multi-layer perceptron from z [N, z_dim] and labels c [N, c_dim] to ws [N, num_ws, w_dim].

    With `num_ws=0` it returns [N, w_dim] and keeps no mean (the discriminator's use, with z_dim = 0)."""

    def __init__(
        self,
        z_dim: int,
        c_dim: int,
        w_dim: int,
        num_ws: int,
        num_layers: int = 8,
        lr_multiplier: float = 0.01,
        layer_features: int | None = None,
        embed_features: int | None = None,
        w_avg_beta: float = 0.998,
        joint_normalization: bool = False,
    ) -> None:
        super().__init__()
        self.z_dim, self.c_dim, self.w_dim, self.num_ws = z_dim, c_dim, w_dim, num_ws
        self.num_layers, self.w_avg_beta = num_layers, w_avg_beta
        self.joint_normalization = joint_normalization
        embedded = 0
        if c_dim > 0:
            embedded = w_dim if embed_features is None else embed_features
            self.embed = FullyConnected(c_dim, embedded)
        widths = [z_dim + embedded, *[layer_features or w_dim] * (num_layers - 1), w_dim]
        for i in range(num_layers):
            setattr(self, f"fc{i}", FullyConnected(widths[i], widths[i + 1], "lrelu", lr_multiplier))
        if num_ws:
            self.register_buffer("w_avg", torch.zeros([w_dim]))
        self.w_avg: Tensor

    def forward(
        self,
        z: Tensor | None,
        c: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        update_w_avg: bool = False,
    ) -> Tensor:
        """Return ws; `update_w_avg` moves the running mean of W towards this batch (training only)."""
        parts = []
        if self.z_dim > 0:
            if z is None or z.ndim != 2 or z.shape[1] != self.z_dim:
                raise LatentMismatchError(f"z is {_shape(z)}; this network takes [N, {self.z_dim}]")
            parts.append(z)
        if self.c_dim > 0:
            if c is None or c.ndim != 2 or c.shape[1] != self.c_dim:
                raise LatentMismatchError(f"labels are {_shape(c)}; this conditional network takes [N, {self.c_dim}]")
            parts.append(self.embed(c.to(self.embed.weight.dtype)))
        if self.joint_normalization:
            parts = [torch.cat(parts, dim=1)]
        x = torch.cat([normalize_2nd_moment(part) for part in parts], dim=1)
        for i in range(self.num_layers):
            x = getattr(self, f"fc{i}")(x)
        if not self.num_ws:
            return x
        if update_w_avg:
            self.w_avg.copy_(x.detach().mean(dim=0).lerp(self.w_avg, self.w_avg_beta))
        return truncate(x[:, None].expand(-1, self.num_ws, -1), self.w_avg, truncation_psi, truncation_cutoff)


def _shape(x: Tensor | None) -> str:
    return "missing" if x is None else str(list(x.shape))
