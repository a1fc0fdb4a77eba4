"""One training step: generator, discriminator, their lazy regularisers, and the average."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from stylegan_core.augment import AdaptiveProbability, augment, parse_groups
from stylegan_core.augment.adaptive import sign_sum
from stylegan_core.errors import TrainingError
from stylegan_core.networks.configs import StyleGAN2Config
from stylegan_core.networks.projected import ProjectedDiscriminator
from stylegan_core.objectives import AdaptiveSchedule, HistoryBuffer, get_objective
from stylegan_core.penalties import PENALTIES, PathLengthPenalty, path_lengths, r1_penalty
from stylegan_core.training import ema
from stylegan_core.training.anchor import Anchor, load_anchor, squeeze_distance, trunk_distance
from stylegan_core.training.config import TrainConfig
from stylegan_core.training.dataset import ImageDataset
from stylegan_core.training.distributed import World
from stylegan_core.training.progressive import Growth
from stylegan_core.training.randomness import Shard, Stream

Batches = list[tuple[Tensor, Tensor]]  # for each shard: real images [n, C, R, R] in [-1, 1], labels [n, c_dim]


@dataclass
class Models:
    """The networks of a run."""

    generator: Any
    discriminator: Any
    average: Any  # the generator's exponential average, which is what a run is for


class Stepper:
    """Keeps what lives from step to step: optimisers, augmentation, path lengths, history of fakes."""

    def __init__(
        self, config: TrainConfig, models: Models, data: ImageDataset, world: World, device: torch.device
    ) -> None:
        self.config, self.models, self.world, self.device = config, models, world, device
        self.labels = torch.from_numpy(data.labels)  # [num_images, c_dim], for generated images to take theirs from
        self.objective = get_objective(config.objective, config.real_label)
        self.groups = parse_groups(config.augment_groups)
        self.adaptive = AdaptiveProbability(config.augment_p, config.ada_target, config.ada_kimg)
        self.path_length = PathLengthPenalty(config.pl_weight)
        self.pl_every = path_length_every(config, models.generator)
        of_generator = getattr(models.generator.config, "style_mixing_prob", 0.9)
        self.style_mixing = of_generator if config.style_mixing is None else config.style_mixing
        self.history = HistoryBuffer(config.history) if config.history else None
        thresholds = [-math.inf if t is None else t for t in (config.adaptive_d, config.adaptive_g)]
        self.schedule = AdaptiveSchedule(*thresholds)
        buffers = models.generator.named_buffers()
        self.magnitudes = [buffer for name, buffer in buffers if name.endswith("magnitude_ema")]
        self.anchor = make_anchor(config, models, data, device)
        self.fakes: list[tuple[Tensor, Tensor]] = []  # of G's last step, by shard, for `reuse_fakes`
        self.last = {"d": math.inf, "g": math.inf}  # losses of the last step, for the schedule
        self.trained_g = [p for p in models.generator.parameters() if p.requires_grad]
        self.trained_d = [p for p in models.discriminator.parameters() if p.requires_grad]
        recipe = self.objective.recipe
        self.critic_steps = recipe.num_critic
        self.optimizer_g = make_optimizer(self.trained_g, recipe.optimizer, config.lr_g, config, self.pl_every)
        self.optimizer_d = make_optimizer(self.trained_d, recipe.optimizer, config.lr_d, config, config.r1_every)
        self.rates = [o.param_groups[0]["lr"] for o in (self.optimizer_g, self.optimizer_d)]

    @property
    def num_shards(self) -> int:
        """Into how many parts a batch falls: processes times accumulation."""
        return self.world.size * self.config.accumulate

    @property
    def shards(self) -> list[Shard]:
        """The parts that this process works on, one after the other."""
        rank, size = self.world.rank, self.world.size
        return [Shard(rank + size * part, self.num_shards) for part in range(self.config.accumulate)]

    def step(self, batches: Batches, step: int, cur_nimg: int, growth: Growth | None = None) -> dict[str, float]:
        """Train on a batch of real images and return the losses; `cur_nimg` counts images before this step."""
        config = self.config
        losses: dict[str, float] = {}
        train_d, train_g = self.schedule.decide(self.last["d"], self.last["g"])
        if growth is not None:
            growth.apply(self.models)
        self._anneal(cur_nimg)
        if step % self.critic_steps == 0:
            losses |= self._generator_step(batches, step, train_g)
            if self.pl_every and train_g and step % self.pl_every == 0:
                losses["path_length"] = self._path_length_step(step)
        losses |= self._discriminator_step(batches, step, train_d)
        if config.r1_every and train_d and step % config.r1_every == 0:
            losses["r1"] = self._r1_step(batches, step)
        self.last |= {name: losses[name] for name in ("d", "g") if name in losses}
        bad = [name for name, value in losses.items() if not math.isfinite(value)]
        if bad:
            raise TrainingError(
                f"the loss {bad[0]} is no longer finite at {cur_nimg / 1000:.1f} kimg; the last snapshot is intact: "
                "go on from it with a lower --lr-g and --lr-d, or a higher --r1-gamma, and another --out"
            )
        half_life = config.ema_kimg if config.ema_kimg is not None else config.batch * 10 / 32
        beta = ema.decay(config.batch, half_life, cur_nimg + config.batch, config.ema_rampup)
        ema.update(self.models.average, self.models.generator, beta)
        return losses

    def _anneal(self, cur_nimg: int) -> None:
        """Lower the learning rates linearly to zero over the last share of the run."""
        if self.config.anneal > 0:
            left = 1 - cur_nimg / self.config.total_nimg
            for optimizer, lr in zip((self.optimizer_g, self.optimizer_d), self.rates, strict=True):
                optimizer.param_groups[0]["lr"] = lr * min(1.0, max(left, 0.0) / self.config.anneal)

    def _generator_step(self, batches: Batches, step: int, train: bool) -> dict[str, float]:
        """Train G against the present D and move w_avg; without `train` only look at the loss."""
        total, anchored, w_sum, num = 0.0, 0.0, torch.zeros((), device=self.device), len(self.shards)
        with_anchor = self.anchor is not None and train and step % self.config.anchor_every == 0
        self.fakes = []
        with only(self.trained_g, self.trained_d), torch.set_grad_enabled(train):
            for shard, (reals, _) in zip(self.shards, batches, strict=True):
                stream = Stream(self.config.seed, step, "g", self.config.batch)
                fakes, labels, ws = self._generate(stream, shard, update_emas=train)
                loss = self.objective.g(self._logits(fakes, labels, step, "g", "augment-fake", shard)).mean()
                if train:
                    (loss / num).backward()
                if with_anchor:
                    assert self.anchor is not None
                    distance = self.anchor.loss(self.models.generator, reals, step, shard).mean()
                    (distance * (self.config.anchor_weight * self.config.anchor_every / num)).backward()
                    anchored += float(distance.detach()) / num
                if self.config.reuse_fakes:
                    self.fakes.append((fakes.detach(), labels))
                total += float(loss.detach()) / num
                w_sum = w_sum + ws.detach()[:, 0].mean(0) / num
            if train:
                self._apply(self.optimizer_g, self.trained_g)
        mapping = self.models.generator.mapping
        if isinstance(getattr(mapping, "w_avg", None), Tensor) and not self.config.freeze_mapping:
            mapping.w_avg.copy_(self.world.mean(w_sum).lerp(mapping.w_avg, mapping.w_avg_beta))
        for magnitude in self.magnitudes:
            magnitude.copy_(self.world.mean(magnitude))
        losses = {"g": self._mean(total)}
        return losses | {"anchor": self._mean(anchored)} if with_anchor else losses

    def _path_length_step(self, step: int) -> float:
        """Regularise G by path lengths, on a part of the batch, with the weight of the steps it stands for."""
        num = max(self.config.batch // self.config.pl_shrink, self.num_shards)
        stream = Stream(self.config.seed, step, "g-reg", num)
        total = 0.0
        with only(self.trained_g, self.trained_d):
            for shard in self.shards:
                fakes, _, ws = self._generate(stream, shard)
                probe = torch.randn(num, *fakes.shape[1:], generator=stream.rng("probe"))
                lengths = path_lengths(fakes, ws, shard.of(probe).to(fakes))
                loss = self.path_length(lengths).mean() * self.pl_every
                (loss / len(self.shards)).backward()
                total += float(lengths.detach().mean()) / len(self.shards)
            self._apply(self.optimizer_g, self.trained_g)
        mean = self._mean(total)
        self.path_length.update(mean)
        return mean

    def _discriminator_step(self, batches: Batches, step: int, train: bool) -> dict[str, float]:
        """Train D on real and generated images; take the signs of its real logits for the augmentation."""
        total, real_mean, fake_mean, signs, num = 0.0, 0.0, 0.0, 0.0, 0
        stream = Stream(self.config.seed, step, "d", self.config.batch)
        with only(self.trained_d, self.trained_g), torch.set_grad_enabled(train):
            for index, (shard, (reals, labels)) in enumerate(zip(self.shards, batches, strict=True)):
                fakes, fake_labels = self._fakes_for_d(stream, shard, index)
                if self.history is not None:
                    fakes = self.history.exchange(fakes, stream.rng("history"))
                real = self._logits(reals, labels, step, "d", "augment-real", shard)
                fake = self._logits(fakes, fake_labels, step, "d", "augment-fake", shard)
                loss = self.objective.d(real, fake).mean()
                recipe = self.objective.recipe
                if train:
                    if recipe.penalty:
                        loss = loss + self._unit_norm(recipe.penalty, reals, fakes, labels, stream).mean()
                    (loss / len(self.shards)).backward()
                total += float(loss.detach()) / len(self.shards)
                real_mean += float(real.detach().mean()) / len(self.shards)
                fake_mean += float(fake.detach().mean()) / len(self.shards)
                signs, num = signs + sign_sum(real), num + real.numel()
            if train:
                self._apply(self.optimizer_d, self.trained_d)
                clip(self.trained_d, self.objective.recipe.clip)
        names = ("d", "real_logits", "fake_logits", "signs")
        values = torch.tensor([total, real_mean, fake_mean, signs / num], dtype=torch.float64)
        losses = dict(zip(names, self.world.mean(values).tolist(), strict=True))
        if self.config.augment == "ada":
            self.adaptive.update(losses.pop("signs") * self.config.batch, self.config.batch)
            losses |= {"augment_p": self.adaptive.p, "r_t": self.adaptive.r_t}
        return losses

    def _fakes_for_d(self, stream: Stream, shard: Shard, index: int) -> tuple[Tensor, Tensor]:
        """Images to show D, with their labels: new ones, or those of G's step."""
        if self.fakes:
            return self.fakes[index]
        with torch.no_grad():
            fakes, labels, _ = self._generate(stream, shard)
        return fakes, labels

    def _r1_step(self, batches: Batches, step: int) -> float:
        """Regularise D by its gradient at real images, with the weight of the steps it stands for."""
        discriminator, total = self.models.discriminator, 0.0
        gamma = r1_gamma(self.config, self.models.generator.img_resolution)
        with only(self.trained_d, self.trained_g):
            for shard, (reals, labels) in zip(self.shards, batches, strict=True):
                if isinstance(discriminator, ProjectedDiscriminator):
                    with torch.no_grad():
                        features = discriminator.features(self._augmented(reals, step, "d-reg", "augment-real", shard))
                    penalty = discriminator.feature_penalty(features, labels, gamma)
                else:
                    reals = reals.detach().requires_grad_()
                    logits = self._logits(reals, labels, step, "d-reg", "augment-real", shard)
                    penalty = r1_penalty(logits, reals, gamma)
                loss = penalty.mean() * self.config.r1_every
                (loss / len(self.shards)).backward()
                total += float(penalty.detach().mean()) / len(self.shards)
            self._apply(self.optimizer_d, self.trained_d)
        return self._mean(total)

    def _generate(self, stream: Stream, shard: Shard, update_emas: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Make images [n, C, R, R] with labels [n, c_dim] and ws [n, num_ws, w_dim], styles mixed.

        `update_emas` moves the running magnitudes of StyleGAN3."""
        generator = self.models.generator
        z = shard.of(stream.latents(generator.z_dim)).to(self.device)
        labels = shard.of(self.labels[stream.picks(len(self.labels))]).to(self.device)
        c = labels if generator.c_dim else None
        ws = generator.mapping(z[:, 0], c)
        crossover = shard.of(stream.crossovers(generator.num_ws, self.style_mixing)).to(self.device)
        if bool((crossover < generator.num_ws).any()):
            second = generator.mapping(z[:, 1], c)
            layer = torch.arange(generator.num_ws, device=self.device)
            ws = torch.where((layer[None] < crossover[:, None])[..., None], ws, second)
        if torch.is_grad_enabled() and not ws.requires_grad:
            ws = ws.requires_grad_()  # path lengths want it also where the mapping network is frozen
        sizes = {name: (int(value.shape[-2]), int(value.shape[-1])) for name, value in generator.noise.items()}
        if update_emas and self.magnitudes:
            return generator.synthesis(ws, update_emas=True), labels, ws
        if not sizes:
            return generator.synthesis(ws), labels, ws
        noise = stream.noise(sizes, shard, self.device)
        return generator.synthesis(ws, noise_mode="const", noise=noise), labels, ws

    def _augmented(self, images: Tensor, step: int, phase: str, name: str, shard: Shard) -> Tensor:
        p = {"ada": self.adaptive.p, "fixed": self.config.augment_p, "none": 0.0}[self.config.augment]
        if p <= 0:
            return images
        rng = Stream(self.config.seed, step, phase, self.config.batch).rng(name)
        return augment(images, p, rng, self.groups, (shard.index, shard.stride))

    def _logits(self, images: Tensor, labels: Tensor, step: int, phase: str, name: str, shard: Shard) -> Tensor:
        images = self._augmented(images, step, phase, name, shard)
        logits: Tensor = self.models.discriminator(images, labels if labels.shape[1] else None)
        return logits.squeeze(1) if logits.shape[1:] == (1,) else logits

    def _unit_norm(self, name: str, reals: Tensor, fakes: Tensor, labels: Tensor, stream: Stream) -> Tensor:
        weight = self.objective.recipe.penalty_weight
        c = labels if labels.shape[1] else None

        def critic(images: Tensor) -> Tensor:
            return self.models.discriminator(images, c).mean(1)

        return PENALTIES[name](critic, reals, fakes.detach(), weight, stream.rng("penalty"))

    def _apply(self, optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter]) -> None:
        """Average gradients over processes, drop what 16 bit could not hold, and step."""
        self.world.average_gradients(parameters)
        if self.config.fp16_res and self.device.type == "cuda":
            for parameter in parameters:
                if parameter.grad is not None:
                    parameter.grad.nan_to_num_(0.0, 1e5, -1e5)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _mean(self, value: float) -> float:
        return float(self.world.mean(torch.tensor(value, dtype=torch.float64)))


def make_anchor(config: TrainConfig, models: Models, data: ImageDataset, device: torch.device) -> Anchor | None:
    """Load the codes of `config.anchor`; a projected discriminator lends its trunk for the comparison."""
    if not config.anchor:
        return None
    discriminator = models.discriminator
    projected = isinstance(discriminator, ProjectedDiscriminator)
    distance = trunk_distance(discriminator.trunk) if projected else squeeze_distance(device)
    return load_anchor(config.anchor, models.generator, data, distance, config.seed, device)


def path_length_every(config: TrainConfig, generator: Any) -> int:
    """Steps between two path length steps: as given, or 4 for StyleGAN2 and none for its siblings."""
    if config.pl_every is not None:
        return config.pl_every
    return 4 if isinstance(generator.config, StyleGAN2Config) else 0


def r1_gamma(config: TrainConfig, resolution: int) -> float:
    """The weight of R1: as given, or the rule of thumb of StyleGAN2-ADA's `auto` setting."""
    return config.r1_gamma if config.r1_gamma is not None else 0.0002 * resolution**2 / config.batch


def make_optimizer(
    parameters: list[nn.Parameter], kind: str, lr: float, config: TrainConfig, every: int
) -> torch.optim.Optimizer:
    """Make the optimiser; with a lazy regulariser `every` so many steps its rates are corrected for the extra step."""
    if kind == "rmsprop":
        return torch.optim.RMSprop(parameters, lr=lr)
    ratio = every / (every + 1) if every else 1.0  # StyleGAN2, appendix B, lazy regularisation
    return torch.optim.Adam(parameters, lr=lr * ratio, betas=(config.beta1**ratio, config.beta2**ratio), eps=1e-8)


@torch.no_grad()
def clip(parameters: list[nn.Parameter], limit: float | None) -> None:
    """Clamp a critic's weights (WGAN)."""
    if limit is not None:
        for parameter in parameters:
            parameter.clamp_(-limit, limit)


@contextmanager
def only(trained: list[nn.Parameter], fixed: list[nn.Parameter]) -> Iterator[None]:
    """Let gradients be taken by the first parameters and not by the second."""
    for parameters, wanted in ((fixed, False), (trained, True)):
        for parameter in parameters:
            parameter.requires_grad_(wanted)
    try:
        yield
    finally:
        for parameter in (*fixed, *trained):
            parameter.requires_grad_(True)


def batches_to(batches: Batches, device: torch.device) -> Batches:
    """Move batches to a device."""
    return [(images.to(device), labels.to(device)) for images, labels in batches]
