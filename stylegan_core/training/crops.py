"""A second discriminator that judges random crops: what it sees is small, so texture is all it can judge."""

import torch
from torch import Tensor, nn

from stylegan_core.errors import ConfigError
from stylegan_core.networks.build import build_network
from stylegan_core.networks.configs import StyleGAN2DiscriminatorConfig
from stylegan_core.networks.generator import StyleGenerator
from stylegan_core.objectives import Objective
from stylegan_core.penalties import r1_penalty
from stylegan_core.training.config import TrainConfig
from stylegan_core.training.optimizers import make_optimizer
from stylegan_core.training.randomness import Shard, Stream
from stylegan_core.training.settings import decide

R1_EVERY = 8  # steps


class CropGame:
    """A StyleGAN2 discriminator on crops of `crop_d` pixels, by the run's own objective, with lazy R1."""

    def __init__(
        self, config: TrainConfig, generator: StyleGenerator, objective: Objective, device: torch.device
    ) -> None:
        side, full = config.crop_d, generator.img_resolution
        if side >= full:
            raise ConfigError(f"crop_d is {side}; a crop must be smaller than the image of {full} pixels")
        if objective.critic != "logit" or objective.settings.clips:
            raise ConfigError(f"--crop-d goes with objectives of a classifier, not with {config.objective}")
        settings = decide(config, objective, generator.config)
        self.side, self.weight, self.objective = side, config.crop_weight, objective
        self.gamma = 0.0002 * side**2 / config.batch if config.r1_gamma is None else config.r1_gamma
        base = getattr(generator.config, "channel_base", 2048)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed + 1)
            discriminator = build_network(
                StyleGAN2DiscriminatorConfig(
                    img_resolution=side, img_channels=generator.img_channels, channel_base=base, channel_max=128
                )
            )
        self.discriminator: nn.Module = discriminator.to(device).train()
        self.parameters = list(self.discriminator.parameters())
        self.optimizer = make_optimizer(self.parameters, settings.optimizer_d, settings.lr_d, settings, 0)

    def cut(self, images: Tensor, stream: Stream, shard: Shard) -> Tensor:
        """Cut one crop [n, C, side, side] out of each of images [n, C, R, R], at places that the stream gives."""
        span = images.shape[-1] - self.side + 1
        places = shard.of(torch.randint(span, (stream.num, 2), generator=stream.rng("crop"))).tolist()
        return torch.stack([
            image[:, y : y + self.side, x : x + self.side] for image, (y, x) in zip(images, places, strict=True)
        ])  # fmt: skip

    def generator_loss(self, fakes: Tensor, reals: Tensor, stream: Stream, shard: Shard) -> Tensor:
        """The weighted loss of G for the crops of its images."""
        output = self.discriminator(self.cut(fakes, stream, shard)).squeeze(1)
        if self.objective.pairs:
            with torch.no_grad():
                real = self.discriminator(self.cut(reals, stream, shard)).squeeze(1)
            output = output - real
        return self.weight * self.objective.g(output).mean()

    def discriminator_loss(self, reals: Tensor, fakes: Tensor, step: int, stream: Stream, shard: Shard) -> Tensor:
        """The loss of the crops' discriminator, with R1 in every eighth step."""
        lazy = step % R1_EVERY == 0
        real_crops = self.cut(reals, stream, shard).detach().requires_grad_(lazy)
        real = self.discriminator(real_crops).squeeze(1)
        loss = self.objective.d(real, self.discriminator(self.cut(fakes, stream, shard).detach()).squeeze(1)).mean()
        return loss + R1_EVERY * r1_penalty(real, real_crops, self.gamma).mean() if lazy else loss
