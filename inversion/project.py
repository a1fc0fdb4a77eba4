"""Recover W or W+ codes by optimisation: w* = argmin L_percept(G(w), I) + (lambda_mse / N) ||G(w) - I||^2."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from inversion.config import OPTIMISERS, PRECISIONS, SPACES, ProjectionConfig
from inversion.curvature import conditioned, curvature_in_w, expected_step
from inversion.faces.judges import identity_descriptor
from inversion.losses import (
    identity_term,
    masked,
    masked_squared_error,
    noise_autocorrelation,
    perceptual_features,
    standardise_noise,
    wplus_spread,
)
from inversion.quasi_newton import QuasiNewton
from inversion.state import State, pack_streams, run_search, unpack_streams
from inversion.statistics import class_labels, nearest_z, sample_z, w_statistics
from inversion.task import Progress, Projection, Task
from stylegan_core.devices import reduced_precision
from stylegan_core.errors import ConfigError, LatentMismatchError
from stylegan_core.features.perceptual import PerceptualDistance
from stylegan_core.seeds import generator_for

RAMP_UP, RAMP_DOWN = 0.05, 0.25  # shares of the steps over which the learning rate rises and falls
JITTER_UNTIL = 0.75  # share of the steps after which w is not jittered any more
CONDITIONED_STRIDE = 3.0  # factor of the learning rate where the curvature is known, in units of the expected step
UNKNOWN_STRIDE = 30.0  # units of the std of W that L-BFGS takes for the loss's scale where its curvature is not known
CANDIDATE_STREAM = 1 << 22  # keeps these random numbers apart from the jitter's
NUM_CANDIDATES = 32  # z that are rendered to choose the start of a search in Z, at least 4 a class up to 128
BETAS, EPSILON = (0.9, 0.999), 1e-8


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
    return project_task(Task(generator, targets, perceptual, config, start, start_noise, progress=progress))


def project_task(task: Task) -> Projection:
    """Do what `project` does, with masks and a state file where the task has them."""
    check_options(task.generator, task.targets, task.config)
    if task.masks is not None and task.masks.shape != (len(task.targets), 1, *task.targets.shape[2:]):
        raise LatentMismatchError(
            f"the masks are {list(task.masks.shape)}; one of the targets' size is needed for each"
        )
    run = _Run(task)
    run_search(run, task, task.config.steps, "project")
    return run.result()


def check_options(generator: Any, targets: Tensor, config: ProjectionConfig) -> None:
    """Refuse options that make no sense and targets of another size."""
    if config.space not in SPACES:
        raise ConfigError(f"--space '{config.space}' is unknown; expected one of {', '.join(SPACES)}")
    if config.precision not in PRECISIONS:
        raise ConfigError(f"--precision '{config.precision}' is unknown; expected one of {', '.join(PRECISIONS)}")
    if config.optimiser not in OPTIMISERS:
        raise ConfigError(f"--optimiser '{config.optimiser}' is unknown; expected one of {', '.join(OPTIMISERS)}")
    if config.steps < 0 or config.lr <= 0 or config.patience < 0:
        raise ConfigError("steps and patience must be 0 or more, and the learning rate above 0")
    if (
        min(config.lambda_percept, config.lambda_mse, config.lambda_wplus, config.lambda_noise, config.lambda_identity)
        < 0
    ):
        raise ConfigError("loss weights must be 0 or more")
    if config.lambda_identity and generator.img_channels != 3:
        raise ConfigError("the identity term needs a colour generator; set --lambda-identity 0")
    check_targets(generator, targets)


def check_targets(generator: Any, targets: Tensor) -> None:
    """Refuse targets of another size than the generator renders; raises `LatentMismatchError`."""
    expected = [generator.img_channels, generator.img_resolution, generator.img_resolution]
    if list(targets.shape[1:]) != expected:
        raise LatentMismatchError(f"targets are {list(targets.shape[1:])}, the generator renders {expected}")


class _Run:
    """The state of one optimisation: codes, Adam's moments, the best so far."""

    def __init__(self, task: Task) -> None:
        generator, config = task.generator, task.config
        self.generator, self.config, self.masks = generator, config, task.masks
        self.perceptual = task.perceptual if config.lambda_percept > 0 else None
        self.targets, num = task.targets, len(task.targets)
        _, self.w_std = w_statistics(generator)
        self.codes, self.labels = _starting_codes(task, self.w_std)
        self.unit = torch.ones_like(self.codes[0, 0]) if config.space == "z" else self.w_std
        self.curvature = _curvature(task)
        self.noise = _starting_noise(generator, num, task.start_noise) if config.optimise_noise else {}
        self.newton = _quasi_newton(config, self.codes, bool(self.curvature), bool(self.noise))
        self.base = self.codes.clone()
        self.in_steps = bool(self.curvature or self.newton)  # then `codes` are steps from `base`
        if self.in_steps:
            self.codes = torch.zeros_like(self.codes)
        self.stride = torch.zeros(num).to(self.codes)  # of the conditioned coordinates
        # The same stream for each: a target's jitter must not tell its place in the batch.
        self.streams = [generator_for(config.seed) for _ in range(num)]
        self.moments = {name: (torch.zeros_like(p), torch.zeros_like(p)) for name, p in self._parameters().items()}
        with torch.no_grad():
            shown = masked(self.targets, self.masks)
            self.features = perceptual_features(self.perceptual, shown) if self.perceptual else []
            self.identity = identity_descriptor(shown, generator.meta.alignment) if config.lambda_identity else None
            self.best_ws = self._ws(self.base, list(range(num))).clone()
        self.active = list(range(num))
        self.best_codes, self.best_noise = self.base.clone(), {k: v.clone() for k, v in self.noise.items()}
        self.best_loss = torch.full([num], math.inf)
        self.best_step, self.num_steps, self.settled_at = [0] * num, [0] * num, [0] * num
        self.settled_loss = [math.inf] * num
        self.history: list[dict[str, list[float]]] = [{} for _ in range(num)]

    def _parameters(self) -> dict[str, Tensor]:
        return {"w": self.codes, **self.noise}

    def _ws(self, codes: Tensor, targets: list[int]) -> Tensor:
        """Turn the codes of `targets` into ws [n, num_ws, w_dim]."""
        if self.config.space == "z":
            labels = self.labels[targets] if self.labels is not None else None
            ws: Tensor = self.generator.mapping(codes[:, 0], labels)
            return ws
        return codes.expand(-1, self.generator.num_ws, -1)

    def _position(self, index: Tensor) -> Tensor:
        """Return the codes [n, L, dim] of the targets `index`."""
        if not self.in_steps:
            return self.codes[index]
        return self.base[index] + self._conditioned(self.codes[index]) * self.unit

    def _pulled_back(self, gradient: Tensor) -> Tensor:
        """Turn a gradient by the codes into one by what is optimised, which is what `_position` starts from."""
        return self._conditioned(gradient * self.unit) if self.in_steps else gradient

    def _conditioned(self, steps: Tensor) -> Tensor:
        """Scale steps [n, L, dim] so that the loss is round over them, where its curvature is known."""
        if not self.curvature:
            return steps * UNKNOWN_STRIDE
        return conditioned(steps.flatten(1), self.curvature).view_as(steps)

    def finished(self) -> bool:
        return not self.active

    def ws_so_far(self) -> Tensor:
        return self.best_ws

    def step(self, step: int) -> float:
        """Take one step with the targets that have not settled; return their mean loss."""
        targets, index = self.active, torch.tensor(self.active)
        codes = (self._position(index) + self._jitter(step)).requires_grad_(True)
        noise = {name: level[index].requires_grad_(True) for name, level in self.noise.items()}
        ws = self._ws(codes, targets)
        with reduced_precision(ws.device, self.config.precision):
            terms = self._terms(ws, noise, index)
        loss = torch.stack(list(terms.values())).sum(dim=0)  # [active]
        gradients = torch.autograd.grad(loss.sum(), [codes, *noise.values()])
        self._remember(step, targets, {"codes": codes, "ws": ws, **noise}, loss, terms)
        gradients = (self._pulled_back(gradients[0]), *gradients[1:])
        if self.newton is None:
            self._adam_step(step, index, loss.detach(), gradients)
        else:
            tried, slope = self.codes[index].flatten(1), gradients[0].flatten(1)
            self.codes[index] = self.newton.advance(index, step, tried, loss.detach(), slope).view_as(codes)
        return float(loss.mean().detach())

    def _adam_step(self, step: int, index: Tensor, loss: Tensor, gradients: Sequence[Tensor]) -> None:
        schedule = learning_rate_schedule(step, self.config.steps)
        if self.curvature and step == 0:
            self.stride[index] = CONDITIONED_STRIDE * expected_step(loss, self.curvature)
        stride = self.stride[index][:, None, None] if self.curvature else self.unit
        for name, gradient in zip(self._parameters(), gradients, strict=True):
            scale = self.config.lr * stride if name == "w" else torch.tensor(self.config.lr_noise)
            self._adam(name, index, gradient, scale * schedule, step)
        if self.noise:
            standardise_noise(list(self.noise.values()))

    def _terms(self, ws: Tensor, noise: dict[str, Tensor], index: Tensor) -> dict[str, Tensor]:
        """Return the weighted terms of the objective, [active] each."""
        images = self.generator.synthesis(ws, noise_mode="const", **({"noise": noise} if noise else {}))
        config, terms = self.config, {}
        masks = self.masks[index] if self.masks is not None else None
        terms["mse"] = config.lambda_mse * masked_squared_error(images, self.targets[index], masks)
        shown = masked(images, masks)
        if self.perceptual:
            features = perceptual_features(self.perceptual, shown)
            target = [layer[index] for layer in self.features]
            terms["perceptual"] = config.lambda_percept * self.perceptual.between(features, target)
        if self.identity is not None:
            alignment = self.generator.meta.alignment
            terms["identity"] = config.lambda_identity * identity_term(shown, self.identity[index], alignment)
        if config.space == "w+" and config.lambda_wplus:
            terms["wplus"] = config.lambda_wplus * wplus_spread(ws, self.w_std)
        if noise and config.lambda_noise:
            terms["noise"] = config.lambda_noise * noise_autocorrelation(noise.values())
        return terms

    def _jitter(self, step: int) -> Tensor:
        """Noise on the codes that anneals to nothing, drawn for each target from its own stream; Adam's alone."""
        if self.newton is not None:
            return torch.zeros([])
        share = max(0.0, 1 - step / max(1.0, self.config.steps * JITTER_UNTIL)) ** 2
        draws = torch.stack([torch.randn(self.codes.shape[1:], generator=self.streams[i]) for i in self.active])
        return draws.to(self.codes) * self.unit * (self.config.jitter * share)

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
        self, step: int, targets: list[int], values: dict[str, Tensor], loss: Tensor, terms: dict[str, Tensor]
    ) -> None:
        """Keep each target's best code, its history, and drop the targets that have settled."""
        best = {"codes": self.best_codes, "ws": self.best_ws, **self.best_noise}
        still_active = []
        for row, target in enumerate(targets):
            value = float(loss[row].detach())
            self.num_steps[target] = step + 1
            for name, term in terms.items():
                self.history[target].setdefault(name, []).append(float(term[row].detach()))
            if value < self.best_loss[target]:
                self.best_loss[target], self.best_step[target] = value, step
                for name, kept in best.items():
                    kept[target] = values[name][row].detach()
            if value < self.settled_loss[target] * (1 - self.config.settled):
                self.settled_loss[target], self.settled_at[target] = value, step
            if math.isfinite(value) and not self._has_settled(step, target):
                still_active.append(target)
        self.active = still_active

    def _has_settled(self, step: int, target: int) -> bool:
        return bool(self.config.patience) and step - self.settled_at[target] >= self.config.patience

    def _tensors(self) -> dict[str, Tensor]:
        """Return the tensors that change from step to step, by name; all are changed in place."""
        tensors = {"best_codes": self.best_codes, "best_ws": self.best_ws, "best_loss": self.best_loss}
        tensors["stride"] = self.stride
        if self.newton is not None:
            tensors |= {f"newton.{name}": tensor for name, tensor in self.newton.tensors().items()}
        for name, parameter in self._parameters().items():
            first, second = self.moments[name]
            tensors |= {f"parameter.{name}": parameter, f"first.{name}": first, f"second.{name}": second}
        return tensors | {f"best_noise.{name}": level for name, level in self.best_noise.items()}

    def state(self) -> State:
        names = ("active", "best_step", "num_steps", "settled_at", "settled_loss", "history")
        return {**self._tensors(), "streams": pack_streams(self.streams)}, {n: getattr(self, n) for n in names}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        for name, tensor in self._tensors().items():
            tensor.copy_(tensors[name])
        unpack_streams(self.streams, tensors["streams"])
        for name, value in facts.items():
            setattr(self, name, value)

    def result(self) -> Projection:
        steps = self.best_step, self.num_steps
        z = self.best_codes[:, 0] if self.config.space == "z" else None
        return Projection(self.best_ws, self.best_noise, self.best_loss, *steps, self.history, z)


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


def _starting_codes(task: Task, w_std: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return codes to optimise, [N, num_ws (W+) or 1 (W, Z), dim], and for Z the labels [N, c_dim] if there are any."""
    generator, num = task.generator, len(task.targets)
    ws = generator.w_avg.expand(num, generator.num_ws, -1) if task.start is None else task.start
    if ws.shape != (num, generator.num_ws, generator.w_dim):
        raise LatentMismatchError(
            f"the starting codes are {list(ws.shape)}, expected {[num, generator.num_ws, generator.w_dim]}; "
            "invert the image again with this generator"
        )
    if task.config.space == "z":
        if task.start is None:
            z, labels = _best_rendered_z(task)
        else:
            z, labels = nearest_z(generator, ws.mean(dim=1), w_std, task.config.seed)
        return z[:, None].to(task.targets), labels
    if task.config.space == "w":
        ws = ws.mean(dim=1, keepdim=True)
    return ws.detach().clone().to(task.targets), None


def _quasi_newton(config: ProjectionConfig, codes: Tensor, has_curvature: bool, has_noise: bool) -> QuasiNewton | None:
    """Return L-BFGS, or None for Adam.

    With noise inputs in the search, what is best for the code changes under it, which Adam copes with."""
    if config.optimiser == "lbfgs" and has_noise:
        raise ConfigError("--optimiser lbfgs searches for codes alone; add --no-optimise-noise, or leave it to adam")
    if config.optimiser == "lbfgs" or (config.optimiser == "auto" and has_curvature and not has_noise):
        return QuasiNewton(len(codes), codes[0].numel(), codes)
    return None


def _curvature(task: Task) -> dict[str, Tensor] | None:
    """Return the curvature over the space that is searched, if it is known."""
    if not task.curvature or task.config.space == "z":
        return None
    num_ws, w_dim = task.generator.num_ws, task.generator.w_dim
    if task.curvature["directions"].shape[1] != num_ws * w_dim:
        raise LatentMismatchError("the encoder's curvature belongs to another generator; train one for this generator")
    return task.curvature if task.config.space == "w+" else curvature_in_w(task.curvature, num_ws)


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
