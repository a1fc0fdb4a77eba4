"""What a discriminator has learnt: a linear classifier on its features (DCGAN, section 5.1)."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_max_pool2d

from stylegan_core.errors import ConfigError
from stylegan_core.metrics.classifier import Classifier, fit_classifier
from stylegan_core.networks.layers import Conv2d
from stylegan_core.training.dataset import ImageDataset

GRID = 2  # feature maps are pooled to GRID x GRID maxima; the paper's 4 suits its larger sets
MAX_FEATURES = 1024  # the deepest maps that fit


@torch.no_grad()
def discriminator_features(discriminator: nn.Module, images: Tensor, c: Tensor | None = None) -> Tensor:
    """Return the outputs of D's convolutions for images [N, C, R, R], the deepest first, pooled and flat: [N, D]."""
    maps: list[Tensor] = []

    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        maps.append(output)

    hooks = [m.register_forward_hook(keep) for m in discriminator.modules() if isinstance(m, (Conv2d, nn.Conv2d))]
    try:
        discriminator(images, c)
    finally:
        for hook in hooks:
            hook.remove()
    pooled = [adaptive_max_pool2d(x.float(), GRID).flatten(1) for x in reversed(maps) if x.shape[-1] >= GRID]
    chosen: list[Tensor] = []
    for part in pooled:
        if chosen and sum(x.shape[1] for x in chosen) + part.shape[1] > MAX_FEATURES:
            break
        chosen.append(part)
    if not chosen:
        raise ConfigError("this discriminator has no feature maps for a linear probe; take a convolutional one")
    return torch.cat(chosen, dim=1)


def linear_probe(discriminator: nn.Module, data: ImageDataset, batch: int) -> Classifier:
    """Train a linear classifier on D's features of labelled images; its `accuracy` is on images left out."""
    rows, labels = [], []
    device = next(discriminator.parameters()).device
    for start in range(0, data.num_images, batch):
        images, c = data.batch(range(start, min(start + batch, data.num_images)))
        given = c.to(device) if getattr(discriminator, "c_dim", 0) else None
        rows.append(discriminator_features(discriminator, images.to(device), given).cpu())
        labels.append(c)
    return fit_classifier(torch.cat(rows), torch.cat(labels))
