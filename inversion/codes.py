"""Recover W or W+ codes by optimisation: w* = argmin L_percept(G(w), I) + (lambda_mse / N) ||G(w) - I||^2."""

import math
from typing import Any

import torch
from torch import Tensor

from inversion.adam import AdamRows, learning_rate_schedule
from inversion.config import ProjectionConfig
from inversion.coordinates import Coordinates, starting_codes
from inversion.keeper import Keeper
from inversion.losses import standardise_noise
from inversion.objective import InversionObjective, LossWeights, total
from inversion.quasi_newton import QuasiNewton
from inversion.state import State, pack_streams, run_search, unpack_streams
from inversion.statistics import w_statistics
from inversion.task import Projection, Task
from stylegan_core.devices import reduced_precision
from stylegan_core.errors import ConfigError, LatentMismatchError
from stylegan_core.networks.protocol import Alignment, Generator
from stylegan_core.seeds import generator_for

JITTER_UNTIL = 0.75  # share of the steps after which w is not jittered any more


def search_codes(task: Task) -> Projection:
    """Search for the codes of a task's targets, and for their noise inputs where the generator has some."""
    check_task(task)
    if not task.config.steps and task.config.space != "z":
        return unsearched(task)
    search = CodesOfTargets(task)
    run_search(search, task, task.config.steps, "project")
    return search.result()


def unsearched(task: Task) -> Projection:
    """Return what a search in W+ or W starts from, where there are no steps; nothing is rendered for it."""
    codes, num = starting_codes(task), len(task.targets)
    noise = _starting_noise(task.generator, num, task.start_noise) if task.config.optimise_noise else {}
    ws = codes.expand(-1, task.generator.num_ws, -1).clone()
    return Projection(ws, noise, torch.full([num], math.inf), [0] * num, [0] * num, [{} for _ in range(num)])


def check_task(task: Task) -> None:
    """Refuse targets and masks of another size than the generator renders, and terms that do not go with it."""
    check_targets(task.generator, task.targets)
    weights = task.config.lambda_mse, task.perceptual and task.config.lambda_percept, task.config.lambda_identity
    if not any(weights):
        raise ConfigError("there is nothing to minimise; set --lambda-mse or --lambda-percept above 0")
    if task.config.lambda_identity and task.generator.img_channels != 3:
        raise ConfigError("the identity term needs a colour generator; set --lambda-identity 0")
    if task.masks is not None and task.masks.shape != (len(task.targets), 1, *task.targets.shape[2:]):
        raise LatentMismatchError(
            f"the masks are {list(task.masks.shape)}; one of the targets' size is needed for each"
        )


def check_targets(generator: Generator, targets: Tensor) -> None:
    """Refuse targets of another size than the generator renders; raises `LatentMismatchError`."""
    expected = [generator.img_channels, generator.img_resolution, generator.img_resolution]
    if list(targets.shape[1:]) != expected:
        raise LatentMismatchError(f"targets are {list(targets.shape[1:])}, the generator renders {expected}")


class CodesOfTargets:
    """One search for the codes of N targets, independent of each other (inversion/state.py runs it)."""

    def __init__(self, task: Task) -> None:
        generator, config, num = task.generator, task.config, len(task.targets)
        w_std = w_statistics(generator)[1]
        alignment = generator.meta.alignment if config.lambda_identity else Alignment()
        self.config = config
        self.objective = InversionObjective(
            generator.synthesis, LossWeights.of(config), task.perceptual, w_std, alignment, task.identity
        )
        self.target = self.objective.target(task.targets, task.masks)
        self.noise = _starting_noise(generator, num, task.start_noise) if config.optimise_noise else {}
        by_newton = _by_newton(config, task, bool(self.noise))
        self.at = Coordinates(task, w_std, by_newton)
        self.newton = QuasiNewton(num, self.at.base[0].numel(), self.at.base) if by_newton else None
        self.adam = {name: AdamRows(parameter) for name, parameter in self._parameters().items()}
        # The same stream for each: a target's jitter must not tell its place in the batch.
        self.streams = [generator_for(config.seed) for _ in range(num)]
        with torch.no_grad():
            ws = self.at.ws(self.at.base, torch.arange(num))
        self.keeper = Keeper({"codes": self.at.base, "ws": ws, **self.noise}, config.patience, config.settled)

    def step(self, step: int) -> float:
        """Take one step with the targets that have not settled; return their mean loss."""
        index = torch.tensor(self.keeper.active)
        codes = (self.at.codes(index) + self._jitter(step)).requires_grad_(True)
        noise = {name: level[index].requires_grad_(True) for name, level in self.noise.items()}
        ws = self.at.ws(codes, index)
        with reduced_precision(ws.device, self.config.precision):
            terms = self.objective.terms(ws, self.target.rows(index), noise)
        loss = total(terms)  # [active]
        by_codes, *by_noise = torch.autograd.grad(loss.sum(), [codes, *noise.values()])
        self.keeper.look(step, {"codes": codes, "ws": ws, **noise}, loss, terms)
        self._move(index, step, loss.detach(), self.at.pulled_back(by_codes), by_noise)
        return float(loss.mean().detach())

    def finished(self) -> bool:
        """Tell whether all targets have settled."""
        return not self.keeper.active

    def ws_so_far(self) -> Tensor:
        """Return the best codes so far, [N, num_ws, w_dim]."""
        return self.keeper.best["ws"]

    def result(self) -> Projection:
        """Return the best codes and noise inputs, and what they cost."""
        keeper = self.keeper
        best = dict(keeper.best)
        codes, ws = best.pop("codes"), best.pop("ws")
        z = codes[:, 0] if self.config.space == "z" else None
        return Projection(ws, best, keeper.loss, keeper.best_step, keeper.num_steps, keeper.history, z)

    def state(self) -> State:
        """Return everything that the next step depends on."""
        return {**self._tensors(), "streams": pack_streams(self.streams)}, self.keeper.facts()

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        for name, tensor in self._tensors().items():
            tensor.copy_(tensors[name])
        unpack_streams(self.streams, tensors["streams"])
        self.keeper.restore(facts)

    def _parameters(self) -> dict[str, Tensor]:
        return {"w": self.at.values, **self.noise}

    def _move(self, index: Tensor, step: int, loss: Tensor, by_values: Tensor, by_noise: list[Tensor]) -> None:
        """Move codes and noise inputs against their gradients."""
        if self.newton is not None:
            tried = self.at.values[index].flatten(1)
            moved = self.newton.advance(index, step, tried, loss, by_values.flatten(1))
            self.at.values[index] = moved.view_as(by_values)
            return
        schedule = learning_rate_schedule(step, self.config.steps)
        stride = self.config.lr * self.at.strides(index, step, loss)
        self.adam["w"].advance(index, by_values, stride * schedule, step)
        for name, gradient in zip(self.noise, by_noise, strict=True):
            self.adam[name].advance(index, gradient, torch.tensor(self.config.lr_noise) * schedule, step)
        if self.noise:
            standardise_noise(list(self.noise.values()))

    def _jitter(self, step: int) -> Tensor:
        """Noise on the codes that anneals to nothing, drawn for each target from its own stream; Adam's alone."""
        if self.newton is not None:
            return torch.zeros([])
        share = max(0.0, 1 - step / max(1.0, self.config.steps * JITTER_UNTIL)) ** 2
        shape = self.at.base.shape[1:]
        draws = torch.stack([torch.randn(shape, generator=self.streams[i]) for i in self.keeper.active])
        return draws.to(self.at.base) * self.at.unit * (self.config.jitter * share)

    def _tensors(self) -> dict[str, Tensor]:
        """Return the tensors that change from step to step, by name; all are changed in place."""
        tensors = {"stride": self.at.stride, **self.keeper.tensors()}
        if self.newton is not None:
            tensors |= {f"newton.{name}": tensor for name, tensor in self.newton.tensors().items()}
        for name, adam in self.adam.items():
            tensors |= {f"parameter.{name}": adam.parameter, f"first.{name}": adam.first, f"second.{name}": adam.second}
        return tensors


def _starting_noise(generator: Generator, num: int, start_noise: dict[str, Tensor] | None) -> dict[str, Tensor]:
    """Return noise inputs [num, 1, H, W]: those given, else the generator's own."""
    levels = {**generator.noise, **(start_noise or {})}
    return {
        name: level.detach().clone()[None, None].repeat(num, 1, 1, 1) if level.ndim == 2 else level.detach().clone()
        for name, level in levels.items()
    }


def _by_newton(config: ProjectionConfig, task: Task, has_noise: bool) -> bool:
    """Tell whether L-BFGS searches, or else Adam.

    With noise inputs in the search, what is best for the code changes under it, which Adam copes with."""
    if config.optimizer == "lbfgs" and has_noise:
        raise ConfigError("--optimizer lbfgs searches for codes alone; add --no-optimise-noise, or leave it to adam")
    knows = bool(task.curvature) and config.space != "z"
    return config.optimizer == "lbfgs" or (config.optimizer == "auto" and knows and not has_noise)
