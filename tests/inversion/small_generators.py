"""Tiny generators and a perceptual distance cheap enough for hundreds of steps."""

from dataclasses import replace

import torch
from torch.nn import functional as F

from inversion.config import ProjectionConfig
from inversion.task import Task
from stylegan_core.networks.configs import StyleGAN2Config, StyleGAN3Config
from stylegan_core.networks.protocol import CheckpointMeta
from stylegan_core.networks.stylegan2 import StyleGAN2Generator
from stylegan_core.networks.stylegan3 import StyleGAN3Generator


class Pooled:
    """Stands in for the perceptual distance: squared difference of 4 px means."""

    name = "pooled"

    def features(self, images):
        return [F.avg_pool2d(images, 4)]

    def between(self, features, target):
        return (features[0] - target[0]).square().mean(dim=(1, 2, 3))


def tiny(kind=StyleGAN2Generator, **changes):
    torch.manual_seed(1)
    config = StyleGAN2Config(
        z_dim=16, w_dim=16, img_resolution=16, mapping_layers=2, channel_base=256, channel_max=16, use_noise=False
    )
    if kind is StyleGAN3Generator:
        config = StyleGAN3Config(
            z_dim=16, w_dim=16, img_resolution=16, channel_base=256, channel_max=16, num_layers=4, num_critical=1
        )
    generator = kind(replace(config, **changes)).eval().requires_grad_(False)
    generator.meta = CheckpointMeta("tiny", "test", "e" * 64)
    return generator


def a_face(generator, seed=3, num=1):
    """Images that the generator can make."""
    z = torch.randn(num, generator.z_dim, generator=torch.Generator().manual_seed(seed))
    c = F.one_hot(torch.arange(num) % generator.c_dim, generator.c_dim).float() if generator.c_dim else None
    with torch.no_grad():
        return generator.synthesis(generator.mapping(z, c))


def make_task(generator, targets, **changes):
    config = ProjectionConfig(**{"patience": 0, "steps": 20, "space": "w+", **changes.pop("config", {})})
    return Task(generator, targets, Pooled(), config, **changes)
