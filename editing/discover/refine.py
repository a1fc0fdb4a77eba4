"""Refine a direction on renders: follow the judge's gradient, and leave the person and the other attributes alone."""

from dataclasses import dataclass

import torch
from torch import Tensor

from editing.expression import move
from editing.judging import as_face, find_judge
from inversion.faces.attributes import PROBABILITY
from inversion.faces.judges import JUDGES, identity_descriptor, judge_all
from inversion.statistics import w_statistics
from stylegan_core.networks.protocol import Generator
from stylegan_core.seeds import generator_for

BATCH = 6
RATE = 0.06  # Adam's, in standard deviations of W
ENOUGH = 0.9  # probability from which on a face pulls no further
MARGIN = 1.5  # judge.clear is exceeded by this factor for numbers that are no probability
WEIGHTS = {"identity": 6.0, "others": 0.5, "size": 0.02}


@dataclass(frozen=True)
class Refinement:
    """A refined step and the mean loss before and after."""

    step: Tensor  # [1, 1, w_dim]
    first_loss: float
    last_loss: float


def refine(
    generator: Generator, step: Tensor, attribute: str, w: Tensor, num_steps: int,
    layers: tuple[int, ...] | None = None, seed: int = 0,
) -> Refinement:  # fmt: skip
    """Improve `step` [1, 1, w_dim] by `num_steps` of Adam on random batches of codes w [N, w_dim].

    The loss is the judge's log probability after the step (for years: the squared gap to a clear change), plus the
    squared identity distance, the change of age and gender, and the step's size in standard deviations of W."""
    device = generator.w_avg.device
    deviation = w_statistics(generator)[1].to(device)
    free = (step.to(device) / deviation).clone().requires_grad_(True)
    optimiser = torch.optim.Adam([free], lr=RATE, betas=(0.9, 0.99))
    stream = generator_for(seed)
    losses: list[float] = []
    for number in range(num_steps):
        for group in optimiser.param_groups:
            group["lr"] = RATE * (1 - number / num_steps)
        part = w[torch.randint(len(w), (min(BATCH, len(w)),), generator=stream)].to(device)
        ws = part[:, None].repeat(1, generator.num_ws, 1)
        loss = _loss(generator, ws, free, deviation, attribute, layers)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    edge = max(1, min(5, len(losses)))
    refined = (free * deviation).detach().cpu()
    return Refinement(refined, sum(losses[:edge]) / edge, sum(losses[-edge:]) / edge)


def _loss(
    generator: Generator, ws: Tensor, free: Tensor, deviation: Tensor, attribute: str, layers: tuple[int, ...] | None
) -> Tensor:
    alignment, names, judge = generator.meta.alignment, list(JUDGES), find_judge(attribute)
    with torch.no_grad():
        before = as_face(generator.synthesis(ws))
        judged, person = judge_all(before, alignment), identity_descriptor(before, alignment)
    after = as_face(generator.synthesis(move(ws, free * deviation, 1.0, layers)))
    found = judge_all(after, alignment)
    own = judge.score(after, alignment)
    if judge.unit == PROBABILITY:
        goal = -own.clamp(1e-20, ENOUGH).log()
    else:
        with torch.no_grad():
            wanted = judge.score(before, alignment) + judge.clear * MARGIN
        goal = ((own - wanted) / judge.clear).square()
    change = torch.zeros_like(goal)
    for name in {"age", "gender"} - {attribute}:
        other = names.index(name)
        change = change + ((found[:, other] - judged[:, other]) / JUDGES[name].clear).square()
    identity = (identity_descriptor(after, alignment) - person).square().sum(dim=1)
    total = goal + WEIGHTS["identity"] * identity + WEIGHTS["others"] * change
    return total.mean() + WEIGHTS["size"] * free.square().sum()
