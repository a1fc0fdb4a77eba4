"""From the backbone's maps to codes: pSp, e4e, the two of ReStyle, and the encoder into W.

pSp: Richardson et al. 2021, section 3.1; e4e: Tov et al. 2021, section 4.2; ReStyle: Alaluf et al. 2021, section 4.
All return offsets: to the mean of W, or, in ReStyle's later rounds, to the codes before."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from inversion.encoders.backbone import Backbone, BackboneShape

SLOPE = 0.01  # of the leaky ReLUs in the style blocks


class EqualLinear(nn.Module):
    """A fully connected layer whose weight [out, in] is scaled at run time (equalised learning rate)."""

    def __init__(self, features_in: int, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(features, features_in))
        self.bias = nn.Parameter(torch.empty(features))

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, out] of x [N, in]."""
        return F.linear(x, self.weight / math.sqrt(self.weight.shape[1]), self.bias)


class StyleBlock(nn.Module):
    """A map [N, C, 2^k, 2^k] -> one code [N, w_dim], by k convolutions of stride 2 (pSp's map2style)."""

    def __init__(self, width_in: int, w_dim: int, num_convs: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index in range(num_convs):
            layers += [nn.Conv2d(width_in if index == 0 else w_dim, w_dim, 3, 2, 1), nn.LeakyReLU(SLOPE)]
        self.convs = nn.Sequential(*layers)
        self.linear = EqualLinear(w_dim, w_dim)

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, w_dim]."""
        return self.linear(self.convs(x).flatten(1))


class PyramidEncoder(Backbone):
    """pSp, and e4e where `progressive`: a feature pyramid, coarse codes from its top and fine ones from its bottom.

    Images [N, 3, 256, 256] in [-1, 1] -> offsets [N, num_ws, w_dim]."""

    def __init__(self, shape: BackboneShape, w_dim: int, depths: tuple[int, ...], progressive: bool) -> None:
        super().__init__(shape)
        top, middle, bottom = shape.widths[3], shape.widths[2], shape.widths[1]
        self.progressive, self.levels = progressive, [depth - min(depths) for depth in depths]
        self.styles = nn.ModuleList(StyleBlock(top, w_dim, depth) for depth in depths)
        self.latlayer1 = nn.Conv2d(middle, top, 1)
        self.latlayer2 = nn.Conv2d(bottom, top, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return offsets [N, num_ws, w_dim]."""
        fine, middle, coarse = self.features(images)
        middle = _enlarged(coarse, middle) + self.latlayer1(middle)
        fine = _enlarged(middle, fine) + self.latlayer2(fine)
        maps = (coarse, middle, fine)
        return codes(self.styles, [maps[level] for level in self.levels], self.progressive)


class FlatEncoder(Backbone):
    """ReStyle's encoders: every code from the last map; the e4e one is `progressive`.

    Images beside the reconstruction so far [N, 6, 256, 256] in [-1, 1] -> offsets [N, num_ws, w_dim]."""

    def __init__(self, shape: BackboneShape, w_dim: int, depths: tuple[int, ...], progressive: bool) -> None:
        super().__init__(shape)
        self.progressive = progressive
        self.styles = nn.ModuleList(StyleBlock(shape.widths[3], w_dim, depth) for depth in depths)

    def forward(self, images: Tensor) -> Tensor:
        """Return offsets [N, num_ws, w_dim]."""
        last = self.features(images)[2]
        return codes(self.styles, [last] * len(self.styles), self.progressive)


class MeanEncoder(Backbone):
    """The encoder into W: the mean of the last map and one layer. [N, 3, 256, 256] in [-1, 1] -> [N, 1, w_dim]."""

    def __init__(self, shape: BackboneShape, w_dim: int) -> None:
        super().__init__(shape)
        self.linear = EqualLinear(shape.widths[3], w_dim)

    def forward(self, images: Tensor) -> Tensor:
        """Return offsets [N, 1, w_dim]."""
        return self.linear(self.features(images)[2].mean(dim=(2, 3)))[:, None]


def codes(styles: nn.ModuleList, maps: list[Tensor], progressive: bool) -> Tensor:
    """Return [N, num_ws, w_dim] of each block's map; `progressive`: the first code, and offsets to it for the rest."""
    found = torch.stack([block(x) for block, x in zip(styles, maps, strict=True)], dim=1)
    return torch.cat([found[:, :1], found[:, :1] + found[:, 1:]], dim=1) if progressive else found


def _enlarged(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=True)
