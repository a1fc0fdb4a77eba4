"""What a training step plays with: images drawn by G, augmented, judged by D, and penalties on D's slopes."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from stylegan_core.augment import AdaptiveProbability, augment, parse_groups
from stylegan_core.networks.lapgan import LAPGANGenerator
from stylegan_core.networks.projected import ProjectedDiscriminator
from stylegan_core.penalties import dragan_penalty, gradient_penalty, r1_penalty
from stylegan_core.training.config import TrainConfig
from stylegan_core.training.randomness import Shard, Stream
from stylegan_core.training.sampling import draw_images
from stylegan_core.training.settings import StepSettings

Batches = list[tuple[Tensor, Tensor]]  # for each shard: real images [n, C, R, R] in [-1, 1], labels [n, c_dim]


@dataclass
class Models:
    """The networks of a run."""

    generator: Any
    discriminator: Any  # None: an autoencoder has none
    average: Any  # the generator's exponential average, which is what a run is for


class Game:
    """Draws, augments and judges images for a run; keeps the probability of augmentation."""

    def __init__(self, config: TrainConfig, settings: StepSettings, models: Models, labels: Tensor) -> None:
        self.config, self.settings, self.models = config, settings, models
        self.labels = labels  # [num_images, c_dim], for generated images to take theirs from
        self.groups = parse_groups(config.augment_groups)
        self.adaptive = AdaptiveProbability(config.augment_p, config.ada_target, config.ada_kimg)
        buffers = models.generator.named_buffers()
        self.magnitudes = [buffer for name, buffer in buffers if name.endswith("magnitude_ema")]

    def generate(
        self, stream: Stream, shard: Shard, reals: Tensor | None = None, update_emas: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Images, labels and ws; of a LAPGAN the games of its levels, on top of the coarse images of `reals`."""
        if isinstance(self.models.generator, LAPGANGenerator):
            assert reals is not None
            z = shard.of(stream.latents(self.models.generator.z_dim)[:, 0]).to(reals.device)
            return self.models.generator.games(z, reals.detach()), reals.new_zeros(len(reals), 0), z[:, None]
        update = update_emas and bool(self.magnitudes)
        return draw_images(
            self.models.generator, self.labels, self.settings.style_mixing, stream, shard, update_emas=update
        )

    def augmented(self, images: Tensor, step: int, phase: str, name: str, shard: Shard) -> Tensor:
        """Images [n, C, R, R] as D is to see them in this phase of a step."""
        p = {"ada": self.adaptive.p, "fixed": self.config.augment_p, "none": 0.0}[self.settings.augment]
        if p <= 0:
            return images
        rng = Stream(self.config.seed, step, phase, self.config.batch).rng(name)
        return augment(images, p, rng, self.groups, (shard.index, shard.stride))

    def judge(
        self, images: Tensor, labels: Tensor, step: int, phase: str, name: str, shard: Shard, num_apart: int = 0
    ) -> Tensor:
        """D's outputs for augmented images: [n], or [n, K] of a discriminator with K heads.

        The last `num_apart` are a batch of their own for batch norm and minibatch deviation: old fakes, so that the new
        ones are seen in D's step as they are in G's."""
        return self._outputs(self.augmented(images, step, phase, name, shard), labels, num_apart)

    def _outputs(self, images: Tensor, labels: Tensor, num_apart: int) -> Tensor:
        sizes = [len(images) - num_apart, num_apart] if num_apart else [len(images)]
        parts = zip(images.split(sizes), labels.split(sizes), strict=True)
        outputs = torch.cat([self.models.discriminator(part, c if c.shape[1] else None) for part, c in parts])
        return outputs.squeeze(1) if outputs.shape[1:] == (1,) else outputs

    def consistency(
        self,
        output: Tensor,
        images: Tensor,
        labels: Tensor,
        stream: Stream,
        kind: str,
        shard: Shard,
        num_apart: int = 0,
    ) -> Tensor:
        """bcr * |D(T(x)) - D(x)|^2 for mirrored, turned and shifted images T(x) (bCR, Zhao et al. 2020).

        `output` are D's outputs for `images` by `judge`, with the same `num_apart`."""
        shown = self.augmented(images, stream.step, "d", f"augment-{kind}", shard)
        moved = augment(shown, 1.0, stream.rng(f"bcr-{kind}"), parse_groups("b"), (shard.index, shard.stride))
        return self.config.bcr * (self._outputs(moved, labels, num_apart) - output).square().mean()

    def r1(self, images: Tensor, labels: Tensor, step: int, name: str, shard: Shard) -> Tensor:
        """R1 [n] at images, or at the features of a projected discriminator."""
        discriminator, gamma = self.models.discriminator, self.settings.r1_gamma
        if isinstance(discriminator, ProjectedDiscriminator):
            with torch.no_grad():
                features = discriminator.features(self.augmented(images, step, "d-reg", name, shard))
            return discriminator.feature_penalty(features, labels, gamma)
        images = images.detach().requires_grad_()
        return r1_penalty(self.judge(images, labels, step, "d-reg", name, shard), images, gamma)

    def slope_penalty(self, reals: Tensor, fakes: Tensor, labels: Tensor, stream: Stream) -> Tensor:
        """The penalty [n] of DRAGAN around real images, or of WGAN-GP between real and generated ones."""
        weight, rng, c = self.settings.gp_weight, stream.rng("penalty"), labels if labels.shape[1] else None

        def critic(images: Tensor) -> Tensor:
            return self.models.discriminator(images, c).flatten(1).mean(1)

        if self.settings.penalty == "dragan":
            return dragan_penalty(critic, reals, fakes, weight, rng, self.config.dragan_c)
        return gradient_penalty(critic, reals, fakes.detach(), weight, rng)


def batches_to(batches: Batches, device: torch.device) -> Batches:
    """Move batches to a device."""
    return [(images.to(device), labels.to(device)) for images, labels in batches]
