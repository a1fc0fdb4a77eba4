"""What the judges say of codes: scores of renders, and what an edit does to them."""

import torch
from torch import Tensor

from editing.config import check_judge
from editing.expression import move
from inversion.faces.judges import JUDGES, Judge, identity_distance, judge_all
from stylegan_core.networks.protocol import Generator

BATCH = 16


def find_judge(name: str) -> Judge:
    """Return the judge called `name`; raises `ConfigError`."""
    check_judge(name)
    return JUDGES[name]


def as_face(images: Tensor) -> Tensor:
    """Return renders [N, 1 or 3, R, R] as the judges take them: [N, 3, R, R] clipped to [-1, 1]."""
    return images.clamp(-1, 1).expand(-1, 3, -1, -1)


@torch.no_grad()
def score_codes(generator: Generator, ws: Tensor, judge: Judge | None = None) -> Tensor:
    """Return the judge's numbers [N] for renders of ws [N, num_ws, w_dim], or all judges' [N, len(JUDGES)]."""
    alignment = generator.meta.alignment
    score = judge_all if judge is None else judge.score
    return torch.cat([score(as_face(generator.synthesis(part)), alignment) for part in ws.split(BATCH)])


@torch.no_grad()
def effect(
    generator: Generator, ws: Tensor, vector: Tensor, strength: float, layers: tuple[int, ...] | None = None
) -> tuple[Tensor, Tensor]:
    """Return what a step does to codes [N, num_ws, w_dim]: every judge's change [N, len(JUDGES)], and the identity
    distances [N] between the renders."""
    changes, distances = [], []
    alignment = generator.meta.alignment
    for part in ws.split(BATCH):
        before = as_face(generator.synthesis(part))
        after = as_face(generator.synthesis(move(part, vector.to(part), strength, layers)))
        changes.append(judge_all(after, alignment) - judge_all(before, alignment))
        distances.append(identity_distance(after, before, alignment))
    return torch.cat(changes), torch.cat(distances)
