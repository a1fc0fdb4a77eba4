"""Train a small GAN on the handwritten digits of scikit-learn, with any objective: a first look at how they behave.

    python examples/small_gan.py [--objective hinge] [--steps 1500] [--out digits.png]

Classifier objectives use DCGAN's discriminator, EBGAN and BEGAN the autoencoder critic. It takes about a minute a
thousand steps on one core and writes a sheet of samples, the same latents at a quarter, half and all of the way."""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import interpolate
from tqdm import tqdm

from stylegan_core.images import labelled_grid, to_uint8, write_png
from stylegan_core.networks.autoencoder import AutoencoderCritic
from stylegan_core.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from stylegan_core.objectives import OBJECTIVES, BeganBalance, get_objective
from stylegan_core.penalties import PENALTIES

Z_DIM, BATCH, WIDTH = 32, 32, 16


def digits(side: int) -> Tensor:
    """Return the digits as images [1797, 1, side, side] in [-1, 1]."""
    images = torch.from_numpy(load_digits().images).float()[:, None] / 8 - 1
    return interpolate(images, size=(side, side), mode="bilinear", align_corners=False)


def build(name: str) -> tuple[DCGANGenerator, nn.Module, int]:
    """Return generator, critic and the side of their images: 28 px, or 64 px for an autoencoder (powers of two)."""
    energy = OBJECTIVES[name].critic == "energy"
    side = 64 if energy else 28
    generator = DCGANGenerator(side, 1, Z_DIM, WIDTH)
    if energy:
        return generator, AutoencoderCritic(side, 1, width=8, code=32, power=1 if name == "began" else 2), side
    return generator, DCGANDiscriminator(side, 1, WIDTH, batch_norm=OBJECTIVES[name].recipe.penalty is None), side


def optimizer(network: nn.Module, name: str) -> torch.optim.Optimizer:
    """Return the optimiser of the objective's own paper."""
    recipe = OBJECTIVES[name].recipe
    if recipe.optimizer == "rmsprop":
        return torch.optim.RMSprop(network.parameters(), lr=recipe.lr)
    return torch.optim.Adam(network.parameters(), lr=recipe.lr, betas=recipe.betas)


def train(name: str, steps: int, seed: int) -> list[Tensor]:
    """Train, and return samples [8, 1, S, S] at a quarter, half and all of the steps."""
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    objective, recipe = get_objective(name), OBJECTIVES[name].recipe
    balance = BeganBalance() if name == "began" else None
    generator, critic, side = build(name)
    data, fixed, sheets = digits(side), torch.randn(8, Z_DIM, generator=rng), []
    optimizer_g, optimizer_d = optimizer(generator, name), optimizer(critic, name)
    for step in tqdm(range(1, steps + 1), disable=None):
        real = data[torch.randint(len(data), (BATCH,), generator=rng)]
        fake = generator(torch.randn(BATCH, Z_DIM, generator=rng))
        on_real, on_fake = critic(real).flatten(), critic(fake.detach()).flatten()
        loss_d = objective.d(on_real, on_fake).mean()
        if recipe.penalty:
            penalty = PENALTIES[recipe.penalty]
            loss_d = loss_d + penalty(lambda x: critic(x).flatten(), real, fake, recipe.penalty_weight, rng).mean()
        optimizer_d.zero_grad()
        loss_d.backward()
        optimizer_d.step()
        if recipe.clip:
            with torch.no_grad():
                for parameter in critic.parameters():
                    parameter.clamp_(-recipe.clip, recipe.clip)
        if balance is not None:
            balance.update(on_real, on_fake)
            objective = balance.objective()
        if step % recipe.num_critic == 0:
            optimizer_g.zero_grad()
            objective.g(critic(fake).flatten()).mean().backward()
            optimizer_g.step()
        if step in (max(steps // 4, 1), max(steps // 2, 1), steps):
            with torch.no_grad():
                sheets.append(generator(fixed))
    return sheets


def main() -> None:
    """Train and write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objective", default="non-saturating", choices=list(OBJECTIVES))
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="digits.png")
    options = parser.parse_args()
    sheets = train(options.objective, options.steps, options.seed)
    rows = [list(to_uint8(sheet)) for sheet in sheets]
    write_png(options.out, labelled_grid(rows, side=64), note="Synthetic digits by a generator in training")
    print(options.out)


if __name__ == "__main__":
    main()
