"""Adam on the rows of a batch, each a search of its own (Kingma & Ba 2015, algorithm 1)."""

import math

import torch
from torch import Tensor

EPSILON = 1e-8
RAMP_UP, RAMP_DOWN = 0.05, 0.25  # shares of the steps over which the learning rate rises and falls


class AdamRows:
    """The moments of one parameter [N, ...]; rows that have settled are left alone."""

    def __init__(self, parameter: Tensor, betas: tuple[float, float] = (0.9, 0.999)) -> None:
        self.parameter, self.betas = parameter, betas
        self.first, self.second = torch.zeros_like(parameter), torch.zeros_like(parameter)

    @torch.no_grad()
    def advance(self, rows: Tensor | slice, gradient: Tensor, lr: Tensor | float, step: int) -> None:
        """Move the parameter's `rows` against `gradient` [n, ...], in place; `step` counts from 0.

        `lr` is a number or broadcasts over the rows."""
        first, second, (beta1, beta2) = self.first, self.second, self.betas
        first[rows] = beta1 * first[rows] + (1 - beta1) * gradient
        second[rows] = beta2 * second[rows] + (1 - beta2) * gradient.square()
        mean = first[rows] / (1 - beta1 ** (step + 1))
        deviation = (second[rows] / (1 - beta2 ** (step + 1))).sqrt()
        self.parameter[rows] -= lr * mean / (deviation + EPSILON)


def learning_rate_schedule(step: int, num_steps: int) -> float:
    """Return the factor of the learning rate: a linear rise over 5 % of the steps, a cosine fall over the last 25 %."""
    t = step / max(num_steps, 1)
    fall = min(1.0, (1 - t) / RAMP_DOWN)
    return (0.5 - 0.5 * math.cos(fall * math.pi)) * min(1.0, (t + 1 / max(num_steps, 1)) / RAMP_UP)
