"""Steps of an autoencoder and a variational one: no game, one loss; and which kind of step a run takes."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from stylegan_core.networks.autoencoder import AutoencoderGenerator
from stylegan_core.seeds import generator_for
from stylegan_core.training import ema
from stylegan_core.training.config import TrainConfig
from stylegan_core.training.dataset import ImageDataset
from stylegan_core.training.distributed import World
from stylegan_core.training.game import Batches, Models
from stylegan_core.training.optimizers import make_optimizer
from stylegan_core.training.progressive import Growth
from stylegan_core.training.randomness import Shard
from stylegan_core.training.settings import decide, objective_of
from stylegan_core.training.steps import Stepper, check_finite

CODES_SHARE = 0.05  # by which the fitted distribution of codes follows a batch
_STREAM = 1 << 46


class AutoencoderStepper:
    """Minimise the squared error of reconstructions; a variational one adds the divergence of its codes."""

    def __init__(self, config: TrainConfig, models: Models, world: World, device: torch.device) -> None:
        self.config, self.models, self.world, self.device = config, models, world, device
        self.generator: AutoencoderGenerator = models.generator
        self.settings = decide(config, objective_of(config), models.generator.config)
        self.parameters = list(models.generator.parameters())
        self.optimizer = make_optimizer(
            self.parameters, self.settings.optimizer_g, self.settings.lr_g, self.settings, every=0
        )
        self.phase_kimg = 0.0

    @property
    def shards(self) -> list[Shard]:
        """The parts that this process works on, one after the other."""
        rank, size, parts = self.world.rank, self.world.size, self.config.accumulate
        return [Shard(rank + size * part, size * parts) for part in range(parts)]

    def step(self, batches: Batches, step: int, cur_nimg: int, growth: Growth | None = None) -> dict[str, float]:
        """Train on a batch of images; return the error a pixel, and the divergence in nats a code."""
        if self.config.anneal > 0:
            left = max(1 - cur_nimg / self.config.total_nimg, 0.0) / self.config.anneal
            self.optimizer.param_groups[0]["lr"] = self.settings.lr_g * min(1.0, left)
        error, divergence, all_codes = 0.0, 0.0, []
        rng = generator_for(self.config.seed, _STREAM + step)
        noise = torch.randn(self.config.batch, self.generator.z_dim, generator=rng)
        variational, num = self.generator.config.variational, len(batches)
        for shard, (images, _) in zip(self.shards, batches, strict=True):
            mean, log_variance = self.generator.encode(images)
            codes = mean + (0.5 * log_variance).exp() * shard.of(noise).to(mean) if variational else mean
            drawn = self.generator.render(codes)
            loss = squared = mse_loss(drawn, images)
            if variational:
                kl = kl_divergence(mean, log_variance).mean()
                # Both terms a pixel: half the squared error is -log p(x | code) of unit variance.
                loss = squared / 2 + self.config.kl_weight * kl / images[0].numel()
                divergence += float(kl.detach()) / num
            (loss / num).backward()
            error += float(squared.detach()) / num
            all_codes.append(codes.detach())
        self.world.average_gradients(self.parameters)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if not variational:
            self._follow(torch.cat(all_codes))
        losses = {"error": self._mean(error)} | ({"kl": self._mean(divergence)} if variational else {})
        check_finite(losses, cur_nimg)
        config, half_life = self.config, self.settings.ema_kimg
        beta = ema.decay(config.batch, half_life, cur_nimg + config.batch, config.ema_rampup)
        ema.update(self.models.average, self.generator, beta)
        return losses

    def _follow(self, codes: Tensor) -> None:
        """Fit the distribution of codes [N, z_dim], all processes' together."""
        centred = codes - codes.mean(0)
        mean, covariance = self.world.mean(codes.mean(0)), self.world.mean(centred.T @ centred / max(len(codes) - 1, 1))
        self.generator.follow_codes(mean, covariance, CODES_SHARE)

    def _mean(self, value: float) -> float:
        return float(self.world.mean(torch.tensor(value, dtype=torch.float64)))

    def networks(self) -> dict[str, dict[str, Tensor]]:
        """The states that a run needs to go on, by prefix."""
        return {"G": self.generator.state_dict(), "G_ema": self.models.average.state_dict()}

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """The optimiser by name."""
        return {"optimizer_g": self.optimizer}

    def memory(self) -> dict[str, Tensor]:
        """Nothing more."""
        return {}

    def numbers(self) -> dict[str, Any]:
        """Nothing more."""
        return {}

    def restore(self, numbers: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """There is nothing to take up."""

    def check_end(self) -> None:
        """An autoencoder has no critic to say nothing."""

    def facts(self) -> dict[str, Any]:
        """What a snapshot says of the training."""
        chosen, variational = self.settings, self.generator.config.variational
        extra = f", divergence {self.config.kl_weight:g}" if variational else ""
        return {"settings": f"squared error{extra}, {chosen.optimizer_g} {chosen.lr_g:g}"}


AnyStepper = Stepper | AutoencoderStepper


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, variance) || N(0, I)) in nats, [N], for codes [N, D] (Kingma and Welling 2014, appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)


def make_stepper(
    config: TrainConfig, models: Models, data: ImageDataset, world: World, device: torch.device
) -> AnyStepper:
    """The kind of step that a generator is trained by."""
    if isinstance(models.generator, AutoencoderGenerator):
        return AutoencoderStepper(config, models, world, device)
    return Stepper(config, models, data, world, device)
