"""Where a correction of features goes when the code is edited: it moves along with the face, and fades where it must.

With F = G_k(w) + Delta, an edit to w' gives F' = F + (G_k(w') - G_k(w)) = G_k(w') + Delta. So Delta only has to follow
the face: along the motion between the renders of w and w', less where that motion does not explain the change (a mouth
that opens), and less the more of the code was given up (truncation, crossover). Its fine part, the person's own skin
and hair, stays where the change is slight, and is as much stronger or weaker as the renders' own (creases of age)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from inversion.correction import Correction
from inversion.delta import Delta, tuned_synthesis
from inversion.faces.flow import box_filter
from stylegan_core.networks.protocol import FeatureLayer, Generator
from stylegan_core.styles import Styles, styles_up_to

LEAST_SIDE, MOST_SIDE = 128, 256  # pixels at which the motion is sought; between them the image's own
SMOOTHING = 7  # pixels, of those, of the box filter over motion and change
VISIBLE = 0.04  # change of a pixel, in [-1, 1], that motion does not explain and at which a correction is down to 1/e
REPLACED = 0.08  # the same of its fine part, which a slight change leaves alone
FINE = 5 / 64  # of the image's side: what varies within it is a correction's fine part
DETAIL, AROUND = 5 / 256, 11 / 256  # of the side: what varies within the one is detail; the other averages it
# Renders of codes are soft, so their detail changes little: by these powers of it a fine part grows weaker or stronger,
# within bounds. Stronger ones show the skin's grain as spots (opened at --transfer age:2), weaker ones show nothing.
WEAKER, STRONGER, WEAKEST, STRONGEST = 8.0, 3.0, 0.3, 1.2
LEAST_DETAIL = 0.002  # in [-1, 1], below which there is none to tell of
AS_IT_WAS = 0.9  # share of the code from which on all of a correction is kept


@dataclass(frozen=True)
class Motion:
    """How a face moved, row by row: `flow` [N, 2, S, S], `fade` and `fine` [N, 1, S, S], S from `LEAST_SIDE` to
    `MOST_SIDE`.

    A pixel comes from `flow` (x, y) away, in units of the image's side; `fade` in [0, 1] is how far that tells all, and
    `fine` in [0, 1.2] what becomes of the detail."""

    flow: Tensor
    fade: Tensor
    fine: Tensor

    def carry(self, features: Tensor, margin: float = 0.0) -> Tensor:
        """Move features or images [N, C, H, W] along and fade them; `margin` pixels of theirs lie outside the image."""
        side = features.shape[-1]
        inside = side - 2 * margin
        steps = (torch.arange(side, device=features.device) + 0.5 - margin) / inside  # 0..1 over the image
        place = torch.stack(torch.meshgrid(steps, steps, indexing="xy"))[None]  # [1, 2, H, W]
        grid = (place * 2 - 1).permute(0, 2, 3, 1).expand(len(features), -1, -1, -1)
        maps = torch.cat([self.flow, self.fade, self.fine], dim=1).to(features)
        flow, fade, fine = _sampled(maps, grid, "bilinear").split([2, 1, 1], dim=1)
        source = ((place + flow) * inside + margin) / side  # in units of the features' side
        moved = _sampled(features, (source * 2 - 1).permute(0, 2, 3, 1), "bicubic")
        coarse = box_filter(moved, _odd(FINE * inside))
        return coarse * fade + (moved - coarse) * fine


@torch.no_grad()
def motion_of(before: Tensor, after: Tensor) -> Motion:
    """Return how the faces in images [N, C, R, R] in [-1, 1] moved from `before` to `after`.

    Dense inverse search (Kroeger et al. 2016) on luminance, smoothed; it takes milliseconds a face."""
    small = [_small(images) for images in (before, after)]
    grey = [(images.mean(dim=1) * 127.5 + 127.5).round().cpu().numpy().astype(np.uint8) for images in small]
    found = np.stack([_flow(one, other) for one, other in zip(*grey, strict=True)])
    flow = box_filter(torch.from_numpy(found).to(before) / found.shape[-1], SMOOTHING)
    all_of_it = torch.ones_like(flow[:, :1])
    along = Motion(flow, all_of_it, all_of_it)
    unexplained = box_filter((small[1] - along.carry(small[0])).abs().mean(dim=1, keepdim=True), SMOOTHING)
    detail = [_detail(images) + LEAST_DETAIL for images in small]
    ratio = detail[1] / along.carry(detail[0])
    strength = torch.where(ratio < 1, ratio**WEAKER, ratio**STRONGER).clamp(WEAKEST, STRONGEST)
    return Motion(flow, (-unexplained / VISIBLE).exp(), strength * (-(unexplained / REPLACED).square()).exp())


def _detail(images: Tensor) -> Tensor:
    """Return the strength of the fine structure around each pixel of images [N, C, S, S], [N, 1, S, S]."""
    side, grey = images.shape[-1], images.mean(dim=1, keepdim=True)
    found = (grey - box_filter(grey, _odd(DETAIL * side))).abs()
    for _ in range(3):
        found = box_filter(found, _odd(AROUND * side))
    return found


def _flow(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return where each pixel of `after` comes from in `before`, [2, S, S] offsets (x, y) in pixels."""
    import cv2  # slow to import, and only feature space needs it

    search = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # type: ignore[attr-defined]
    found: NDArray[np.float32] = search.calc(after, before, None)
    return np.ascontiguousarray(found.transpose(2, 0, 1))


def _sampled(maps: Tensor, grid: Tensor, mode: str) -> Tensor:
    return F.grid_sample(maps, grid.to(maps), mode=mode, padding_mode="border", align_corners=False)


def _small(images: Tensor) -> Tensor:
    side = min(max(images.shape[-1], LEAST_SIDE), MOST_SIDE)
    images = images.detach().float().clamp(-1, 1)
    return F.interpolate(images, size=(side, side), mode="bilinear", antialias=True).clamp(-1, 1)


def _odd(pixels: float) -> int:
    """Return the odd number of pixels, from 3 on, that is nearest."""
    return max(3, 2 * round((pixels - 1) / 2) + 1)


def share_kept(ws: Tensor, origin: Tensor, w_avg: Tensor) -> Tensor:
    """Return how much of `origin` is left in ws, [N] in [0, 1], both [N, num_ws, w_dim] and of the corrected layers.

    It is the projection of w - w_avg onto that of the origin: 1 where a direction was added that has nothing to do with
    the person, psi after a truncation, the share of layers after a crossover. From `AS_IT_WAS` on it counts as 1."""
    left, whole = ((codes - w_avg).flatten(1) for codes in (ws, origin))
    share = (left * whole).sum(dim=1) / whole.square().sum(dim=1).clamp_min(1e-12)
    return (share / AS_IT_WAS).clamp(0, 1)


class Carried:
    """Renders codes near `origin` [1, num_ws, w_dim] with the correction that was found there."""

    def __init__(
        self, generator: Generator, correction: Correction, origin: Tensor, noise: Mapping[str, Tensor],
        delta: Delta | None = None, styles: Styles | None = None,
    ) -> None:  # fmt: skip
        """`noise` are the face's own inputs, [H, W] by layer; `delta` bends the generator for this face.

        `styles` are what edits added to those of every code; up to the corrected layer they move the correction too."""
        self.layer: FeatureLayer = generator.feature_layers[correction.layer]
        self.name, self.generator, self.origin = correction.layer, generator, origin
        self.features = correction.whole(origin)
        early = styles_up_to(generator, correction.layer, styles) if styles else {}
        self.stays = not early  # at the origin's own code
        self.as_found = tuned_synthesis(generator, delta)
        self.as_moved = tuned_synthesis(generator, delta, early)
        self.synthesis = tuned_synthesis(generator, delta, styles)
        self.noise = {"noise": noise} if noise else {}
        self._before: Tensor | None = None

    def __call__(self, ws: Tensor) -> Tensor:
        """Render ws [N, num_ws, w_dim] as images [N, C, R, R]; differentiable in `ws`, the motion held fixed."""
        if not len(ws):
            return self._render(self.synthesis, ws)
        added = torch.cat([self.at(code[None]) for code in ws.detach()])
        return self._render(self.synthesis, ws, hooks={self.name: lambda x: x + added.to(x.dtype)})

    @torch.no_grad()
    def at(self, code: Tensor, whole: bool = False) -> Tensor:
        """Return the correction at a code [1, num_ws, w_dim], [1, C, side, side]; at the origin it is what was found.

        Codes that come in after the corrected layer change nothing. `whole`: however little of the origin is left."""
        num = self.layer.num_ws
        if self.stays and torch.equal(code[:, :num], self.origin[:, :num]):
            return self.features
        share = 1.0 if whole else float(share_kept(code[:, :num], self.origin[:, :num], self.generator.w_avg))
        if share == 0:
            return torch.zeros_like(self.features)
        if self._before is None:
            self._before = self._render(self.as_found, self.origin)
        moved = self._render(self.as_moved, torch.cat([code[:, :num], self.origin[:, num:]], dim=1))
        return share * motion_of(self._before, moved).carry(self.features, self.layer.margin)

    def _render(self, synthesis: Callable[..., Tensor], ws: Tensor, **more: object) -> Tensor:
        return synthesis(ws, noise_mode="const", **self.noise, **more)
