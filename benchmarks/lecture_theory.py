"""What docs/gans.md measures of theory, on points: optimal discriminators, earth mover's distances, mode collapse."""

import math

import ring
import torch
from scipy.stats import wasserstein_distance
from torch import Tensor, nn

from stylegan_core.objectives import OBJECTIVES
from stylegan_core.penalties import gradient_penalty


def mixture(num: int, centres: Tensor, rng: torch.Generator, std: float = 0.3) -> Tensor:
    """Draw points [num, 2] around `centres` [M, 2]."""
    chosen = centres[torch.randint(len(centres), (num,), generator=rng)]
    return chosen + std * torch.randn(num, 2, generator=rng)


def ring_centres(num: int) -> Tensor:
    """The corners [num, 2] of a regular polygon of radius 2."""
    angle = torch.arange(num) * (2 * math.pi / num)
    return 2 * torch.stack([angle.cos(), angle.sin()], 1)


def density(points: Tensor, centres: Tensor, std: float = 0.3) -> Tensor:
    """The mixture's density at points [N, 2]."""
    squared = torch.cdist(points.double(), centres.double()).square()
    return (-squared / (2 * std**2)).exp().mean(1) / (2 * math.pi * std**2)


def perceptron() -> nn.Sequential:
    """A critic of points in a plane."""
    layers = (nn.Linear(2, 64), nn.LeakyReLU(0.2), nn.Linear(64, 64), nn.LeakyReLU(0.2), nn.Linear(64, 1))
    return nn.Sequential(*layers)


def optimal_discriminator(steps: int = 1500) -> None:
    """C(G) = -log 4 + 2 JSD: by the densities, and by a discriminator trained against a G that covers k of 8 modes."""
    print(f"{'modes of G':>10}{'-log 4 + 2 JSD':>16}{'trained D':>11}{'|D - D*|':>10}")
    real = ring_centres(8)
    for covered in (1, 4, 8):
        torch.manual_seed(0)
        rng, fake = torch.Generator().manual_seed(0), real[:covered]
        critic = perceptron()
        optimizer = torch.optim.Adam(critic.parameters(), 2e-3)
        for _ in range(steps):
            outputs = [critic(mixture(256, centres, rng)).flatten() for centres in (real, fake)]
            optimizer.zero_grad()
            OBJECTIVES["minimax"].d(*outputs).mean().backward()
            optimizer.step()
        with torch.no_grad():
            x, g = mixture(20000, real, rng), mixture(20000, fake, rng)
            value = -OBJECTIVES["minimax"].d(critic(x).flatten(), critic(g).flatten()).mean()
            best_x, best_g = (density(p, real) / (density(p, real) + density(p, fake)) for p in (x, g))
            exact = best_x.log().mean() + torch.log1p(-best_g).mean()
            error = (critic(x).flatten().sigmoid() - best_x).abs().mean()
        print(f"{covered:>10}{float(exact):>16.3f}{float(value):>11.3f}{float(error):>10.3f}", flush=True)


def transport(steps: int = 1000) -> None:
    """The earth mover's distance of two shifted sets beside a WGAN-GP critic's estimate and the JSD."""
    print(f"{'shift':>6}{'exact':>8}{'critic':>8}{'JSD':>8}")
    for shift in (0.5, 2.0, 4.0):
        torch.manual_seed(0)
        rng, critic = torch.Generator().manual_seed(0), perceptron()
        optimizer = torch.optim.Adam(critic.parameters(), 1e-3, betas=(0.0, 0.9))
        here, there = torch.zeros(1, 2), torch.tensor([[shift, 0.0]])
        for _ in range(steps):
            x, g = mixture(128, here, rng), mixture(128, there, rng)
            loss = OBJECTIVES["wgan-gp"].d(critic(x).flatten(), critic(g).flatten()).mean()
            loss = loss + gradient_penalty(nn.Sequential(critic, nn.Flatten(0)), x, g, 10.0, rng).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            x, g = mixture(20000, here, rng), mixture(20000, there, rng)
            estimate = float(critic(x).mean() - critic(g).mean())
            exact = wasserstein_distance(x[:, 0].numpy(), g[:, 0].numpy())  # the other axis is the same
            m = [(density(p, here) + density(p, there)) / 2 for p in (x, g)]
            jsd = float(((density(x, here) / m[0]).log().mean() + (density(g, there) / m[1]).log().mean()) / 2)
        print(f"{shift:>6}{exact:>8.2f}{abs(estimate):>8.2f}{jsd:>8.3f}", flush=True)


def mode_collapse(critic_steps: int = 800) -> None:
    """Modes found and share of good samples against objective, dimensions and number of modes (`ring.Mixture`)."""
    places = [ring.Mixture(8, 2), ring.Mixture(8, 8), ring.Mixture(8, 32), ring.Mixture(25, 2)]
    heads = [f"{data.num_modes} modes, {data.dim} dim." for data in places]
    print("".join(f"{head:>18}" for head in ("", *heads)))
    kinds = {"non-saturating": ("non-saturating", 0.0), "the same, R1": ("non-saturating", 0.1),
             "wgan-gp": ("wgan-gp", 0.0)}  # fmt: skip
    for title, (name, r1) in kinds.items():
        cells = []
        for data in places:
            modes, quality, _ = ring.run(name, critic_steps, 3600, 0, data, r1)
            cells.append(f"{modes}, {quality:.0%}")
        print("".join(f"{cell:>18}" for cell in (title, *cells)), flush=True)
