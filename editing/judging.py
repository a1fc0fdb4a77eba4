"""What the judges say of codes: scores of renders, and what an edit does to them."""

import torch
from torch import Tensor

from editing.config import check_judge
from editing.expression import move
from inversion.faces.judges import JUDGES, Judge, identity_distance, judge_all
from inversion.faces.scales import scale, scale_all
from stylegan_core.networks.protocol import Generator

BATCH = 16


def find_judge(name: str) -> Judge:
    """Return the judge, or the scale, called `name`; raises `ConfigError`."""
    check_judge(name)
    return JUDGES[name] if name in JUDGES else scale(name)


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
def measure_codes(generator: Generator, ws: Tensor) -> Tensor:
    """Return what judges and scales say of renders of ws [N, num_ws, w_dim]: [N, len(UNITS)], in that order."""
    alignment, rows = generator.meta.alignment, []
    for part in ws.split(BATCH):
        faces = as_face(generator.synthesis(part))
        rows.append(torch.cat([judge_all(faces, alignment), scale_all(faces, alignment).to(faces)], dim=1))
    return torch.cat(rows)


@torch.no_grad()
def effect(
    generator: Generator, ws: Tensor, vector: Tensor, strength: float, layers: tuple[int, ...] | None = None,
    judge: Judge | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Return what a step does to codes [N, num_ws, w_dim]: every judge's change [N, len(JUDGES)], or that of `judge`
    alone [N], and the identity distances [N] between the renders."""
    changes, distances = [], []
    alignment = generator.meta.alignment
    score = judge_all if judge is None else judge.score
    for part in ws.split(BATCH):
        before = as_face(generator.synthesis(part))
        after = as_face(generator.synthesis(move(part, vector.to(part), strength, layers)))
        changes.append(score(after, alignment) - score(before, alignment))
        distances.append(identity_distance(after, before, alignment))
    return torch.cat(changes), torch.cat(distances)
