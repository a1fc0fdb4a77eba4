"""What each channel of style space moves: a table of a generator, from gradients on its own faces (Wu et al. 2021)."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from editing.dials import natural_axes
from editing.judging import as_face
from inversion.delta import synthesis_parameters
from inversion.faces.judges import identity_descriptor
from inversion.faces.landmarks import VIEWS
from inversion.faces.traits import TRAITS, traits
from inversion.statistics import random_ws
from stylegan_core.errors import ConfigError, LatentError
from stylegan_core.files import write_atomic
from stylegan_core.models.cache import cache_folder
from stylegan_core.networks.protocol import Generator
from stylegan_core.npz import read_npz
from stylegan_core.seeds import generator_for
from stylegan_core.styles import bias_steps, split_styles, style_deviations, style_layers

SAMPLES = 200  # faces that a table is made of
SAVED_EVERY = 5  # faces
LOOKS = 2  # crops that the landmark network looks at
PROBES = 3  # random projections of the identity descriptor
IDENTITY = "identity"
ROWS = (*TRAITS, IDENTITY)
ARRAYS = ("mean", "square", "deviations", "said", "said_square")


@dataclass(frozen=True)
class ChannelTable:
    """What channels do: how a trait changes with a channel, for one standard deviation of the channel."""

    generator: str  # fingerprint
    generator_name: str
    layers: tuple[tuple[str, int], ...]  # that give styles, and how many; the channels of all stand in a row
    samples: int  # faces so far
    mean: Tensor  # [len(ROWS), C]: the mean derivative; of identity zeros, since a distance has none
    square: Tensor  # [len(ROWS), C]: the mean square; of identity that of the descriptor's length
    deviations: Tensor  # [C]: of each channel over W, in units of the style
    said: Tensor  # [len(TRAITS)]: the mean of each trait over the faces
    said_square: Tensor  # [len(TRAITS)]: and of its square

    @property
    def spread(self) -> Tensor:
        """The standard deviation of each trait over the generator's faces, [len(TRAITS)]."""
        return (self.said_square - self.said.square()).clamp_min(1e-12).sqrt()

    def place(self, channel: int) -> tuple[str, int]:
        """Return the layer of a channel, and its number there."""
        for name, size in self.layers:
            if channel < size:
                return name, channel
            channel -= size
        raise IndexError(channel)

    def step(self, amounts: Tensor) -> dict[str, Tensor]:
        """Return amounts [C], in standard deviations of the channels, as a step in style space of the layers moved."""
        return split_styles(amounts * self.deviations, self.layers)


def fit_channels(
    generator: Generator,
    path: Path,
    num: int = SAMPLES,
    seed: int = 0,
    told: Callable[[int, float], None] | None = None,
) -> ChannelTable:
    """Make the table of `num` faces at `path`, or go on with the one that is there.

    Each face costs a render and a backward pass for each trait, which gives all channels at once. The table is written
    every few faces, beside and then renamed; one of another generator is refused. `told(faces, 0)` hears of each."""
    table = load_channels(path) if path.is_file() else _empty(generator)
    check_channels(table, generator, str(path))
    for index in range(table.samples, num):
        ws = random_ws(generator, 1, generator_for(seed + index))
        table = _with_face(table, *face_derivatives(generator, ws, seed + index), share=1 / (index + 1))
        if table.samples % SAVED_EVERY == 0 or table.samples == num:
            save_channels(path, table)
        if told:
            told(table.samples, 0.0)
    return table


def face_derivatives(generator: Generator, ws: Tensor, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return for the face of ws [1, num_ws, w_dim] the derivatives of all traits by every style [len(TRAITS), C], the
    squared length of the identity descriptor's [C], and the traits themselves [len(TRAITS)].

    The length is estimated from `PROBES` random projections of the descriptor, of mean square 1."""
    alignment = generator.meta.alignment

    def look(face: Tensor) -> Tensor:
        said, person = traits(face, alignment, VIEWS[:LOOKS])[0], identity_descriptor(face, alignment)[0]
        directions = torch.randn(PROBES, len(person), generator=generator_for(seed)).to(person)
        return torch.cat([said, directions @ person])

    rows, said = derivatives(generator, ws, look)
    return rows[: len(TRAITS)], rows[len(TRAITS) :].square().mean(dim=0), said[: len(TRAITS)]


def derivatives(generator: Generator, ws: Tensor, look: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Return the derivatives by every style [K, C] of the numbers [K] that `look` gives for a face [1, 3, R, R] in
    [-1, 1], at the face of ws [1, num_ws, w_dim], and the numbers themselves."""
    layers = style_layers(generator)
    free = {name: torch.zeros_like(layer.bias, requires_grad=True) for name, layer in layers.items()}
    parameters, network = synthesis_parameters(generator), generator.synthesis
    weights = {name: value.detach() for name, value in parameters.items()}
    weights |= {name: weights[name] + step for name, step in bias_steps(generator, free).items()}
    image = torch.func.functional_call(network, weights, (ws,), {"noise_mode": "const"})  # type: ignore[arg-type]
    face = as_face(image)
    seen = face.detach().requires_grad_(True)
    numbers = look(seen)
    by_pixel = [torch.autograd.grad(number, seen, retain_graph=True)[0] for number in numbers]
    rows = []
    for gradient in by_pixel:
        found = torch.autograd.grad(face, list(free.values()), gradient, retain_graph=True)
        rows.append(torch.cat(found))
    return torch.stack(rows).cpu(), numbers.detach().cpu()


def _with_face(table: ChannelTable, derivatives: Tensor, person: Tensor, said: Tensor, share: float) -> ChannelTable:
    """Return the table with one face more, of which it is the given share."""
    scaled = torch.cat([derivatives * table.deviations, torch.zeros_like(person)[None]])
    squares = torch.cat([scaled[:-1].square(), (person * table.deviations.square())[None]])
    new = {"mean": scaled, "square": squares, "said": said, "said_square": said.square()}
    moved: dict[str, Any] = {name: getattr(table, name).lerp(value, share) for name, value in new.items()}
    return replace(table, samples=table.samples + 1, **moved)


def _empty(generator: Generator) -> ChannelTable:
    deviations = style_deviations(generator, natural_axes(generator)[1])
    layers = tuple((name, len(part)) for name, part in deviations.items())
    flat = torch.cat(list(deviations.values())).float()
    nothing, none = torch.zeros(len(ROWS), len(flat)), torch.zeros(len(TRAITS))
    meta = generator.meta
    return ChannelTable(meta.fingerprint, meta.name, layers, 0, nothing, nothing, flat, none, none)


def check_channels(table: ChannelTable, generator: Generator, source: str) -> None:
    """Refuse the table of another generator; raises `ConfigError` that names both."""
    meta = generator.meta
    if table.generator != meta.fingerprint:
        raise ConfigError(
            f"{source}: the channels of {table.generator_name} ({table.generator[:12]}), but the generator here is "
            f"{meta.name} ({meta.fingerprint[:12]}); make its own with `invertigo channels fit`"
        )


def save_channels(path: Path, table: ChannelTable) -> None:
    """Write a table as .npz, atomically."""
    about = json.dumps(
        {
            "generator": table.generator, "generator_name": table.generator_name, "layers": table.layers,
            "samples": table.samples, "rows": ROWS,
        }
    )  # fmt: skip
    arrays: dict[str, Any] = {name: getattr(table, name).numpy() for name in ARRAYS}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, lambda file: np.savez(file, about=about, **arrays))


def load_channels(path: Path) -> ChannelTable:
    """Read a table; raises `LatentError` for anything else."""
    arrays = read_npz(path)
    try:
        about = json.loads(str(arrays["about"]))
        layers = tuple((str(name), int(size)) for name, size in about["layers"])
        tensors = {name: torch.from_numpy(arrays[name].astype(np.float32)) for name in ARRAYS}
        num = sum(size for _, size in layers)
        shapes = ((len(ROWS), num), (len(ROWS), num), (num,), (len(TRAITS),), (len(TRAITS),))
        if tuple(about["rows"]) != ROWS or tuple(tuple(t.shape) for t in tensors.values()) != shapes:
            raise ValueError("traits of another version")
        if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()) or int(about["samples"]) < 0:
            raise ValueError("values that are not finite")
        return ChannelTable(
            str(about["generator"]), str(about["generator_name"]), layers, int(about["samples"]), **tensors
        )
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise LatentError(
            f"{path}: no table of channels in it ({error}); make one with `invertigo channels fit`"
        ) from error


def own_file(generator: Generator) -> Path:
    """Return where the table of a generator is kept that the command made."""
    return cache_folder() / "channels" / f"{generator.meta.fingerprint}.npz"


def found_table(generator: Generator, path: str = "") -> ChannelTable:
    """Return the table in a file, or the one that the command made of a generator; raises `ConfigError`."""
    file = Path(path) if path else own_file(generator)
    if not file.is_file():
        raise ConfigError(f"no table of the channels of {generator.meta.name} ({file}); run `invertigo channels fit`")
    table = load_channels(file)
    check_channels(table, generator, str(file))
    return table


def channel_lines(table: ChannelTable, names: Sequence[str], num: int = 3) -> list[str]:
    """Say of each trait which channels move it most, in its own units for a standard deviation of the channel."""
    lines = []
    for name in names:
        row = table.mean[ROWS.index(name)]
        most = row.abs().topk(min(num, len(row))).indices.tolist()
        told = (f"{'/'.join(map(str, table.place(index)))} {float(row[index]):+.3f}" for index in most)
        lines.append(f"{name}: {', '.join(told)}")
    return lines
