"""Progressive growing (Karras et al. 2018): low resolutions first, each next one faded in."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate


@dataclass(frozen=True)
class Growth:
    """The state of growing at a moment: trained at `resolution`, whose layers are faded in by `alpha`."""

    resolution: int  # pixels
    alpha: float  # 0: the resolution below, pixels repeated; 1: this resolution alone

    def lod(self, full: int) -> float:
        """The level of detail that the networks count in: 0 is the full resolution, each halving adds 1."""
        return math.log2(full // self.resolution) + 1 - self.alpha

    @torch.no_grad()
    def apply(self, models: Any) -> None:
        """Tell the networks, as far as they grow (a projected discriminator sees all sizes alike)."""
        lod = self.lod(models.generator.img_resolution)
        for network in (models.generator.synthesis, models.average.synthesis, models.discriminator):
            if isinstance(getattr(network, "lod", None), Tensor):
                network.lod.fill_(lod)

    def fade(self, images: Tensor) -> Tensor:
        """Give real images [N, C, R, R] the detail that generated ones can have now, at their own size R."""
        fine = _limited(images, self.resolution)
        if self.alpha < 1:
            fine = torch.lerp(_limited(images, self.resolution // 2), fine, self.alpha)
        return fine


def _limited(images: Tensor, resolution: int) -> Tensor:
    """Remove what lies beyond `resolution`: box-filtered down, repeated up again to the images' size."""
    factor = images.shape[-1] // resolution
    if factor <= 1:
        return images
    return interpolate(avg_pool2d(images, factor), scale_factor=factor, mode="nearest")


def growth_at(phase_kimg: float, first_resolution: int, resolution: int, cur_nimg: int) -> Growth:
    """The growth after `cur_nimg` images: at each resolution `phase_kimg` of fading in, then `phase_kimg` of staying.

    The first resolution has nothing to fade in from."""
    phase = phase_kimg * 1000
    first = min(first_resolution, resolution)
    if phase <= 0:
        return Growth(resolution, 1.0)
    num_doublings = int(math.log2(resolution // first))
    since_first = cur_nimg - phase
    if since_first < 0 or num_doublings == 0:
        return Growth(first, 1.0)
    doubling = min(int(since_first // (2 * phase)) + 1, num_doublings)
    alpha = (since_first - (doubling - 1) * 2 * phase) / phase
    return Growth(first << doubling, min(alpha, 1.0))
