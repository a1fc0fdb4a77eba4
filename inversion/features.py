"""Inversion into feature space: W+ for everything, and a correction of the features of one layer (`--space f`).

F = G_k(w) + Delta, Delta in units of each channel's std. Half of the steps show the photo; the others draw an edit, and
ask that it change the corrected render as it changes the plain one, the photo's detail carried along
(inversion/carry.py)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from inversion.adam import AdamRows, learning_rate_schedule
from inversion.carry import Motion, motion_of
from inversion.correction import Correction, choose_layer, low_rank, rank_of
from inversion.draws import EditDraws
from inversion.losses import masked
from inversion.objective import InversionObjective, LossWeights, Target, total
from inversion.state import State, pack_streams, unpack_streams
from inversion.statistics import random_ws
from inversion.task import Task
from stylegan_core.devices import reduced_precision
from stylegan_core.networks.protocol import Generator
from stylegan_core.seeds import generator_for

BETAS = (0.9, 0.99)
FEATURE_STREAM = 1 << 26  # keeps these random numbers apart from the projection's
UNIT_SAMPLES = 8  # images whose features give the unit of each channel
EDIT_SIDE = 128  # pixels at which drawn edits are compared by perceptual features: a quarter of the photo's time
NUM_EDITS = 12  # edits that are drawn; then they come round again
MOST_VALUES = 1 << 26  # that drawn edits may hold; where they would be more, every one is drawn anew
OVERSHOOT = 1.4  # factor of what a drawn edit is to change, since the fit falls short of it
THIN_EVERY = 10  # steps after which a correction that is stored in factors is brought back to their rank


@dataclass(frozen=True)
class DrawnEdit:
    """An edit of every face of a search, and what its render is to be."""

    ws: Tensor  # [N, num_ws, w_dim]
    motion: Motion
    target: Target


class Correcting:
    """One search for the corrections of N faces whose codes are known, independent of each other."""

    def __init__(self, task: Task, ws: Tensor, noise: Mapping[str, Tensor]) -> None:
        """`ws` [N, num_ws, w_dim] and `noise` [N, 1, H, W] by layer are the faces' codes and inputs."""
        generator, config = task.generator, task.config
        self.task, self.generator, self.config = task, generator, config
        self.ws, self.noise = ws, {"noise": dict(noise)} if noise else {}
        self.name = choose_layer(generator, config.f_side)
        self.layer = generator.feature_layers[self.name]
        self.rank = rank_of(self.layer)
        self.unit = channel_std(generator, self.name, config.seed).to(ws)
        self.values = ws.new_zeros(len(ws), self.layer.channels, self.layer.side, self.layer.side)
        self.adam = AdamRows(self.values, BETAS)
        weights = LossWeights(mse=config.f_mse, perceptual=config.lambda_percept, identity=config.lambda_identity)
        alignment = generator.meta.alignment
        self.objective = InversionObjective(
            generator.synthesis, weights, task.perceptual, alignment=alignment, person=task.identity
        )
        self.on_edits = replace(self.objective, perceptual_side=EDIT_SIDE)
        self.target = self.objective.target(task.targets, task.masks)
        self.stream = generator_for(config.seed, FEATURE_STREAM)  # one edit for all, so that none tells its place
        self.draws = EditDraws(generator, ws)
        self.edits: list[DrawnEdit] = []
        size = self.target.images.numel() + sum(layer.numel() for layer in self.target.features)
        self.keeps = NUM_EDITS * size <= MOST_VALUES
        self.history: list[dict[str, list[float]]] = [{} for _ in ws]
        with torch.no_grad():
            self.plain = self._render(ws)
        self.missing = masked(task.targets - self.plain, task.masks)

    def step(self, step: int) -> float:
        """Take one step; return the mean loss."""
        edit = self._edit(step) if step % 2 and self.config.f_edits > 0 else None
        values = self.values.clone().requires_grad_(True)
        delta = values * self.unit
        with reduced_precision(values.device, self.config.precision):
            if edit is None:
                terms = self.objective.compare(self._render(self.ws, delta), self.target)
            else:
                image = self._render(edit.ws, edit.motion.carry(delta, self.layer.margin))
                terms = self.on_edits.compare(image, edit.target)
        loss = total(terms)  # [N]
        size = self.config.f_penalty * values.square().mean(dim=(1, 2, 3))
        weight = 2 * self.config.f_edits if edit else 1.0
        (gradient,) = torch.autograd.grad((weight * loss + size).sum(), values)
        lr = self.config.f_lr * learning_rate_schedule(step, self.config.f_steps)
        self.adam.advance(slice(None), gradient, lr, step)
        if (step + 1) % THIN_EVERY == 0:
            self.values.copy_(self._thin())
        for row, history in enumerate(self.history):
            history.setdefault("edits" if edit else "loss", []).append(float(loss[row].detach()))
        return float(loss.detach().mean())

    def finished(self) -> bool:
        """Every step counts: the learning rate falls to the end."""
        return False

    def ws_so_far(self) -> Tensor:
        """Return the codes, which stay as they are."""
        return self.ws

    def corrections(self) -> list[Correction]:
        """Return what was found, in 16 bit."""
        unit = self.unit.view(1, -1, 1)
        left, *right = low_rank(self.values.flatten(2), self.rank)
        parts = [(left * unit).half(), *(factor.half() for factor in right)]
        return [Correction(self.name, tuple(part[row] for part in parts)) for row in range(len(self.ws))]

    def state(self) -> State:
        """Return everything that the next step depends on; the edits are drawn anew from their stream."""
        tensors = {"values": self.values, "first": self.adam.first, "second": self.adam.second}
        return {**tensors, "streams": pack_streams([self.stream])}, {"history": self.history, "edits": len(self.edits)}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take over what `state` returned."""
        for name, own in {"values": self.values, "first": self.adam.first, "second": self.adam.second}.items():
            own.copy_(tensors[name])
        self.history = facts["history"]
        self.edits = [self._drawn() for _ in range(facts["edits"])]
        unpack_streams([self.stream], tensors["streams"])

    def _edit(self, step: int) -> DrawnEdit:
        """Return the edit of a step: a new one, or one of those there are once they are enough."""
        turn = step // 2
        if not self.keeps:
            return self._drawn()
        if turn < NUM_EDITS and turn == len(self.edits):
            self.edits.append(self._drawn())
        return self.edits[turn % NUM_EDITS]

    @torch.no_grad()
    def _drawn(self) -> DrawnEdit:
        """Draw an edit; its render is to be the plain one's, with what the photo has beyond the plain carried along."""
        edit = self.draws.draw(self.stream)
        ws, num = self.ws + edit, self.layer.num_ws
        motion = motion_of(self.plain, self._render(torch.cat([ws[:, :num], self.ws[:, num:]], dim=1)))
        wanted = self._render(self.ws + OVERSHOOT * edit) + motion.carry(self.missing)
        return DrawnEdit(ws, motion, self.on_edits.target(wanted))

    def _render(self, ws: Tensor, delta: Tensor | None = None) -> Tensor:
        hooks = {} if delta is None else {self.name: lambda x: x + delta.to(x.dtype)}
        return self.generator.synthesis(ws, noise_mode="const", hooks=hooks, **self.noise)

    def _thin(self) -> Tensor:
        """Return the values at the rank that they are stored at."""
        left, *right = low_rank(self.values.flatten(2), self.rank)
        return (left @ right[0] if right else left).view_as(self.values)


@torch.no_grad()
def channel_std(generator: Generator, layer: str, seed: int = 0) -> Tensor:
    """Return the std of each channel of a layer's features, [1, C, 1, 1], over places and random images."""
    found: list[Tensor] = []

    def note(features: Tensor) -> Tensor:
        found.append(features.float())
        return features

    for ws in random_ws(generator, UNIT_SAMPLES, generator_for(seed, FEATURE_STREAM)).split(4):
        generator.synthesis(ws, noise_mode="const", hooks={layer: note})
    std = torch.cat(found).std(dim=(0, 2, 3))
    return std.clamp_min(1e-3 * float(std.mean()) + 1e-8).view(1, -1, 1, 1)
