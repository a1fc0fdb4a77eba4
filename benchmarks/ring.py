"""Train every objective on a ring of 8 Gaussians and print how many modes it finds and how good its samples are.

    python benchmarks/ring.py [--critic-steps 6000] [--seconds 32] [--objectives hinge,wgan]

All ten take under five minutes on an idle core: each stops after so many steps of its critic, or so many seconds of
processor time (WGAN, whose generator moves every fifth step, after twice as many steps). Modes count as
covered with 1 % of the samples or more; a sample is of high quality within 3 standard deviations of a mode. `optimum`
is what the data itself scores."""

import argparse
import itertools
import math
import time
from dataclasses import dataclass, replace

import torch
from scipy.stats import chi2
from torch import Tensor, nn

from stylegan_core.objectives import (
    OBJECTIVES,
    BeganBalance,
    Objective,
    energy_based,
    sample_sphere,
)
from stylegan_core.penalties import PENALTIES, r1_penalty
from stylegan_core.training.optimizers import clip_weights

NUM_MODES, RADIUS, STD, Z_DIM, BATCH = 8, 8.0, 0.2, 8, 128
SPREAD = 6.0  # of the generator's first samples: about the data's


@dataclass(frozen=True)
class Setting:
    """What differs from an objective's own settings for points in a plane."""

    lr_d: float = 1e-3
    lr_g: float = 1e-3
    num_critic: int = 1
    r1: float = 0.0  # weight of R1; without it classifier losses circle round the ring
    clip: float = 0.0  # largest weight of a clipped critic
    unit: float = 1.0  # what the networks see is in units of this: a clipped critic wants data of unit size
    steps: int = 1  # critic steps, in units of the others'


SETTINGS = {
    "minimax": Setting(r1=0.1),
    "non-saturating": Setting(r1=0.1),
    "least-squares": Setting(r1=0.1, lr_g=5e-4),
    "hinge": Setting(r1=0.1),
    "wgan": Setting(num_critic=5, clip=0.1, unit=RADIUS, steps=2),  # algorithm 1 on data of radius 1
    "wgan-gp": Setting(lr_d=2e-3, lr_g=3e-4, num_critic=1),
    "dragan": Setting(lr_d=2e-3, lr_g=3e-4),
    "relativistic": Setting(r1=0.1),
    "ebgan": Setting(lr_g=5e-4),
    "began": Setting(lr_d=5e-4, lr_g=5e-4),
}


@dataclass(frozen=True)
class Mixture:
    """Gaussians of deviation STD, their centres evenly on a circle of RADIUS in a plane of `dim` dimensions."""

    num_modes: int = NUM_MODES
    dim: int = 2

    def centres(self) -> Tensor:
        """The centres [num_modes, dim]; in more than two dimensions the plane is a fixed one that no axis lies in."""
        angle = torch.arange(self.num_modes) * (2 * math.pi / self.num_modes)
        places = RADIUS * torch.stack([angle.cos(), angle.sin()], 1)
        if self.dim == 2:
            return places
        plane = torch.linalg.qr(torch.randn(self.dim, 2, generator=torch.Generator().manual_seed(0)))[0]
        return places @ plane.T

    def draw(self, num: int, rng: torch.Generator) -> Tensor:
        """Draw points [num, dim]."""
        chosen = torch.randint(self.num_modes, (num,), generator=rng)
        return self.centres()[chosen] + STD * torch.randn(num, self.dim, generator=rng)

    def score(self, points: Tensor) -> tuple[int, float]:
        """Count modes with 1 % of the points within 3 sigma or more (in a plane); the share within 3 sigma of any.

        In more dimensions points lie further out: the radius is the one that holds as many of the data, 98.9 %."""
        distance, mode = torch.cdist(points, self.centres()).min(1)
        good = distance < STD * math.sqrt(chi2.ppf(1 - math.exp(-4.5), self.dim))
        counts = torch.bincount(mode[good], minlength=self.num_modes)
        return int((counts >= 0.01 * len(points)).sum()), float(good.float().mean())


def mlp(sizes: list[int]) -> nn.Sequential:
    """Build a perceptron with leaky ReLU between its layers."""
    layers: list[nn.Module] = []
    for index, (before, after) in enumerate(itertools.pairwise(sizes)):
        layers += [nn.LeakyReLU(0.2)] if index else []
        layers.append(nn.Linear(before, after))
    return nn.Sequential(*layers)


class PointAutoencoder(nn.Module):
    """Points [N, D] -> energies [N]: the error of a reconstruction through a narrow code."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(mlp([dim, 64, 64, 2]), mlp([2, 64, 64, dim]))

    def forward(self, points: Tensor) -> Tensor:
        return (self.layers(points) - points).square().sum(1)


class Duel:
    """A generator and a critic of points under one objective."""

    def __init__(self, name: str, seed: int, data: Mixture, r1: float | None = None) -> None:
        torch.manual_seed(seed)
        self.data = data
        self.rng = torch.Generator().manual_seed(seed)
        self.setting, self.objective = SETTINGS[name], OBJECTIVES[name]
        if r1 is not None:
            self.setting = replace(self.setting, r1=r1)
        self.balance = BeganBalance(gamma=0.7, rate=1e-3) if name == "began" else None
        if name == "ebgan":
            self.objective = energy_based(margin=1.0)
        self.generator = mlp([Z_DIM, 64, 64, 64, data.dim])
        energy = self.objective.critic == "energy"
        self.critic: nn.Module = PointAutoencoder(data.dim) if energy else mlp([data.dim, 64, 64, 64, 1])
        self.average = mlp([Z_DIM, 64, 64, 64, data.dim])
        self.average.load_state_dict(self.generator.state_dict())
        self.optimizers = [
            self.optimizer(network, lr)
            for network, lr in ((self.critic, self.setting.lr_d), (self.generator, self.setting.lr_g))
        ]

    def optimizer(self, network: nn.Module, lr: float) -> torch.optim.Optimizer:
        if self.objective.settings.optimizer == "rmsprop":
            return torch.optim.RMSprop(network.parameters(), lr=lr)
        return torch.optim.Adam(network.parameters(), lr=lr, betas=(0.0, 0.99))

    def now(self) -> Objective:
        return self.objective if self.balance is None else self.balance.objective()

    def judge(self, points: Tensor) -> Tensor:
        judged: Tensor = self.critic(points)
        return judged.flatten()

    def draw(self, network: nn.Module, num: int) -> Tensor:
        points: Tensor = network(sample_sphere(num, Z_DIM, self.rng))
        return SPREAD / self.setting.unit * points

    def critic_step(self) -> None:
        real, theirs = self.data.draw(BATCH, self.rng) / self.setting.unit, self.objective.settings
        with torch.no_grad():
            fake = self.draw(self.generator, BATCH)
        points = real.requires_grad_(self.setting.r1 > 0)
        on_real, on_fake = self.judge(points), self.judge(fake)
        loss = self.now().d(on_real, on_fake).mean()
        if self.setting.r1:
            loss = loss + r1_penalty(on_real, points, self.setting.r1).mean()
        if theirs.r2:
            fake = fake.requires_grad_()
            loss = loss + r1_penalty(self.judge(fake), fake, self.setting.r1).mean()
        if theirs.penalty:
            penalty = PENALTIES[theirs.penalty]
            loss = loss + penalty(self.judge, real.detach(), fake, theirs.penalty_weight, self.rng).mean()
        self.optimizers[0].zero_grad()
        loss.backward()
        self.optimizers[0].step()
        if theirs.clips:
            clip_weights(self.critic, self.setting.clip)
        if self.balance is not None:
            self.balance.update(on_real, on_fake)

    def generator_step(self) -> None:
        judged = self.judge(self.draw(self.generator, BATCH))
        if self.objective.pairs:
            judged = judged - self.judge(self.data.draw(BATCH, self.rng) / self.setting.unit).detach()
        loss = self.now().g(judged).mean()
        self.optimizers[1].zero_grad()
        loss.backward()
        self.optimizers[1].step()
        with torch.no_grad():
            for old, new in zip(self.average.parameters(), self.generator.parameters(), strict=True):
                old.lerp_(new, 0.005)


def run(
    name: str, critic_steps: int, seconds: float, seed: int, data: Mixture | None = None, r1: float | None = None
) -> tuple[int, float, int]:
    """Train one objective for so many critic steps, or so long; return modes, quality and critic steps done.

    `data` None: the ring; `r1` None: as its setting has it."""
    data = data or Mixture()
    duel, start, done, steps = Duel(name, seed, data, r1), time.process_time(), 0.0, 0
    critic_steps *= duel.setting.steps
    while done < 1:
        for _ in range(duel.setting.num_critic):
            duel.critic_step()
            steps += 1
        duel.generator_step()
        done = max(steps / critic_steps, (time.process_time() - start) / seconds)
        for optimizer, lr in zip(duel.optimizers, (duel.setting.lr_d, duel.setting.lr_g), strict=True):
            optimizer.param_groups[0]["lr"] = lr * min(1.0, max(2 * (1 - done), 0.0) + 0.02)
    with torch.no_grad():
        modes, quality = data.score(duel.setting.unit * duel.draw(duel.average, 4000))
    return modes, quality, steps


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--critic-steps", type=int, default=6000, help="for each objective")
    parser.add_argument("--seconds", type=float, default=32.0, help="of processor time at most, for each objective")
    parser.add_argument("--objectives", default=",".join(SETTINGS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{'objective':<16}{'modes of 8':>12}{'high quality':>14}{'critic steps':>14}")
    for name in options.objectives.split(","):
        modes, quality, steps = run(name, options.critic_steps, options.seconds, options.seed)
        short = "" if steps >= options.critic_steps * SETTINGS[name].steps else "  (out of time)"
        print(f"{name:<16}{modes:>12}{quality:>14.0%}{steps:>14}{short}", flush=True)
    modes, quality = Mixture().score(Mixture().draw(4000, torch.Generator().manual_seed(options.seed)))
    print(f"{'(optimum)':<16}{modes:>12}{quality:>14.0%}")


if __name__ == "__main__":
    main()
