"""An anchor for a generator whose codes mean something: they must go on drawing the images they were made of."""

import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, normalize

from stylegan_core.checkpoints.native import read_safetensors
from stylegan_core.errors import ConfigError
from stylegan_core.features.perceptual import load_perceptual
from stylegan_core.networks.efficientnet import EfficientNetLite0
from stylegan_core.networks.projected import ProjectedDiscriminator
from stylegan_core.networks.protocol import Generator
from stylegan_core.seeds import generator_for
from stylegan_core.training.config import TrainConfig
from stylegan_core.training.dataset import ImageDataset
from stylegan_core.training.randomness import Shard

Distance = Callable[[Tensor, Tensor], Tensor]  # images [N, C, R, R] twice -> [N]
_STREAM = 1 << 44  # keeps its picks apart from the trainer's other random streams
FEATURE_SIDE = 96  # pixels at which the trunk of a projected discriminator compares


class LinearAnchor:
    """Codes w that a linear encoder finds in the training images shown, whatever those are."""

    def __init__(self, path: str, generator: Generator, device: torch.device) -> None:
        tensors, _ = read_safetensors(Path(path))
        values, width = tensors["mean"].numel() if "mean" in tensors else 0, generator.w_dim
        self.side = math.isqrt(values // generator.img_channels)
        shapes = {"mean": [generator.img_channels * self.side**2], "shift": [width], "projection": [values, width]}
        for name, shape in shapes.items():
            if not values or name not in tensors or tensors[name].numel() != math.prod(shape):
                raise ConfigError(f"{path}: no linear encoder for this generator ({name} of {shape} is expected)")
        self.encoder = {name: tensors[name].float().reshape(shape).to(device) for name, shape in shapes.items()}

    def pairs(self, generator: Generator, images: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Return images [N, C, R, R] and their ws [N, num_ws, w_dim]: here the images given."""
        encoder = self.encoder
        small = interpolate(images, size=(self.side, self.side), mode="area")
        w = (small.flatten(1) - encoder["mean"]) @ encoder["projection"] + encoder["shift"]
        return images, w[:, None].expand(-1, generator.num_ws, -1)


class CodeAnchor:
    """Codes in W+ of some training images, as an inversion found them: an .npz of `files` [M] and `ws`
    [M, num_ws, w_dim]."""

    def __init__(self, path: str, generator: Generator, data: ImageDataset, device: torch.device) -> None:
        try:
            with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
                names, ws = file["files"].tolist(), torch.from_numpy(file["ws"]).float()
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise ConfigError(f"{path}: no .npz of codes (`files` and `ws` are expected): {error}") from error
        if ws.shape != (len(names), generator.num_ws, generator.w_dim):
            shape = [len(names), generator.num_ws, generator.w_dim]
            raise ConfigError(f"{path}: ws is {list(ws.shape)}, this generator and {len(names)} files need {shape}")
        index = {name: place for place, name in enumerate(data.files.names)}
        missing = [name for name in names if name not in index]
        if missing or not names:
            what = f"{missing[0]} is not in {data.path}" if names else "it has no codes"
            raise ConfigError(f"{path}: {what}; give codes of images that are trained on")
        self.indices, self.ws, self.data, self.device = [index[name] for name in names], ws, data, device

    def pairs(self, generator: Generator, images: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """Return images [N, C, R, R] and their ws [N, num_ws, w_dim], chosen by `places` [N] in [0, 1)."""
        rows = (places * len(self.indices)).long()
        chosen, _ = self.data.batch([self.indices[row] for row in rows.tolist()])
        return chosen.to(self.device), self.ws[rows].to(self.device)


class Anchor:
    """2 L1 + a feature distance between images and what the generator draws from their codes."""

    def __init__(self, pairs: LinearAnchor | CodeAnchor, distance: Distance, seed: int) -> None:
        self.pairs, self.distance, self.seed = pairs, distance, seed

    def loss(self, generator: Generator, images: Tensor, step: int, shard: Shard) -> Tensor:
        """Return the loss [N]; `images` [N, C, R, R] in [-1, 1] are the shard's real images of this step."""
        rng = generator_for(self.seed, _STREAM + step)
        places = shard.of(torch.rand(len(images) * shard.stride, generator=rng))
        images, ws = self.pairs.pairs(generator, images, places)
        drawn = generator.synthesis(ws, noise_mode="const")
        return 2 * (drawn - images).abs().mean((1, 2, 3)) + self.distance(drawn, images)


def load_anchor(
    path: str, generator: Generator, data: ImageDataset, distance: Distance, seed: int, device: torch.device
) -> Anchor:
    """Load a linear encoder (.safetensors) or codes (.npz); raises `ConfigError` or `CheckpointError`."""
    coded = path.endswith(".npz")
    pairs = CodeAnchor(path, generator, data, device) if coded else LinearAnchor(path, generator, device)
    return Anchor(pairs, distance, seed)


def anchor_of(
    config: TrainConfig, generator: Any, discriminator: Any, data: ImageDataset, device: torch.device
) -> Anchor | None:
    """Load the codes of `config.anchor`; a projected discriminator lends its trunk for the comparison."""
    if not config.anchor:
        return None
    projected = isinstance(discriminator, ProjectedDiscriminator)
    distance = trunk_distance(discriminator.trunk) if projected else squeeze_distance(device)
    return load_anchor(config.anchor, generator, data, distance, config.seed, device)


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
