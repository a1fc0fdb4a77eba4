"""What generators without a mapping network share: one code that is all there is, W = Z up to an affine map."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stylegan_core.errors import LatentMismatchError
from stylegan_core.networks.protocol import CheckpointMeta
from stylegan_core.networks.stylegan2 import check_noise_mode, check_ws


class DirectGenerator(nn.Module):
    """One code w [N, w_dim] -> images, satisfying `networks.protocol.Generator` with num_ws = 1."""

    meta: CheckpointMeta

    def __init__(self, config: Any, code_dim: int) -> None:
        super().__init__()
        self.config = config
        self.z_dim = self.w_dim = code_dim
        self.c_dim, self.num_ws = 0, 1
        self.img_resolution, self.img_channels = config.img_resolution, config.img_channels
        self.register_buffer("w_avg", torch.zeros(code_dim))
        self.w_avg: Tensor

    @property
    def noise(self) -> dict[str, Tensor]:
        """No noise inputs."""
        return {}

    def code(self, z: Tensor) -> Tensor:
        """Turn z ~ N(0, I) [N, z_dim] into codes [N, w_dim]: itself."""
        return z

    def render(self, w: Tensor) -> Tensor:
        """Return images [N, img_channels, R, R] for codes [N, w_dim]."""
        raise NotImplementedError

    def mapping(
        self, z: Tensor, c: Tensor | None = None, truncation_psi: float = 1.0, truncation_cutoff: int | None = None
    ) -> Tensor:
        """Return ws [N, 1, w_dim], pulled towards w_avg by `truncation_psi`."""
        if z.ndim != 2 or z.shape[1] != self.z_dim:
            raise LatentMismatchError(f"z is {list(z.shape)}; this network takes [N, {self.z_dim}]")
        psi = 1.0 if truncation_cutoff == 0 else truncation_psi
        w = self.code(z)
        return (w if psi == 1 else self.w_avg.lerp(w, psi))[:, None]

    def synthesis(self, ws: Tensor, noise_mode: str = "const", noise: Mapping[str, Tensor] | None = None) -> Tensor:
        """Render ws [N, 1, w_dim]; there are no noise inputs, so every `noise_mode` gives the same image."""
        check_ws(ws, 1, self.w_dim)
        check_noise_mode(noise_mode)
        if noise:
            raise LatentMismatchError(f"this generator has no noise inputs, but {len(noise)} came with the latent")
        return self.render(ws[:, 0])

    def forward(self, z: Tensor) -> Tensor:
        """Return images for z [N, z_dim]."""
        return self.synthesis(self.mapping(z))
