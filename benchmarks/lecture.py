"""Run docs/gans.md: what it measures of theory, and every objective and preset by the command line it prints.

    python benchmarks/lecture.py --out lecture [--part theory|objectives|presets|balance] [--kimg 40]

Each training prints the processor seconds it took and its count of modes (of the 8 of `sample-data ring`), and leaves
its pictures under OUT. The parts can run side by side; what is finished is not run again."""

import argparse
import math
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.stats import wasserstein_distance
from torch import Tensor, nn

from stylegan_core.images import labelled_grid, write_png
from stylegan_core.objectives import OBJECTIVES
from stylegan_core.penalties import gradient_penalty

NARROW = ("--batch", "32", "--no-mirror", "--snapshot-kimg", "1000", "--device", "cpu")
DCGAN = ("--preset", "dcgan", "--channel-base", "256")
# Rates for some hundred steps; the papers' are for days. Printed with each command.
QUICK = {"wgan": ("--lr-g", "5e-4", "--lr-d", "5e-4", "--n-critic", "2", "--clip", "0.05"),
         "wgan-gp": ("--lr-g", "1e-3", "--lr-d", "1e-3", "--n-critic", "2"),
         "ebgan": ("--margin", "0.1",), "began": ("--lr-g", "5e-4", "--lr-d", "5e-4", "--gamma", "0.7")}  # fmt: skip
PRESETS = {"lapgan": ("--width", "8"), "autoencoder": ("--width", "8"), "vae": ("--width", "8"),
           "micro-stylegan": ("--channel-base", "256", "--channel-max", "16", "--z-dim", "32", "--w-dim", "32"),
           "stylegan1-a": ("--channel-base", "256", "--channel-max", "16", "--z-dim", "32", "--w-dim", "32",
                           "--phase-kimg", "0"),
           "stylegan2-ada": ("--channel-base", "256", "--channel-max", "16", "--z-dim", "32", "--w-dim", "32"),
           }  # fmt: skip
BALANCE = {"weak": ("--lr-d", "1e-6"), "good": (), "bad": ("--lr-d", "2e-3", "--lr-g", "1e-5")}


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


def earth_mover(steps: int = 1000) -> None:
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


def invertigo(*arguments: str) -> tuple[str, float]:
    """Run a command of this checkout; return what it printed and its processor seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    root = str(Path(__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-m", "cli", *arguments], capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode:
        raise SystemExit(f"invertigo {' '.join(arguments)}\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return done.stdout, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def train(out: Path, name: str, kimg: float, *options: str) -> Path:
    """Train on the ring by the command line, print the command and its count of modes; return the run's folder."""
    data, folder = out / "ring.zip", out / name
    if not data.exists():
        invertigo("sample-data", "ring", "--resolution", "16", "--out", str(data))
    command = ("train", "--data", str(data), "--kimg", f"{kimg:g}", *NARROW, *options, "--out", str(folder))
    _, seconds = invertigo(*command)
    (snapshot,) = folder.glob("snapshot-*.safetensors")
    measured = ("--scores", "mode-count", "--samples", "200", "--features", "fd-squeezenet", "--device", "cpu")
    text, _ = invertigo("evaluate", str(snapshot), "--data", str(data), *measured)
    modes = next(line for line in text.splitlines() if line.startswith("mode_count"))
    print(f"{name}: {modes.removeprefix('mode_count: ')} of 8 modes, {seconds:.0f} s of one core")
    print(f"    invertigo {' '.join(command)}", flush=True)
    return folder


def side_by_side(out: Path, names: list[str], target: str) -> None:
    """Write the samples of runs, and their curves where `target` says so, as one sheet."""
    pictures = [np.asarray(Image.open(next((out / name).glob("samples-*.png"))).convert("RGB")) for name in names]
    write_png(out / target, labelled_grid([pictures], side=256), note="Synthetic images by generators in training")


def main() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="lecture")
    parser.add_argument("--part", choices=["theory", "objectives", "presets", "balance"])
    parser.add_argument("--kimg", type=float, default=40.0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    if options.part in (None, "theory"):
        optimal_discriminator()
        earth_mover()
    if options.part in (None, "objectives"):
        for name in OBJECTIVES:
            train(out, f"objective-{name}", options.kimg, *DCGAN, "--objective", name, *QUICK.get(name, ()))
        side_by_side(out, [f"objective-{name}" for name in OBJECTIVES], "objectives.png")
    if options.part in (None, "presets"):
        for name, extra in PRESETS.items():
            train(out, f"preset-{name}", options.kimg / 2, "--preset", name, *extra)
        side_by_side(out, [f"preset-{name}" for name in PRESETS], "presets.png")
    if options.part in (None, "balance"):
        for name, extra in BALANCE.items():
            train(out, f"balance-{name}", options.kimg, *DCGAN, *extra)
        side_by_side(out, [f"balance-{name}" for name in BALANCE], "balance.png")


if __name__ == "__main__":
    main()
