"""Directions in W: a step that changes one thing, in a file that knows its generator."""

import json
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from stylegan_core.assets import asset_path
from stylegan_core.catalogue import unknown_direction
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.errors import ConfigError, LatentError, LatentMismatchError
from stylegan_core.files import write_atomic
from stylegan_core.models import local_file
from stylegan_core.networks.protocol import Generator
from stylegan_core.npz import read_npz
from stylegan_core.styles import check_styles, unpack_styles

LOOKS = ("age", "gender", "light", "")  # attributes (empty: not known) that are more than an expression


@dataclass(frozen=True)
class Direction:
    """A step of strength 1 in W or W+, or in style space: of single channels, with a `vector` of zeros."""

    name: str
    vector: Tensor  # [1, num_ws, w_dim] (W+) or [1, 1, w_dim] (W) float32
    generator: str  # fingerprint
    generator_name: str
    layers: tuple[int, ...] | None = None  # layers it moves; None: all
    unit: str = ""  # what strength 1 means
    report: dict[str, Any] = field(default_factory=dict)  # how it was made
    styles: dict[str, Tensor] = field(default_factory=dict)  # [C] by layer: a step in style space in place of `vector`

    @property
    def attribute(self) -> str:
        """The judge of what it moves; empty where that is not known."""
        return str(self.report.get("attribute", ""))

    @property
    def appearance(self) -> float:
        """How much light and colour a pasted edit brings beside its motion, in 0..1: an expression is motion alone."""
        given = self.report.get("appearance", 1.0 if self.attribute in LOOKS else 0.0)
        return min(max(float(given), 0.0), 1.0) if isinstance(given, int | float) and given == given else 1.0


def save_direction(path: str | Path, direction: Direction) -> None:
    """Write a direction as .npz, atomically."""
    about = {
        "name": direction.name,
        "generator": direction.generator,
        "generator_name": direction.generator_name,
        "layers": direction.layers,
        "unit": direction.unit,
        "report": direction.report,
    }
    arrays = {"direction": direction.vector} | {f"style.{name}": step for name, step in direction.styles.items()}
    values: dict[str, Any] = {name: step.detach().cpu().numpy().astype(np.float32) for name, step in arrays.items()}
    write_atomic(path, lambda file: np.savez(file, about=json.dumps(about), **values))


def load_direction(path: str | Path) -> Direction:
    """Read a direction file; raises `LatentError` for anything else."""
    arrays = read_npz(path)
    if "direction" not in arrays or "about" not in arrays:
        raise LatentError(f"{path}: no direction in it; give a file made by `invertigo directions`")
    vector = arrays["direction"]
    fits = vector.ndim == 3 and vector.shape[0] == 1 and np.issubdtype(vector.dtype, np.floating)
    if not fits or not np.isfinite(vector).all():
        raise LatentError(f"{path}: its direction is {list(vector.shape)}, expected finite [1, num_ws or 1, w_dim]")
    try:
        about = json.loads(str(arrays["about"]))
        layers = None if about["layers"] is None else tuple(int(layer) for layer in about["layers"])
        return Direction(
            name=str(about["name"]),
            vector=torch.from_numpy(vector.astype(np.float32)),
            generator=str(about["generator"]),
            generator_name=str(about["generator_name"]),
            layers=layers,
            unit=str(about.get("unit", "")),
            report=dict(about.get("report", {})),
            styles=unpack_styles(arrays, str(path)),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise LatentError(f"{path}: its description is damaged ({error}); fit the direction again") from error


def find_direction(name_or_path: str | Direction, generator: Generator) -> Direction:
    """Return the shipped direction `name` of this generator, or the one in a file, or the one that was given; refuse
    another generator's."""
    if isinstance(name_or_path, Direction):
        check_direction(name_or_path, generator, name_or_path.name)
        return name_or_path
    path = local_file(name_or_path)
    if path.suffix == ".npz" or path.is_file():
        direction = load_direction(path)
    else:
        shipped = shipped_directions(generator.meta.fingerprint)
        if name_or_path not in shipped:
            raise ConfigError(unknown_direction(name_or_path, generator.meta.name, shipped))
        direction = shipped[name_or_path]
    check_direction(direction, generator, name_or_path)
    return direction


def check_direction(direction: Direction, generator: Generator, source: str) -> None:
    """Refuse a direction of another generator; raises `LatentMismatchError` that names both."""
    meta = generator.meta
    if direction.generator != meta.fingerprint:
        raise LatentMismatchError(
            f"{source}: made for {direction.generator_name} ({direction.generator[:12]}), but the generator here is "
            f"{meta.name} ({meta.fingerprint[:12]}); fit it for this one with `invertigo directions fit`"
        )
    if direction.vector.shape[2] != generator.w_dim or direction.vector.shape[1] not in (1, generator.num_ws):
        raise LatentMismatchError(
            f"{source}: a direction of {list(direction.vector.shape)}, but {meta.name} has codes of "
            f"{[1, generator.num_ws, generator.w_dim]}; fit it again"
        )
    if wrong := check_styles(direction.styles, generator):
        raise LatentMismatchError(f"{source}: moves {wrong}, which {meta.name} has not; find the channels again")
    if direction.layers is not None and not set(direction.layers) <= set(range(generator.num_ws)):
        raise LatentMismatchError(f"{source}: moves layers beyond the {generator.num_ws} of {meta.name}; fit it again")


def shipped_directions(fingerprint: str) -> dict[str, Direction]:
    """Return the directions that ship for the generator with this fingerprint, by name."""
    return {direction.name: direction for direction in all_shipped() if direction.generator == fingerprint}


@lru_cache(maxsize=1)
def all_shipped() -> tuple[Direction, ...]:
    """Return every direction that ships, whichever generator it is for."""
    return tuple(load_direction(path) for path in sorted(asset_path("directions").glob("*.npz")))


def show_direction(name: str, generator_name: str) -> str:
    """Return what a direction (a shipped name, or a file) knows of itself, a line each."""
    is_file = Path(name).suffix == ".npz" or Path(name).is_file()
    direction = load_direction(name) if is_file else find_direction(name, load_generator(generator_name))
    layers = "all" if direction.layers is None else ", ".join(map(str, direction.layers))
    layers = ", ".join(direction.styles) if direction.styles else layers
    lines = {
        "name": direction.name,
        "generator": f"{direction.generator_name} ({direction.generator[:12]})",
        "space": space_of(direction),
        "layers": layers,
        **({} if direction.styles else {"length": f"{float(direction.vector.norm(dim=2).mean()):.3f}"}),
        "strength 1": direction.unit,
        **direction.report,
    }
    return "\n".join(
        f"{key}: {value if isinstance(value, (str, int)) else json.dumps(value)}" for key, value in lines.items()
    )


def space_of(direction: Direction) -> str:
    """Name the space that a direction goes through."""
    if direction.styles:
        num = sum(int((step != 0).sum()) for step in direction.styles.values())
        return f"style space, {num} channel{'s' if num != 1 else ''}"
    return "W" if direction.vector.shape[1] == 1 else f"W+, {direction.vector.shape[1]} layers"
