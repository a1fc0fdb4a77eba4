"""Render a crop: all layers but the last resolution's on the whole image, those on a part of it."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from stylegan_core.networks.generator import StyleGenerator

MARGIN = 8  # pixels of the lower resolution around a crop, so that its rim is what the whole image's would be


def render_with_crops(
    generator: StyleGenerator, ws: Tensor, corners: Sequence[tuple[int, int]], side: int
) -> tuple[Tensor, Tensor]:
    """Return images [N, C, R/2, R/2] of the lower layers, and crops [K, C, 2 side, 2 side] of the first K at R pixels.

    `corners` are the K crops' top and left in pixels of R/2. A StyleGAN2 with skip connections and no noise inputs is
    needed. Away from the image's rim the crops are those of `generator.synthesis(ws)`."""
    *lower, last = generator.synthesis.block_resolutions
    x, img, first = None, None, 0
    for resolution in lower:
        block = getattr(generator.synthesis, f"b{resolution}")
        part = ws[:, first : first + block.num_conv + block.num_torgb]
        x, img = block(x, img, part, ws.dtype, "const", {})
        first += block.num_conv
    assert x is not None and img is not None
    num = len(corners)
    if not num:
        return img, img.new_zeros(0, img.shape[1], 2 * side, 2 * side)
    cut = [_cut(F.pad(part[:num], (MARGIN,) * 4, mode="replicate"), corners, side) for part in (x, img)]
    block = getattr(generator.synthesis, f"b{last}")
    _, crops = block(*cut, ws[:num, first:], ws.dtype, "const", {})
    return img, crops[:, :, 2 * MARGIN : -2 * MARGIN, 2 * MARGIN : -2 * MARGIN]


def _cut(maps: Tensor, corners: Sequence[tuple[int, int]], side: int) -> Tensor:
    whole = side + 2 * MARGIN
    return torch.cat([maps[i : i + 1, :, y : y + whole, x : x + whole] for i, (y, x) in enumerate(corners)])
