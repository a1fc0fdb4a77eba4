"""A generator's dials: which way in W each measure of a face goes, and how far it was seen to go.

Fitted to the generator's own samples. For w of a normal distribution the covariance of w and a measure is the smallest
step (in the distribution's own metric) that moves it, so it is the most natural one; here with ridge regression, which
takes less noise from the samples.

Where there is a table of what the channels of style space do (`channels fit`), each measure also gets a direction of a
few channels: those of a mouth move it with less of the person than any step in W does."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from editing.judging import as_face
from inversion.faces.landmarks import find_landmarks
from inversion.faces.measures import MEASURES, measure_all
from inversion.statistics import random_ws, sample_w
from stylegan_core.assets import asset_path
from stylegan_core.errors import LatentError
from stylegan_core.files import write_atomic
from stylegan_core.models.cache import cache_folder
from stylegan_core.networks.protocol import Generator
from stylegan_core.npz import read_npz
from stylegan_core.seeds import generator_for

SAMPLES = 1000  # renders that dials are fitted to
FEW = 192  # where nobody fitted them before
BATCH = 8
RIDGE = 0.15  # in units of the variance of W along its axes
SHARE = 0.01  # of the samples at each end that does not count as range
ARRAYS = ("directions", "response", "ranges", "channels", "effects", "person")  # of a file; the last three where known
SHORTEST = 1e-3  # of the longest axis of W: shorter ones do not count


@dataclass(frozen=True)
class DialTable:
    """The dials of one generator, rows in the order of `names`."""

    generator: str  # fingerprint
    generator_name: str
    names: tuple[str, ...]
    directions: Tensor  # [M, w_dim] in W
    response: Tensor  # [M, M]: what each measure (column) is expected to do along each direction (row)
    ranges: Tensor  # [M, 2]: from and to, as seen on samples, or as reached on faces to which nothing was fitted
    samples: int
    layers: tuple[tuple[str, int], ...] = ()  # that give styles, and how many: the channels of all stand in a row
    channels: Tensor = torch.zeros(0, 0)  # [K, C]: directions in style space; K is 0 where no table was at hand
    effects: Tensor = torch.zeros(0, 0)  # [K, M]: what each measure (column) is expected to do along them
    person: Tensor = torch.zeros(0)  # [K]: the identity distance that each comes to
    reached_on: int = 0  # faces on which the ranges were reached; 0: they are those of the samples

    def range_of(self, name: str) -> tuple[float, float]:
        """Return from where to where a measure was seen to go."""
        low, high = self.ranges[self.names.index(name)].tolist()
        return low, high


@torch.no_grad()
def fit_dials(generator: Generator, num: int = SAMPLES, seed: int = 0) -> DialTable:
    """Fit the dials to `num` samples of a generator."""
    stream = generator_for(seed)
    codes, rows = [], []
    for first in range(0, num, BATCH):
        ws = random_ws(generator, min(BATCH, num - first), stream)
        codes.append(ws[:, 0])
        rows.append(measure_all(find_landmarks(as_face(generator.synthesis(ws)), generator.meta.alignment)))
    w, measured = torch.cat(codes).double().cpu(), torch.cat(rows).double()
    mean, axes = natural_axes(generator)  # [w_dim], [K, w_dim]
    scores = torch.linalg.lstsq(axes.T, (w - mean).T).solution.T  # [N, K], of unit variance
    centred = measured - measured.mean(dim=0)
    gram = scores.T @ scores / num + RIDGE * torch.eye(len(axes), dtype=torch.float64)
    weights = torch.linalg.solve(gram, scores.T @ centred / num)  # [K, M]
    ends = measured.quantile(torch.tensor([SHARE, 1 - SHARE], dtype=torch.float64), dim=0).T
    return DialTable(
        generator.meta.fingerprint,
        generator.meta.name,
        tuple(MEASURES),
        (weights.T @ axes).float(),
        (weights.T @ weights).float(),
        ends.float(),
        num,
    )


def natural_axes(generator: Generator) -> tuple[Tensor, Tensor]:
    """Return the mean of W [w_dim] and its principal axes [K, w_dim], each a standard deviation long, in 64 bit."""
    w = sample_w(generator, 4096).double().cpu()
    mean = w.mean(dim=0)
    _, sizes, axes = torch.linalg.svd(w - mean, full_matrices=False)
    deviation = sizes / np.sqrt(len(w) - 1)
    kept = deviation > SHORTEST * deviation[0]
    return mean, (deviation[:, None] * axes)[kept]


def save_dials(path: Path, table: DialTable) -> None:
    """Write dials as .npz, atomically; among the package's assets/dials they are that generator's from then on."""
    about = {
        "generator": table.generator, "generator_name": table.generator_name, "names": table.names,
        "samples": table.samples, "layers": table.layers, "reached_on": table.reached_on,
    }  # fmt: skip
    arrays = {name: getattr(table, name).numpy().astype(np.float32) for name in ARRAYS if len(table.channels)}
    arrays |= {name: getattr(table, name).numpy().astype(np.float32) for name in ARRAYS[:3]}
    write_atomic(path, lambda file: np.savez_compressed(file, about=json.dumps(about), **arrays))


def load_dials(path: Path) -> DialTable:
    """Read a file of dials; raises `LatentError` for anything else."""
    arrays = read_npz(path)
    try:
        about: dict[str, Any] = json.loads(str(arrays["about"]))
        names = tuple(str(name) for name in about["names"])
        layers = tuple((str(name), int(size)) for name, size in about.get("layers", ()))
        chosen = ARRAYS if "channels" in arrays else ARRAYS[:3]
        tensors = {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in chosen}
        shapes = [tuple(tensor.shape) for tensor in tensors.values()]
        num, few, width = len(names), len(arrays.get("channels", ())), sum(size for _, size in layers)
        expected = [(num, shapes[0][-1]), (num, num), (num, 2), (few, width), (few, num), (few,)]
        if not set(names) <= set(MEASURES) or shapes != expected[: len(chosen)]:
            raise ValueError(f"arrays of {shapes}")
        if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
            raise ValueError("values that are not finite")
        return DialTable(
            str(about["generator"]), str(about["generator_name"]), names, samples=int(about["samples"]), layers=layers,
            reached_on=int(about.get("reached_on", 0)), **tensors,
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise LatentError(f"{path}: no dials in it ({error}); make them with `invertigo dials fit`") from error


def find_dials(generator: Generator) -> DialTable:
    """Return the dials that ship for this generator, or were fitted to it by the command; else ones fitted now, once a
    process, to `FEW` of its faces."""
    known = known_dials(generator)
    if known is not None:
        return known
    return _fitted.setdefault(generator.meta.fingerprint, fit_dials(generator, FEW))


def known_dials(generator: Generator) -> DialTable | None:
    """Return the dials that are to be had at once; None for a generator that they were not fitted to."""
    key = generator.meta.fingerprint
    if key in _shipped() or key in _fitted:
        return _shipped().get(key) or _fitted[key]
    own = own_file(generator)
    return load_dials(own) if own.is_file() else None


def own_file(generator: Generator) -> Path:
    """Return where the dials are kept that the user fitted to a generator."""
    return cache_folder() / "dials" / f"{generator.meta.fingerprint}.npz"


_fitted: dict[str, DialTable] = {}


@lru_cache(maxsize=1)
def _shipped() -> dict[str, DialTable]:
    return {table.generator: table for table in map(load_dials, sorted(asset_path("dials").glob("*.npz")))}


def range_lines(table: DialTable) -> list[str]:
    """Say a line a measure: its name, from where to where it goes, and what its number means."""
    seen = f"seen on {table.samples} faces"
    if table.reached_on:
        seen = f"reached by three of four of {table.reached_on} faces"
    return [
        f"{name}: {MEASURES[name].told_range(low, high)} ({MEASURES[name].unit}); {seen} of {table.generator_name}"
        for name, (low, high) in zip(table.names, table.ranges.tolist(), strict=True)
    ]
