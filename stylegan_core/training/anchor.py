"""An anchor for a generator that has an encoder: its codes must go on drawing the images they were made of."""

import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from stylegan_core.checkpoints.native import read_safetensors
from stylegan_core.errors import ConfigError
from stylegan_core.features.perceptual import load_perceptual
from stylegan_core.networks.efficientnet import EfficientNetLite0
from stylegan_core.networks.protocol import Generator

Distance = Callable[[Tensor, Tensor], Tensor]  # images [N, C, R, R] twice -> [N]
FEATURE_SIDE = 96  # pixels at which the trunk of a projected discriminator compares


class Anchor:
    """2 L1 + a feature distance between images and what the generator draws from their linear codes."""

    def __init__(self, path: str, generator: Generator, distance: Distance, device: torch.device) -> None:
        tensors, _ = read_safetensors(Path(path))
        values, width = generator.img_channels * generator.img_resolution**2, generator.w_dim
        shapes = {"mean": [values], "shift": [width], "projection": [values, width]}
        for name, shape in shapes.items():
            if name not in tensors or tensors[name].numel() != math.prod(shape):
                raise ConfigError(f"{path}: no linear encoder for this generator ({name} of {shape} is expected)")
        self.encoder = {name: tensors[name].float().reshape(shape).to(device) for name, shape in shapes.items()}
        self.distance = distance

    def loss(self, generator: Generator, images: Tensor) -> Tensor:
        """Return the loss [N] of images [N, C, R, R] in [-1, 1]."""
        encoder = self.encoder
        w = (images.flatten(1) - encoder["mean"]) @ encoder["projection"] + encoder["shift"]
        drawn = generator.synthesis(w[:, None].expand(-1, generator.num_ws, -1), noise_mode="const")
        return 2 * (drawn - images).abs().mean((1, 2, 3)) + self.distance(drawn, images)


def trunk_distance(trunk: EfficientNetLite0) -> Distance:
    """Compare by the trunk that a projected discriminator has at hand: its three finest maps, unit-normalised."""

    def distance(first: Tensor, second: Tensor) -> Tensor:
        maps = [
            trunk(interpolate(images.expand(-1, 3, -1, -1), FEATURE_SIDE, mode="bilinear"))
            for images in (first, second)
        ]
        pairs = list(zip(*maps, strict=True))[:3]
        parts = [(normalize(a, dim=1) - normalize(b, dim=1)).square().sum(1).mean((1, 2)) for a, b in pairs]
        return 1.2 * torch.stack(parts).sum(0)

    return distance


def squeeze_distance(device: torch.device) -> Distance:
    """Compare by the embedded SqueezeNet, at 64 pixels or more."""
    perceptual = load_perceptual("squeeze-uncalibrated", device)

    def distance(first: Tensor, second: Tensor) -> Tensor:
        return perceptual(at_least_64(first), at_least_64(second))

    return distance


def at_least_64(images: Tensor) -> Tensor:
    """Images as perceptual networks take them: three channels, 64 pixels or more."""
    images = images.expand(-1, 3, -1, -1)
    small = images.shape[-1] < 64
    return interpolate(images, size=(64, 64), mode="bilinear", align_corners=False) if small else images
