"""Penalties on gradients; each returns one value a sample [N], weighted, and keeps the graph for a second backward."""

from collections.abc import Callable

import torch
from torch import Tensor

Critic = Callable[[Tensor], Tensor]  # images [N, ...] -> logits [N]


def input_gradient(logits: Tensor, inputs: Tensor) -> Tensor:
    """Differentiate the logits [N] by the inputs [N, ...] they came from, flat [N, D], with a graph for R1 and GP."""
    (gradient,) = torch.autograd.grad(logits.sum(), inputs, create_graph=True)
    return gradient.flatten(1)


def r1_penalty(logits: Tensor, images: Tensor, gamma: float) -> Tensor:
    """gamma / 2 * |dD/dx|^2 at real images (R1), at generated ones the same is R2 (Mescheder et al. 2018, eq. 9).

    `images` [N, C, H, W] must require a gradient and be what `logits` [N] came from."""
    return gamma / 2 * input_gradient(logits, images).square().sum(1)


def _unit_norm_penalty(critic: Critic, points: Tensor, weight: float) -> Tensor:
    points = points.detach().requires_grad_()
    gradient = input_gradient(critic(points), points)
    # sqrt has no derivative at 0; the tiny constant is lost in rounding wherever the gradient is not vanishing.
    return weight * ((gradient.square().sum(1) + 1e-12).sqrt() - 1).square()


def gradient_penalty(critic: Critic, real: Tensor, fake: Tensor, weight: float, rng: torch.Generator) -> Tensor:
    """weight * (|dD/dx| - 1)^2 at points between real and fake [N, ...] (Gulrajani et al. 2017, eq. 3)."""
    t = torch.rand(len(real), *[1] * (real.ndim - 1), generator=rng).to(real)
    return _unit_norm_penalty(critic, real.detach().lerp(fake.detach(), t), weight)


def dragan_penalty(
    critic: Critic, real: Tensor, fake: Tensor, weight: float, rng: torch.Generator, c: float | None = None
) -> Tensor:
    """weight * (|dD/dx| - 1)^2 at real samples moved by N(0, c), c the variance (Kodali et al. 2017, eq. 2).

    c=None takes half the standard deviation of the batch, the scale of the paper's algorithm 1. `fake` is not looked
    at: DRAGAN regularises around the data alone."""
    std = 0.5 * float(real.detach().std()) if c is None else c**0.5
    noise = torch.randn(real.shape, generator=rng).to(real)
    return _unit_norm_penalty(critic, real.detach() + std * noise, weight)


PENALTIES = {"gp": gradient_penalty, "dragan": dragan_penalty}


def path_lengths(images: Tensor, ws: Tensor, probe: Tensor) -> Tensor:
    """|J_w^T y| [N] for random images y with unit pixel variance (StyleGAN2, section 3.2), with a graph.

    `images` [N, C, H, W] came from `ws` [N, num_ws, w_dim]; `probe`, shaped like them, is y ~ N(0, 1). It is divided
    by sqrt(H W), so that lengths do not depend on the resolution; squares are summed over w_dim, averaged over layers.
    """
    y = probe / (images.shape[2] * images.shape[3]) ** 0.5
    (jacobian,) = torch.autograd.grad((images * y).sum(), ws, create_graph=True)
    return jacobian.square().sum(2).mean(1).sqrt()


class PathLengthPenalty:
    """weight * (|J_w^T y| - a)^2 where a follows the mean length (StyleGAN2, eq. 4)."""

    def __init__(self, weight: float = 2.0, decay: float = 0.01, mean: float = 0.0) -> None:
        self.weight = weight
        self.decay = decay
        self.mean = mean

    def __call__(self, lengths: Tensor) -> Tensor:
        """Penalise lengths [N]; a is that of the steps before, so that parts of a batch add up to the whole."""
        return self.weight * (lengths - self.mean).square()

    def update(self, mean_length: float) -> None:
        """Move a towards the mean length of a whole batch, after its step."""
        self.mean += self.decay * (mean_length - self.mean)
