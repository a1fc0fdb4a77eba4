"""Recover W or W+ codes by optimisation: w* = argmin L_percept(G(w), I) + (lambda_mse / N) ||G(w) - I||^2."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from inversion.config import SPACES, ProjectionConfig
from inversion.losses import (
    mean_squared_error,
    noise_autocorrelation,
    perceptual_features,
    standardise_noise,
    wplus_spread,
)
from inversion.statistics import w_statistics
from stylegan_core.errors import ConfigError, LatentMismatchError
from stylegan_core.features.perceptual import PerceptualDistance
from stylegan_core.seeds import generator_for

RAMP_UP, RAMP_DOWN = 0.05, 0.25  # shares of the steps over which the learning rate rises and falls
JITTER_UNTIL = 0.75  # share of the steps after which w is not jittered any more
BETAS, EPSILON = (0.9, 0.999), 1e-8

Progress = Callable[[int, float], None]


@dataclass
class Projection:
    """The codes found: for each of N targets the best seen, not the last."""

    ws: Tensor  # [N, num_ws, w_dim]
    noise: dict[str, Tensor]  # noise inputs [N, 1, H, W] by layer; empty where none were optimised
    loss: Tensor  # [N]: the whole objective at the best step
    best_step: list[int]
    num_steps: list[int]  # steps taken by each
    history: list[dict[str, list[float]]] = field(default_factory=list)  # a target: term -> value a step


def project(
    generator: Any,
    targets: Tensor,
    perceptual: PerceptualDistance | None,
    config: ProjectionConfig = ProjectionConfig(),
    start: Tensor | None = None,
    start_noise: dict[str, Tensor] | None = None,
    progress: Progress | None = None,
) -> Projection:
    """Optimise codes of `targets` [N, C, R, R] in [-1, 1], starting from w_avg or from `start` [N, num_ws, w_dim].

    Each target has its own jitter, early stop and best step, so the result does not depend on its neighbours in the
    batch (within float error). `perceptual=None` leaves the perceptual term out. The rendered code with the lowest
    objective so far is kept; `steps=0` returns the starting code. `progress(step, mean loss)` is called every step."""
    check_options(generator, targets, config)
    run = _Run(generator, targets, perceptual, config, start, start_noise)
    for step in range(config.steps):
        loss = run.step(step)
        if progress:
            progress(step + 1, loss)
        if not run.active:
            break
    return run.result()


def check_options(generator: Any, targets: Tensor, config: ProjectionConfig) -> None:
    """Refuse options that make no sense and targets of another size."""
    if config.space not in SPACES:
        raise ConfigError(f"--space '{config.space}' is unknown; expected one of {', '.join(SPACES)}")
    if config.steps < 0 or config.lr <= 0 or config.patience < 0:
        raise ConfigError("steps and patience must be 0 or more, and the learning rate above 0")
    if min(config.lambda_percept, config.lambda_mse, config.lambda_wplus, config.lambda_noise) < 0:
        raise ConfigError("loss weights must be 0 or more")
    expected = [generator.img_channels, generator.img_resolution, generator.img_resolution]
    if list(targets.shape[1:]) != expected:
        raise LatentMismatchError(f"targets are {list(targets.shape[1:])}, the generator renders {expected}")


class _Run:
    """The state of one optimisation: codes, Adam's moments, the best so far."""

    def __init__(
        self,
        generator: Any,
        targets: Tensor,
        perceptual: PerceptualDistance | None,
        config: ProjectionConfig,
        start: Tensor | None,
        start_noise: dict[str, Tensor] | None,
    ) -> None:
        self.generator, self.config = generator, config
        self.perceptual = perceptual if config.lambda_percept > 0 else None
        self.targets, num = targets, len(targets)
        self.w_avg, self.w_std = w_statistics(generator)
        ws = generator.w_avg.expand(num, generator.num_ws, -1) if start is None else start
        if ws.shape != (num, generator.num_ws, generator.w_dim):
            raise LatentMismatchError(
                f"the starting codes are {list(ws.shape)}, expected {[num, generator.num_ws, generator.w_dim]}; "
                "invert the image again with this generator"
            )
        if config.space == "w":
            ws = ws.mean(dim=1, keepdim=True)
        self.ws = ws.detach().clone().to(targets)
        self.noise = _starting_noise(generator, num, start_noise) if config.optimise_noise else {}
        self.streams = [generator_for(config.seed, index) for index in range(num)]
        self.moments = {name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in self._parameters().items()}
        with torch.no_grad():
            self.features = perceptual_features(self.perceptual, targets) if self.perceptual else []
        self.active = list(range(num))
        self.best_ws, self.best_noise = self._broadcast(self.ws).clone(), {k: v.clone() for k, v in self.noise.items()}
        self.best_loss = torch.full([num], math.inf)
        self.best_step, self.num_steps, self.settled_at = [0] * num, [0] * num, [0] * num
        self.settled_loss = [math.inf] * num
        self.history: list[dict[str, list[float]]] = [{} for _ in range(num)]

    def _parameters(self) -> dict[str, Tensor]:
        return {"w": self.ws, **self.noise}

    def _broadcast(self, ws: Tensor) -> Tensor:
        return ws.expand(-1, self.generator.num_ws, -1)

    def step(self, step: int) -> float:
        """Take one step with the targets that have not settled; return their mean loss."""
        index = torch.tensor(self.active)
        ws = (self.ws[index] + self._jitter(step)).requires_grad_(True)
        noise = {name: level[index].requires_grad_(True) for name, level in self.noise.items()}
        terms = self._terms(ws, noise, index)
        loss = torch.stack(list(terms.values())).sum(dim=0)  # [active]
        gradients = torch.autograd.grad(loss.sum(), [ws, *noise.values()])
        self._remember(step, index, ws, noise, loss, terms)
        schedule = learning_rate_schedule(step, self.config.steps)
        for name, gradient in zip(self._parameters(), gradients, strict=True):
            scale = self.config.lr * self.w_std if name == "w" else torch.tensor(self.config.lr_noise)
            self._adam(name, index, gradient, scale * schedule, step)
        if self.noise:
            standardise_noise(list(self.noise.values()))
        return float(loss.mean().detach())

    def _terms(self, ws: Tensor, noise: dict[str, Tensor], index: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms of the objective, [active] each."""
        images = self.generator.synthesis(
            self._broadcast(ws), noise_mode="const", **({"noise": noise} if noise else {})
        )
        config, terms = self.config, {}
        terms["mse"] = config.lambda_mse * mean_squared_error(images, self.targets[index])
        if self.perceptual:
            features = perceptual_features(self.perceptual, images)
            target = [layer[index] for layer in self.features]
            terms["perceptual"] = config.lambda_percept * self.perceptual.between(features, target)
        if config.space == "w+" and config.lambda_wplus:
            terms["wplus"] = config.lambda_wplus * wplus_spread(ws, self.w_std)
        if noise and config.lambda_noise:
            terms["noise"] = config.lambda_noise * noise_autocorrelation(noise.values())
        return terms

    def _jitter(self, step: int) -> Tensor:
        """Noise on w that anneals to nothing, drawn for each target from its own stream."""
        share = max(0.0, 1 - step / max(1.0, self.config.steps * JITTER_UNTIL)) ** 2
        draws = torch.stack([torch.randn(self.ws.shape[1:], generator=self.streams[i]) for i in self.active])
        return draws.to(self.ws) * self.w_std * (self.config.jitter * share)

    def _adam(self, name: str, index: Tensor, gradient: Tensor, lr: Tensor, step: int) -> None:
        """One Adam step (Kingma & Ba 2015, algorithm 1) on the rows `index` of a parameter."""
        with torch.no_grad():
            first, second = self.moments[name]
            first[index] = BETAS[0] * first[index] + (1 - BETAS[0]) * gradient
            second[index] = BETAS[1] * second[index] + (1 - BETAS[1]) * gradient.square()
            mean = first[index] / (1 - BETAS[0] ** (step + 1))
            deviation = (second[index] / (1 - BETAS[1] ** (step + 1))).sqrt()
            self._parameters()[name][index] -= lr * mean / (deviation + EPSILON)

    def _remember(
        self, step: int, index: Tensor, ws: Tensor, noise: dict[str, Tensor], loss: Tensor, terms: dict[str, Tensor]
    ) -> None:
        """Keep each target's best code, its history, and drop the targets that have settled."""
        still_active = []
        for row, target in enumerate(index.tolist()):
            value = float(loss[row].detach())
            self.num_steps[target] = step + 1
            for name, term in terms.items():
                self.history[target].setdefault(name, []).append(float(term[row].detach()))
            if value < self.best_loss[target]:
                self.best_loss[target], self.best_step[target] = value, step
                self.best_ws[target] = self._broadcast(ws[row : row + 1])[0].detach()
                for name, level in noise.items():
                    self.best_noise[name][target] = level[row].detach()
            if value < self.settled_loss[target] * (1 - self.config.settled):
                self.settled_loss[target], self.settled_at[target] = value, step
            if math.isfinite(value) and not self._has_settled(step, target):
                still_active.append(target)
        self.active = still_active

    def _has_settled(self, step: int, target: int) -> bool:
        return bool(self.config.patience) and step - self.settled_at[target] >= self.config.patience

    def result(self) -> Projection:
        steps = self.best_step, self.num_steps
        return Projection(self.best_ws, self.best_noise, self.best_loss, *steps, self.history)


def learning_rate_schedule(step: int, num_steps: int) -> float:
    """Return the factor of the learning rate: a linear rise over 5 % of the steps, a cosine fall over the last 25 %."""
    t = step / max(num_steps, 1)
    fall = min(1.0, (1 - t) / RAMP_DOWN)
    return (0.5 - 0.5 * math.cos(fall * math.pi)) * min(1.0, (t + 1 / max(num_steps, 1)) / RAMP_UP)


def _starting_noise(generator: Any, num: int, start_noise: dict[str, Tensor] | None) -> dict[str, Tensor]:
    """Return noise inputs [num, 1, H, W]: those given, else the generator's own."""
    levels = {**generator.noise, **(start_noise or {})}
    return {
        name: level.detach().clone()[None, None].repeat(num, 1, 1, 1) if level.ndim == 2 else level.detach().clone()
        for name, level in levels.items()
    }
