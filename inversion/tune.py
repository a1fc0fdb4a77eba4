"""Pivotal tuning (Roich et al. 2021): keep the code, bend the generator to the face, and nowhere else.

The bend is a low-rank difference of the synthesis weights, small enough to live in the latent's file."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from inversion.adam import learning_rate_schedule
from inversion.codes import search_codes
from inversion.delta import Delta, expand, is_whole, matrix_shape, rank_for, synthesis_parameters
from inversion.draws import EditDraws
from inversion.half_size import at_half_size, half_of, halved
from inversion.losses import masked
from inversion.methods import settle
from inversion.objective import InversionObjective, LossWeights, total
from inversion.scores import psnr
from inversion.state import State, pack_optimizer, pack_streams, run_search, unpack_optimizer, unpack_streams
from inversion.statistics import random_ws
from inversion.task import Projection, Task, after, beside
from stylegan_core.devices import reduced_precision
from stylegan_core.errors import ConfigError
from stylegan_core.seeds import generator_for

BETAS, EPSILON = (0.9, 0.99), 1e-8
UNIT_FLOOR = 0.05  # of a parameter's RMS: biases may start at zero
TUNE_STREAM = 1 << 21  # keeps these random numbers apart from the projection's
NEARNESS = 0.5  # how far the locality term's codes lie from the pivot on the way to a random w
OVERSHOOT = 1.25  # factor of what a drawn edit is to change, since the fit falls short of it (docs/architecture.md)
DRAWN_SIDE = 128  # pixels at which drawn edits and codes elsewhere are compared by perceptual features
VISIBLE = 0.025  # change of a pixel that counts as one, in [-1, 1]
REACH = 4  # pixels around a change that belong to it


def tune(task: Task) -> Projection:
    """Project each target, then tune the generator around its code; every target gets its own delta."""
    if task.config.space == "f":
        raise ConfigError("--method tune bends the generator where --space f corrects its features; choose one of them")
    task = replace(task, config=settle(task.config, "tune", task.generator))
    synthesis_parameters(task.generator)  # refuses a generator that has none
    files = [beside(task, part) for part in ("pivot", *(f"tune{row}" for row in range(len(task.targets))))]
    pivot = search_codes(replace(at_half_size(task), state_file=files[0], keep_state=True))
    for row in range(len(task.targets)):
        one = replace(
            task,
            targets=task.targets[row : row + 1],
            masks=None if task.masks is None else task.masks[row : row + 1],
            start=pivot.ws[row : row + 1],
            start_noise={name: level[row, 0] for name, level in pivot.noise.items()},
            progress=after(task.progress, task.config.steps + row * task.tune.tune_steps),
            state_file=files[1 + row],
            keep_state=True,
        )
        search = _Tuning(one, row)
        run_search(search, one, task.tune.tune_steps, "tune")
        pivot.deltas.append(search.delta())
        for name, values in search.history.items():
            pivot.history[row][f"tune_{name}"] = values
    for file in files:
        if file:
            file.unlink(missing_ok=True)
    return pivot


class _Tuning:
    """Adam on the factors of the weights' difference, for one target."""

    def __init__(self, task: Task, row: int) -> None:
        self.task, self.generator, self.config = task, task.generator, task.config
        assert task.start is not None
        self.pivot, self.noise = task.start, {n: level[None, None] for n, level in (task.start_noise or {}).items()}
        self.parameters = synthesis_parameters(task.generator)
        num_values = sum(parameter.numel() for parameter in self.parameters.values())
        self.rank = rank_for(self.parameters, task.tune.tune_size, num_values)
        self.stream = generator_for(task.config.seed, TUNE_STREAM)
        self.parts, self.unit = _zero_delta(self.parameters, self.rank, self.stream)
        self.flat = [tensor for part in self.parts.values() for tensor in part]
        self.optimizer = torch.optim.Adam(self.flat, lr=task.tune.tune_lr, betas=BETAS, eps=EPSILON)
        self.draws = EditDraws(task.generator, self.pivot)
        self.history: dict[str, list[float]] = {}
        weights = LossWeights(mse=task.tune.tune_mse, perceptual=self.config.lambda_percept)
        self.objective = InversionObjective(task.generator.synthesis, weights, task.perceptual)
        self.on_drawn = replace(self.objective, perceptual_side=DRAWN_SIDE)
        self.target = self.objective.target(task.targets, task.masks)
        self.drawn: Any = half_of(task.generator).synthesis  # what drawn edits and codes elsewhere are rendered by
        with torch.no_grad():
            self.render = self._render(self.pivot)  # of the generator as it is
            whole = task.generator.synthesis(self.pivot, noise_mode="const", **self._noise())
            missing = masked(task.targets - whole, task.masks)
            self.missing = missing if missing.shape == self.render.shape else halved(missing)

    def step(self, step: int) -> float:
        for group in self.optimizer.param_groups:
            group["lr"] = self.task.tune.tune_lr * learning_rate_schedule(step, self.task.tune.tune_steps)
        config, weights = self.task.tune, expand(self._scaled(), self.parameters)
        edited = bool(step % 2) and config.tune_edits > 0
        code, wanted = self._edited() if edited else self._elsewhere()
        with reduced_precision(code.device, self.config.precision):
            image = self._bent(self.generator.synthesis, self.pivot, weights)
            changed = self._bent(self.drawn, code, weights)
            there = total(self.objective.compare(image, self.target)).sum()
            beside = total(self.on_drawn.compare(changed, self.on_drawn.target(wanted))).sum()
        loss = there + (config.tune_edits if edited else config.tune_locality) * beside
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            closeness = psnr(image, self.task.targets, self.task.masks)
        other = "edits" if edited else "locality"
        for name, value in (("psnr", closeness), ("loss", there), (other, beside)):
            self.history.setdefault(name, []).append(float(value.detach()))
        return float(loss.detach())

    def _bent(self, network: Any, code: Tensor, weights: dict[str, Tensor]) -> Tensor:
        """Render a code [1, num_ws, w_dim] with other weights, by the whole network or its lower layers."""
        own = {name: weights[name] for name, _ in network.named_parameters()}
        image: Tensor = torch.func.functional_call(network, own, (code,), {"noise_mode": "const", **self._noise()})
        return image

    def finished(self) -> bool:
        return bool(self.history) and self.history["psnr"][-1] >= self.task.tune.tune_psnr

    def ws_so_far(self) -> Tensor:
        return self.pivot

    def delta(self) -> Delta:
        """Return the difference in 16 bit."""
        return Delta({name: tuple(t.detach().half() for t in part) for name, part in self._scaled().items()})

    def state(self) -> State:
        tensors = {f"flat.{index}": tensor for index, tensor in enumerate(self.flat)}
        return {**tensors, **pack_optimizer(self.optimizer), "streams": pack_streams([self.stream])}, {
            "history": self.history
        }

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        with torch.no_grad():
            for index, tensor in enumerate(self.flat):
                tensor.copy_(tensors[f"flat.{index}"])
        unpack_optimizer(self.optimizer, tensors)
        unpack_streams([self.stream], tensors["streams"])
        self.history = facts["history"]

    @torch.no_grad()
    def _elsewhere(self) -> tuple[Tensor, Tensor]:
        """Draw a code [1, num_ws, w_dim] on the way to a random w; its render is to stay what it was."""
        code = self.pivot.lerp(random_ws(self.generator, 1, self.stream), NEARNESS)
        return code, self._render(code)

    @torch.no_grad()
    def _edited(self) -> tuple[Tensor, Tensor]:
        """Draw an edited pivot; where the edit changes the render it is to stay so, the rest is to be the photo's."""
        edit = self.draws.draw(self.stream)
        render = self._render(self.pivot + OVERSHOOT * edit)
        change = F.avg_pool2d((render - self.render).abs().mean(dim=1, keepdim=True), 2 * REACH + 1, 1, REACH)
        return self.pivot + edit, render + (-change / VISIBLE).exp() * self.missing

    def _render(self, code: Tensor) -> Tensor:
        image: Tensor = self.drawn(code, noise_mode="const", **self._noise())
        return image

    def _noise(self) -> dict[str, Any]:
        return {"noise": self.noise} if self.noise else {}

    def _scaled(self) -> dict[str, tuple[Tensor, ...]]:
        return {name: (part[0] * self.unit[name], *part[1:]) for name, part in self.parts.items()}


def _zero_delta(
    parameters: dict[str, Tensor], rank: int, stream: torch.Generator
) -> tuple[dict[str, tuple[Tensor, ...]], dict[str, float]]:
    """Return factors whose product is zero, and each parameter's RMS, the unit of its difference.

    The right factor is random and the left zero (Hu et al. 2021), so the first step is not lost."""
    parts: dict[str, tuple[Tensor, ...]] = {}
    unit = {}
    for name, parameter in parameters.items():
        unit[name] = max(float(parameter.detach().float().square().mean().sqrt()), UNIT_FLOOR)
        if is_whole(parameter, rank):
            parts[name] = (torch.zeros_like(parameter).requires_grad_(True),)
        else:
            rows, columns = matrix_shape(parameter)
            right = torch.randn(rank, columns, generator=stream).to(parameter) / math.sqrt(rank)
            parts[name] = (parameter.new_zeros(rows, rank).requires_grad_(True), right.requires_grad_(True))
    return parts, unit
