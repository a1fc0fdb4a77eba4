"""Where a search is: the codes it starts from, and the coordinates that it moves in."""

import torch
from torch import Tensor

from inversion.curvature import conditioned, curvature_in_w, expected_step
from inversion.losses import masked_squared_error
from inversion.statistics import class_labels, nearest_z, sample_z
from inversion.task import Task
from stylegan_core.errors import LatentMismatchError
from stylegan_core.seeds import generator_for

CONDITIONED_STRIDE = 3.0  # factor of the learning rate where the curvature is known, in units of the expected step
UNKNOWN_STRIDE = 30.0  # units of the std of W that L-BFGS takes for the loss's scale where its curvature is not known
CANDIDATE_STREAM = 1 << 22  # keeps these random numbers apart from the jitter's
NUM_CANDIDATES = 32  # z that are rendered to choose the start of a search in Z, at least 4 a class up to 128


class Coordinates:
    """N codes [N, L, dim] in W+ (L layers), W or Z (L = 1), and `values` [N, L, dim], which the optimizer moves.

    The values are the codes themselves; or, in steps, how far they are from `base`: in units of the std of W that the
    curvature of the loss stretches, where it is known, so that the loss is a round bowl over them."""

    def __init__(self, task: Task, w_std: Tensor, quasi_newton: bool) -> None:
        self.generator, self.space = task.generator, task.config.space
        self.base, self.labels = _starting_codes(task, w_std)
        self.unit = torch.ones_like(self.base[0, 0]) if self.space == "z" else w_std
        self.curvature = _curvature(task)
        self.in_steps = bool(self.curvature or quasi_newton)
        self.values = torch.zeros_like(self.base) if self.in_steps else self.base.clone()
        self.stride = torch.zeros(len(self.base)).to(self.base)  # Adam's, in conditioned coordinates

    def codes(self, index: Tensor) -> Tensor:
        """Return the codes [n, L, dim] of the targets `index`."""
        if not self.in_steps:
            return self.values[index]
        return self.base[index] + self._conditioned(self.values[index]) * self.unit

    def ws(self, codes: Tensor, index: Tensor) -> Tensor:
        """Turn codes [n, L, dim] of the targets `index` into ws [n, num_ws, w_dim]."""
        if self.space == "z":
            return self.generator.mapping(codes[:, 0], self.labels[index] if self.labels is not None else None)
        return codes.expand(-1, self.generator.num_ws, -1)

    def pulled_back(self, gradient: Tensor) -> Tensor:
        """Turn a gradient by the codes into one by the values."""
        return self._conditioned(gradient * self.unit) if self.in_steps else gradient

    def strides(self, index: Tensor, step: int, loss: Tensor) -> Tensor:
        """Return what a learning rate of 1 moves the values by; `loss` [n] tells it at the first step."""
        if not self.curvature:
            return self.unit
        if step == 0:
            self.stride[index] = CONDITIONED_STRIDE * expected_step(loss, self.curvature)
        return self.stride[index][:, None, None]

    def _conditioned(self, steps: Tensor) -> Tensor:
        """Scale steps [n, L, dim] so that the loss is round over them, where its curvature is known."""
        if not self.curvature:
            return steps * UNKNOWN_STRIDE
        return conditioned(steps.flatten(1), self.curvature).view_as(steps)


def starting_codes(task: Task) -> Tensor:
    """Return the codes that a search in W+ or W starts from, [N, num_ws or 1, w_dim]: those given, else w_avg."""
    generator, num = task.generator, len(task.targets)
    ws = generator.w_avg.expand(num, generator.num_ws, -1) if task.start is None else task.start
    if ws.shape != (num, generator.num_ws, generator.w_dim):
        raise LatentMismatchError(
            f"the starting codes are {list(ws.shape)}, expected {[num, generator.num_ws, generator.w_dim]}; "
            "invert the image again with this generator"
        )
    if task.config.space == "w":
        ws = ws.mean(dim=1, keepdim=True)
    return ws.detach().clone().to(task.targets)


def _starting_codes(task: Task, w_std: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return codes to optimise, [N, num_ws (W+) or 1 (W, Z), dim], and for Z the labels [N, c_dim] if there are any."""
    ws = starting_codes(task)
    if task.config.space != "z":
        return ws, None
    if task.start is None:
        z, labels = _best_rendered_z(task)
    else:
        z, labels = nearest_z(task.generator, ws.mean(dim=1), w_std, task.config.seed)
    return z[:, None].to(task.targets), labels


def _curvature(task: Task) -> dict[str, Tensor] | None:
    """Return the curvature over the space that is searched, if it is known."""
    if not task.curvature or task.config.space == "z":
        return None
    num_ws, w_dim = task.generator.num_ws, task.generator.w_dim
    if task.curvature["directions"].shape[1] != num_ws * w_dim:
        raise LatentMismatchError("the encoder's curvature belongs to another generator; train one for this generator")
    return curvature_in_w(task.curvature, num_ws) if task.config.space == "w" else task.curvature


def _best_rendered_z(task: Task) -> tuple[Tensor, Tensor | None]:
    """Return, of some z, those whose renders are nearest to the targets, [N, z_dim], and their labels.

    The label decides more than a search in Z can make good, so every class is tried."""
    generator = task.generator
    num = max(NUM_CANDIDATES, min(4 * generator.c_dim, 128))
    z = sample_z(generator, num, generator_for(task.config.seed, CANDIDATE_STREAM))
    labels = class_labels(generator, num, z.device)
    errors = []
    with torch.no_grad():
        for row in range(num):
            ws = generator.mapping(z[row : row + 1], labels[row : row + 1] if labels is not None else None)
            image = generator.synthesis(ws, noise_mode="const").expand_as(task.targets)
            errors.append(masked_squared_error(image, task.targets, task.masks))
    best = torch.stack(errors).argmin(dim=0)
    return z[best], labels[best] if labels is not None else None
