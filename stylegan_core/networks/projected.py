"""A discriminator on fixed pretrained features (Projected GANs, Sauer et al. 2021)."""

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu
from torch.nn.utils.parametrizations import spectral_norm

from stylegan_core.networks.efficientnet import TAPS, EfficientNetLite0


class ProjectedDiscriminator(nn.Module):
    """Images [N, 3, R, R] in [-1, 1] -> logits [N, K], one for each place that a head looks at.

    The features are mixed at random over channels (1x1) and scales (top down, 3x3), both fixed, so that the heads
    can not lean on a few of them (sections 3.2 and 3.3). Only the heads are trained."""

    def __init__(self, trunk: EfficientNetLite0, width: int = 64, side: int = 128, c_dim: int = 0) -> None:
        super().__init__()
        self.trunk = trunk.requires_grad_(False)
        self.side, self.c_dim = side, c_dim
        channels = list(TAPS.values())
        self.mix = nn.ModuleList([_fixed(nn.Conv2d(count, width, 1)) for count in channels])
        self.merge = nn.ModuleList([_fixed(nn.Conv2d(width, width, 3, padding=1)) for _ in channels])
        self.register_buffer("scale", torch.ones(len(channels)))
        self.scale: Tensor
        self.heads = nn.ModuleList([Head(width, side >> (2 + index), c_dim) for index in range(len(channels))])

    def _resized(self, images: Tensor) -> Tensor:
        images = images.expand(-1, 3, -1, -1)  # grey images have one channel
        return interpolate(images, size=(self.side, self.side), mode="bilinear", align_corners=False)

    def trained_state(self) -> dict[str, Tensor]:
        """The state without the published trunk, which every machine that has the weights can load."""
        return {name: tensor for name, tensor in self.state_dict().items() if not name.startswith("trunk.")}

    def freeze(self) -> None:
        """Let only the heads be trained."""
        for part in (self.trunk, self.mix, self.merge):
            part.requires_grad_(False)

    def train(self, mode: bool = True) -> "ProjectedDiscriminator":
        """Set the heads' mode; the features keep the statistics they were trained with."""
        super().train(mode)
        self.trunk.eval()
        return self

    def features(self, images: Tensor) -> list[Tensor]:
        """Return the mixed feature maps [N, width, h, w] from fine to coarse."""
        maps = self.trunk(self._resized(images))
        mixed = [mix(x * scale) for mix, x, scale in zip(self.mix, maps, self.scale, strict=True)]
        outputs = [self.merge[-1](mixed[-1])]
        for index in range(len(mixed) - 2, -1, -1):
            above = interpolate(outputs[0], size=mixed[index].shape[2:], mode="bilinear", align_corners=False)
            outputs.insert(0, self.merge[index]((mixed[index] + above) * math.sqrt(0.5)))
        return outputs

    def classify(self, features: list[Tensor], c: Tensor | None = None) -> Tensor:
        """Return the heads' logits [N, K] for mixed feature maps."""
        return torch.cat([head(x, c) for head, x in zip(self.heads, features, strict=True)], dim=1)

    def feature_penalty(self, features: list[Tensor], c: Tensor | None, gamma: float) -> Tensor:
        """gamma / 2 * |d mean logit / d features|^2 [N]: R1 in the space where this discriminator lives.

        The trunk is fixed, so there is nothing to regularise before the features, and no second backward through it."""
        points = [feature.detach().requires_grad_() for feature in features]
        logits = self.classify(points, c if c is not None and c.shape[1] else None).mean(1)
        gradients = torch.autograd.grad(logits.sum(), points, create_graph=True)
        return gamma / 2 * torch.stack([gradient.square().flatten(1).sum(1) for gradient in gradients]).sum(0)

    @torch.no_grad()
    def calibrate(self, images: Tensor) -> None:
        """Bring the trunk's feature maps to unit standard deviation on real images, once, before the training."""
        for scale, maps in zip(self.scale, self.trunk(self._resized(images)), strict=True):
            scale.copy_(1 / maps.std().clamp_min(1e-6))

    def forward(self, img: Tensor, c: Tensor | None = None) -> Tensor:
        """Return logits [N, K], high for real images."""
        return self.classify(self.features(img), c)


class Head(nn.Module):
    """Spectrally normalised convolutions from [N, width, h, h] down to 4x4 logits; labels scale the last features."""

    def __init__(self, width: int, side: int, c_dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        while side > 4:
            layers.append(spectral_norm(nn.Conv2d(width, width, 4, 2, 1)))
            side //= 2
        layers.append(spectral_norm(nn.Conv2d(width, width, 3, 1, 1)))
        self.layers = nn.ModuleList(layers)
        self.out = spectral_norm(nn.Conv2d(width, 1, 1))
        if c_dim:
            self.embed = nn.Linear(c_dim, width)

    def forward(self, x: Tensor, c: Tensor | None) -> Tensor:
        """Return logits [N, places]."""
        for layer in self.layers:
            x = leaky_relu(layer(x), 0.2)
        if c is not None and hasattr(self, "embed"):
            x = x * (1 + self.embed(c)[:, :, None, None])
        logits: Tensor = self.out(x)
        return logits.flatten(1)


def _fixed(conv: nn.Conv2d) -> nn.Conv2d:
    """Draw the weights with unit gain for the fan-in and never train them."""
    fan_in = conv.in_channels * conv.kernel_size[0] ** 2
    nn.init.normal_(conv.weight, std=1 / math.sqrt(fan_in))
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv.requires_grad_(False)
