"""All that is said of a face in one row of numbers, and how much an edit of one of them changes the others.

Attribute dependency is that of StyleSpace (Wu et al. 2021, section 4): changes are measured in standard deviations over
the generator's own faces, those of probabilities as log odds."""

from collections.abc import Sequence

import torch
from torch import Tensor

from inversion.faces.attributes import JUDGED, PROBABILITY, UNITS
from inversion.faces.judges import JUDGES, Judge, judge_all
from inversion.faces.landmarks import VIEWS, trace_landmarks
from inversion.faces.measures import measure_all
from inversion.faces.scales import light_from_left, scale
from inversion.statistics import random_ws
from stylegan_core.networks.protocol import Alignment, Generator
from stylegan_core.seeds import generator_for

TRAITS = tuple(UNITS)  # the judges, the landmark measures, and the light
SAMPLES = 96  # faces that a trait's standard deviation is taken over
BATCH = 8
LEAST = 1e-9  # a probability that counts as none


def traits(faces: Tensor, alignment: Alignment, views: Sequence[tuple[float, float, float]] = VIEWS) -> Tensor:
    """Return all traits [N, len(TRAITS)] of aligned faces [N, 3, R, R] in [-1, 1], differentiably in `faces`.

    Columns in the order of `TRAITS`: probabilities as log odds, years, measures, light. Fewer `views` of the landmark
    network are quicker and less steady."""
    judged = judge_all(faces, alignment)
    odds = [
        judged[:, i].clamp(LEAST, 1 - 1e-6).logit() if unit == PROBABILITY else judged[:, i]
        for i, unit in enumerate(JUDGED.values())
    ]
    measured = measure_all(trace_landmarks(faces, alignment, views)).to(faces)
    return torch.cat([torch.stack(odds, dim=1), measured, light_from_left(faces, alignment)[:, None]], dim=1)


def judge_of(name: str) -> Judge:
    """Return the judge, or the scale, of the trait called `name`."""
    return JUDGES[name] if name in JUDGES else scale(name)


@torch.no_grad()
def trait_spread(generator: Generator, num: int = SAMPLES, seed: int = 0) -> Tensor:
    """Return the standard deviation of each trait [len(TRAITS)] over `num` of a generator's own faces."""
    key = (generator.meta.fingerprint, num, seed)
    if key not in _spreads:
        stream, rows = generator_for(seed), []
        for first in range(0, num, BATCH):
            ws = random_ws(generator, min(BATCH, num - first), stream)
            rows.append(traits(_shown(generator.synthesis(ws)), generator.meta.alignment))
        _spreads[key] = torch.cat(rows).std(dim=0).clamp_min(1e-6).cpu()
    return _spreads[key]


_spreads: dict[tuple[str, int, int], Tensor] = {}


def dependency(changes: Tensor, name: str) -> float:
    """Return the attribute dependency of an edit of trait `name`: the mean absolute change of the other traits for
    each unit of its own, `changes` [N, len(TRAITS)] being in standard deviations. 0 is an edit of nothing else."""
    column = TRAITS.index(name)
    sizes = changes.abs().mean(dim=0)
    others = (sizes.sum() - sizes[column]) / (len(sizes) - 1)
    return float(others / sizes[column].clamp_min(1e-6))


def _shown(images: Tensor) -> Tensor:
    return images.clamp(-1, 1).expand(-1, 3, -1, -1)
