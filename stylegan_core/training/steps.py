"""One training step: generator, discriminator, their lazy regularisers, and the average."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stylegan_core.errors import TrainingError
from stylegan_core.networks.autoencoder import repelling_regulariser
from stylegan_core.networks.lapgan import LAPGANGenerator, split
from stylegan_core.networks.projected import ProjectedDiscriminator
from stylegan_core.objectives import AdaptiveSchedule, BeganBalance, HistoryBuffer, Objective
from stylegan_core.penalties import PathLengthPenalty, path_lengths
from stylegan_core.training import ema
from stylegan_core.training.anchor import anchor_of
from stylegan_core.training.config import TrainConfig
from stylegan_core.training.crops import CropGame
from stylegan_core.training.dataset import ImageDataset
from stylegan_core.training.distributed import World
from stylegan_core.training.game import Batches, Game, Models
from stylegan_core.training.optimizers import clip_weights, make_optimizer, only
from stylegan_core.training.progressive import Growth
from stylegan_core.training.randomness import Shard, Stream
from stylegan_core.training.settings import decide, describe, objective_of
from stylegan_core.training.verdicts import Verdicts


class Stepper:
    """Keeps what lives from step to step: optimisers, the game, path lengths, history of fakes."""

    def __init__(
        self, config: TrainConfig, models: Models, data: ImageDataset, world: World, device: torch.device
    ) -> None:
        self.config, self.models, self.world, self.device = config, models, world, device
        self.fixed_objective = objective_of(config)
        self.settings = decide(config, self.fixed_objective, models.generator.config)
        self.balance = BeganBalance(config.gamma, config.lambda_k) if config.objective == "began" else None
        self.game = Game(config, self.settings, models, torch.from_numpy(data.labels))
        self.path_length = PathLengthPenalty(config.pl_weight)
        self.history = HistoryBuffer(config.history) if config.history else None
        thresholds = [-math.inf if t is None else t for t in (config.adaptive_d, config.adaptive_g)]
        self.schedule = AdaptiveSchedule(*thresholds)
        self.anchor = anchor_of(config, models.generator, models.discriminator, data, device)
        self.verdicts = Verdicts()
        self.crops = CropGame(config, models.generator, self.fixed_objective, device) if config.crop_d else None
        self.fakes: list[tuple[Tensor, Tensor]] = []  # of G's last step, by shard, for `reuse_fakes`
        self.last = {"d": math.inf, "g": math.inf}  # losses of the last step, for the schedule
        self.trained_g = [p for p in models.generator.parameters() if p.requires_grad]
        self.trained_d = [p for p in models.discriminator.parameters() if p.requires_grad]
        chosen = self.settings
        self.optimizer_g = make_optimizer(self.trained_g, chosen.optimizer_g, chosen.lr_g, chosen, chosen.pl_every)
        self.optimizer_d = make_optimizer(self.trained_d, chosen.optimizer_d, chosen.lr_d, chosen, self.lazy_r1)
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

    @property
    def objective(self) -> Objective:
        """The losses at this step; BEGAN's move with k_t."""
        return self.fixed_objective if self.balance is None else self.balance.objective()

    @property
    def lazy_r1(self) -> int:
        """Steps between two R1 steps of their own; 0: none, or R1 is part of each step."""
        return self.settings.r1_every if self.settings.r1_every > 1 else 0

    def networks(self) -> dict[str, dict[str, Tensor]]:
        """The states that a run needs to go on, by prefix."""
        discriminator = self.models.discriminator
        projected = isinstance(discriminator, ProjectedDiscriminator)
        crops = {} if self.crops is None else {"crops": self.crops.discriminator.state_dict()}
        return crops | {
            "G": self.models.generator.state_dict(),
            "D": discriminator.trained_state() if projected else discriminator.state_dict(),
            "G_ema": self.models.average.state_dict(),
        }

    def optimizers(self) -> dict[str, torch.optim.Optimizer]:
        """The optimisers by name."""
        crops = {} if self.crops is None else {"optimizer_crops": self.crops.optimizer}
        return crops | {"optimizer_g": self.optimizer_g, "optimizer_d": self.optimizer_d}

    @property
    def phase_kimg(self) -> float:
        """Length of each fade and each stay of progressive growing."""
        return self.settings.phase_kimg

    def check_end(self) -> None:
        """Raise `TrainingError` where the run has come to its end with a critic that says nothing."""
        self.verdicts.check(self.config.objective, ending=True)

    def facts(self) -> dict[str, Any]:
        """What a snapshot says of the state of the training."""
        return {"augment_p": self.game.adaptive.p, "settings": describe(self.config, self.settings)}

    def numbers(self) -> dict[str, Any]:
        """What else a run needs to go on, as JSON values."""
        return {
            "adaptive": self.game.adaptive.state(),
            "path_length": self.path_length.mean,
            "last": self.last,
            "k": 0.0 if self.balance is None else self.balance.k,
        }

    def memory(self) -> dict[str, Tensor]:
        """Tensors that a run needs to go on beside networks and optimisers."""
        history = self.history
        if history is None or history.images is None or history.labels is None:
            return {}
        return {"history": history.images, "history_labels": history.labels}

    def restore(self, numbers: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
        """Take up what `numbers` and `memory` gave."""
        if self.history is not None and "history_labels" in tensors:
            self.history.images = tensors["history"].to(self.device)
            self.history.labels = tensors["history_labels"].to(self.device)
        self.game.adaptive.restore(numbers["adaptive"])
        self.path_length.mean = float(numbers["path_length"])
        self.last = dict(numbers["last"])
        if self.balance is not None:
            self.balance.k = float(numbers["k"])

    def step(self, batches: Batches, step: int, cur_nimg: int, growth: Growth | None = None) -> dict[str, float]:
        """Train on a batch of real images and return the losses; `cur_nimg` counts images before this step."""
        config, settings = self.config, self.settings
        losses: dict[str, float] = {}
        train_d, train_g = self.schedule.decide(self.last["d"], self.last["g"])
        if growth is not None:
            growth.apply(self.models)
        self._anneal(cur_nimg)
        if isinstance(self.models.generator, LAPGANGenerator):
            batches = [(split(images, self.models.generator.config), labels) for images, labels in batches]
        if step % settings.n_critic == 0:
            losses |= self._generator_step(batches, step, train_g)
            if settings.pl_every and train_g and step % settings.pl_every == 0:
                losses["path_length"] = self._path_length_step(step)
        losses |= self._discriminator_step(batches, step, train_d)
        if self.lazy_r1 and train_d and step % self.lazy_r1 == 0:
            losses["r1"] = self._r1_step(batches, step)
        self.last |= {name: losses[name] for name in ("d", "g") if name in losses}
        check_finite(losses, cur_nimg)
        self.verdicts.check(config.objective)
        beta = ema.decay(config.batch, settings.ema_kimg, cur_nimg + config.batch, config.ema_rampup)
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
        fixed = self.trained_d if self.crops is None else [*self.trained_d, *self.crops.parameters]
        with only(self.trained_g, fixed), torch.set_grad_enabled(train):
            for shard, (reals, real_labels) in zip(self.shards, batches, strict=True):
                stream = Stream(self.config.seed, step, "g", self.config.batch)
                fakes, labels, ws = self.game.generate(stream, shard, reals, update_emas=train)
                output = self.game.judge(fakes, labels, step, "g", "augment-fake", shard)
                if self.objective.pairs:
                    with torch.no_grad():
                        real = self.game.judge(reals, real_labels, step, "g", "augment-real", shard)
                    output = output - real
                loss = self.objective.g(output).mean()
                if self.config.pull_away:
                    codes = self.models.discriminator.encoder(fakes)
                    loss = loss + self.config.pull_away * repelling_regulariser(codes)
                if self.crops is not None:
                    loss = loss + self.crops.generator_loss(fakes, reals, stream, shard)
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
        self._move_averages(w_sum)
        losses = {"g": self._mean(total)}
        return losses | {"anchor": self._mean(anchored)} if with_anchor else losses

    def _move_averages(self, w_mean: Tensor) -> None:
        """Move w_avg by the mean w [w_dim] of this step, and bring StyleGAN3's magnitudes together."""
        mapping = self.models.generator.mapping
        if isinstance(getattr(mapping, "w_avg", None), Tensor) and not self.config.freeze_mapping:
            mapping.w_avg.copy_(self.world.mean(w_mean).lerp(mapping.w_avg, mapping.w_avg_beta))
        for magnitude in self.game.magnitudes:
            magnitude.copy_(self.world.mean(magnitude))

    def _path_length_step(self, step: int) -> float:
        """Regularise G by path lengths, on a part of the batch, with the weight of the steps it stands for."""
        num = max(self.config.batch // self.config.pl_shrink, self.num_shards)
        stream = Stream(self.config.seed, step, "g-reg", num)
        total = 0.0
        with only(self.trained_g, self.trained_d):
            for shard in self.shards:
                fakes, _, ws = self.game.generate(stream, shard)
                probe = torch.randn(num, *fakes.shape[1:], generator=stream.rng("probe"))
                lengths = path_lengths(fakes, ws, shard.of(probe).to(fakes))
                loss = self.path_length(lengths).mean() * self.settings.pl_every
                (loss / len(self.shards)).backward()
                total += float(lengths.detach().mean()) / len(self.shards)
            self._apply(self.optimizer_g, self.trained_g)
        mean = self._mean(total)
        self.path_length.update(mean)
        return mean

    def _discriminator_step(self, batches: Batches, step: int, train: bool) -> dict[str, float]:
        """Train D on real and generated images; take the sides of its real outputs for the augmentation."""
        total, signs, r1, num = 0.0, 0.0, 0.0, len(self.shards)
        stream = Stream(self.config.seed, step, "d", self.config.batch)
        self.verdicts.begin()
        with only(self.trained_d, self.trained_g), torch.set_grad_enabled(train):
            for index, (shard, (reals, labels)) in enumerate(zip(self.shards, batches, strict=True)):
                fakes, fake_labels = self._fakes_for_d(stream, shard, reals, index)
                if self.history is not None:
                    fakes, fake_labels = self.history.exchange(fakes, fake_labels, stream.rng("history"))
                real = self.game.judge(reals, labels, step, "d", "augment-real", shard)
                num_old = 0 if self.history is None else self.history.num_old
                fake = self.game.judge(fakes, fake_labels, step, "d", "augment-fake", shard, num_apart=num_old)
                loss = self.objective.d(real, fake).mean()
                if train:
                    if self.settings.penalty:
                        loss = loss + self.game.slope_penalty(reals, fakes, labels, stream).mean()
                    if self.config.bcr:
                        loss = loss + self.game.consistency(real, reals, labels, stream, "real", shard)
                        loss = loss + self.game.consistency(fake, fakes, fake_labels, stream, "fake", shard, num_old)
                    if self.crops is not None:
                        loss = loss + self.crops.discriminator_loss(reals, fakes, step, stream, shard)
                    (loss / num).backward()
                total += float(loss.detach()) / num
                self.verdicts.add(real, fake)
                side = self.objective.real_side(real.detach(), fake.detach())
                signs += 0.0 if side is None else float(side.sign().mean()) / num
            if train and self.settings.r1_every == 1:
                r1 = self._penalise_slopes(batches, step)
            if train:
                self._apply(self.optimizer_d, self.trained_d)
                if self.crops is not None:
                    self._apply(self.crops.optimizer, self.crops.parameters)
                if self.settings.clips:
                    clip_weights(self.models.discriminator, self.settings.clip)
        names = ("d", "signs", "r1", *self.verdicts.names)
        values = torch.tensor([total, signs, r1, *self.verdicts.values()], dtype=torch.float64)
        losses = dict(zip(names, self.world.mean(values).tolist(), strict=True))
        return self._after_d(losses, with_r1=train and self.settings.r1_every == 1)

    def _after_d(self, losses: dict[str, float], with_r1: bool) -> dict[str, float]:
        """Let the losses of all processes move what D's outputs control: p of the augmentation, BEGAN's k_t."""
        signs = losses.pop("signs")
        if not with_r1:
            losses.pop("r1")
        if self.settings.augment == "ada":
            self.game.adaptive.update(signs * self.config.batch, self.config.batch)
            losses |= {"augment_p": self.game.adaptive.p, "r_t": self.game.adaptive.r_t}
        if self.balance is not None:
            energies = [torch.tensor(losses[name]) for name in ("real_logits", "fake_logits")]
            losses |= {"convergence": self.balance.update(*energies), "k": self.balance.k}
        return losses

    def _fakes_for_d(self, stream: Stream, shard: Shard, reals: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """Images to show D, with their labels: new ones, or those of G's step."""
        if self.fakes:
            return self.fakes[index]
        with torch.no_grad():
            fakes, labels, _ = self.game.generate(stream, shard, reals)
        return fakes, labels

    def _r1_step(self, batches: Batches, step: int) -> float:
        """Regularise D by its gradients in a step of its own, with the weight of the steps it stands for."""
        with only(self.trained_d, self.trained_g):
            total = self._penalise_slopes(batches, step)
            self._apply(self.optimizer_d, self.trained_d)
        return self._mean(total)

    def _penalise_slopes(self, batches: Batches, step: int) -> float:
        """Add the gradients of R1 at real images, and of R2 at generated ones, to D's; return the penalty's mean."""
        stream, total = Stream(self.config.seed, step, "d-reg", self.config.batch), 0.0
        for shard, (reals, labels) in zip(self.shards, batches, strict=True):
            penalty = self.game.r1(reals, labels, step, "augment-real", shard)
            if self.settings.r2:
                with torch.no_grad():
                    fakes, fake_labels, _ = self.game.generate(stream, shard, reals)
                penalty = penalty + self.game.r1(fakes, fake_labels, step, "augment-fake", shard)
            loss = penalty.mean() * self.settings.r1_every
            (loss / len(self.shards)).backward()
            total += float(penalty.detach().mean()) / len(self.shards)
        return total

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


def check_finite(losses: Mapping[str, float], cur_nimg: int) -> None:
    """Stop a run whose losses are no longer numbers."""
    bad = [name for name, value in losses.items() if not math.isfinite(value)]
    if bad:
        raise TrainingError(
            f"the loss {bad[0]} is no longer finite at {cur_nimg / 1000:.1f} kimg; the last snapshot is intact: "
            "go on from it with a lower --lr-g and --lr-d, or a higher --r1-gamma, and another --out"
        )
