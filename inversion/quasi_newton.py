"""L-BFGS for a batch of independent searches, one evaluation of the loss a step (Nocedal & Wright 2006, chapter 7.2).

Fifty steps in coordinates where the loss is round (inversion/curvature.py) do what takes Adam hundreds."""

import math

import torch
from torch import Tensor

MEMORY = 20  # steps whose differences are kept
SUFFICIENT = 1e-4  # share of the promised decrease that a step must bring (Armijo)
SHORTEST, LONGEST = 0.1, 0.5  # what a refused step is shortened to, at the least and at the most
CURVED = 1e-10  # cosine of step and gradient's change from which on a pair is worth keeping
BOLDNESS = 2.5  # factor of the newest pair's scale, which is that of the steepest directions; most bend less
FIRST = 0.5  # the first step's length, as a share of where the minimum of a round bowl would be


class QuasiNewton:
    """The state of `num` searches in `dim` coordinates; each row is a search of its own."""

    def __init__(self, num: int, dim: int, like: Tensor) -> None:
        self.point, self.gradient, self.direction = (like.new_zeros(num, dim) for _ in range(3))
        self.loss = like.new_full([num], math.inf)  # at `point`; infinite before the first evaluation
        self.length, self.scale = like.new_ones(num), like.new_ones(num)
        self.moves, self.changes = (like.new_zeros(MEMORY, num, dim) for _ in range(2))
        self.curvature = like.new_zeros(MEMORY, num)  # 1 / (move * change); 0 where there is no pair

    def tensors(self) -> dict[str, Tensor]:
        """Return all state by name; every tensor is changed in place."""
        return dict(vars(self))

    @torch.no_grad()
    def advance(self, index: Tensor, step: int, tried: Tensor, loss: Tensor, gradient: Tensor) -> Tensor:
        """Take in loss [n] and gradient [n, dim] at the coordinates `tried` [n, dim]; return those to try next.

        `index` [n] names the searches, `step` counts them. A step that falls short of the promised decrease is
        refused, and a shorter one is tried from the same point."""
        before, old_gradient, direction = self.loss[index], self.gradient[index], self.direction[index]
        length, first = self.length[index], self.loss[index].isinf()
        slope = _dot(old_gradient, direction)
        accepted = first | (loss <= before + SUFFICIENT * length * slope)  # not, where the loss is not a number
        self._keep(index, step, accepted & ~first, tried - self.point[index], gradient - old_gradient)
        # Of a round bowl, half the squared distance to the minimum is the loss.
        bowl = FIRST * (2 * loss).clamp_min(0).sqrt() / gradient.norm(dim=1).clamp_min(1e-20)
        self.scale[index] = torch.where(first, bowl, self.scale[index])
        chosen = accepted[:, None]
        self.point[index] = torch.where(chosen, tried, self.point[index])
        self.gradient[index] = torch.where(chosen, gradient, old_gradient)
        self.loss[index] = torch.where(accepted, loss, before)
        # The parabola through both losses and the slope has its lowest point here.
        lowest = -slope * length.square() / (2 * (loss - before - slope * length)).clamp_min(1e-20)
        shorter = torch.maximum(SHORTEST * length, torch.minimum(LONGEST * length, lowest.nan_to_num(0.0)))
        self.length[index] = torch.where(accepted, torch.ones_like(length), shorter)
        self.direction[index] = torch.where(chosen, self._descent(index, step), direction)
        return self.point[index] + self.length[index][:, None] * self.direction[index]

    def _keep(self, index: Tensor, step: int, wanted: Tensor, move: Tensor, change: Tensor) -> None:
        """Remember how the gradient changed along a move, where it grew."""
        product = _dot(move, change)
        wanted = wanted & (product > CURVED * move.norm(dim=1) * change.norm(dim=1))
        slot = step % MEMORY
        self.moves[slot, index] = torch.where(wanted[:, None], move, 0.0)
        self.changes[slot, index] = torch.where(wanted[:, None], change, 0.0)
        self.curvature[slot, index] = torch.where(wanted, 1 / product, 0.0)
        scale = BOLDNESS * product / _dot(change, change).clamp_min(1e-20)
        self.scale[index] = torch.where(wanted, scale, self.scale[index])

    def _descent(self, index: Tensor, step: int) -> Tensor:
        """Return minus the inverse Hessian times the gradient: the two-loop recursion (algorithm 7.4)."""
        direction, shares = self.gradient[index].clone(), {}
        newest_first = [(step - age) % MEMORY for age in range(min(step + 1, MEMORY))]
        for slot in newest_first:
            move, change, curvature = self.moves[slot, index], self.changes[slot, index], self.curvature[slot, index]
            shares[slot] = curvature * _dot(move, direction)
            direction -= shares[slot][:, None] * change
        direction *= self.scale[index][:, None]
        for slot in reversed(newest_first):
            move, change, curvature = self.moves[slot, index], self.changes[slot, index], self.curvature[slot, index]
            direction += (shares[slot] - curvature * _dot(change, direction))[:, None] * move
        return -direction


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(dim=1)
