"""What each channel of style space changes in CLIP's eyes, and the channels that a text asks for (StyleCLIP's global
directions, Patashnik et al. 2021, section 6)."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from editing.dials import natural_axes
from editing.discover.channels import derivatives
from editing.discover.clip import Clip, clip_path, load_clip
from inversion.batch.guards import file_sha256
from inversion.statistics import random_ws
from stylegan_core.errors import ConfigError, LatentError
from stylegan_core.files import write_atomic
from stylegan_core.models.cache import cache_folder
from stylegan_core.networks.protocol import Generator
from stylegan_core.npz import read_npz
from stylegan_core.seeds import generator_for
from stylegan_core.styles import IMAGE_LAYER, split_styles, style_deviations

PROBES = 64  # directions of CLIP's space in which each face is looked at
SAVED_EVERY = 5  # faces
MOST = 3.0  # standard deviations by which strength 1 moves the channel that a text asks for most


@dataclass(frozen=True)
class TextTable:
    """Which way in CLIP's space each channel goes: the mean, over faces, of the normalised change."""

    generator: str  # fingerprint
    generator_name: str
    clip: str  # SHA-256 of CLIP's checkpoint
    clip_model: str  # its architecture
    clip_file: str  # where it was
    layers: tuple[tuple[str, int], ...]  # that give styles, and how many; the channels of all stand in a row
    samples: int  # faces so far
    ways: Tensor  # [C, D]: of mean length 1 where all faces agree
    deviations: Tensor  # [C]: of each channel over W, in units of the style

    @property
    def moved(self) -> Tensor:
        """Which channels may be moved, [C]: all but those of the layers that give the image, as in the paper."""
        return torch.cat([torch.full((size,), IMAGE_LAYER not in name) for name, size in self.layers])

    def styles(self, towards: Tensor, threshold: float) -> tuple[dict[str, Tensor], float, int]:
        """Return the step in style space of strength 1 towards a direction [D] of CLIP's space, the relevance of the
        channel that is moved most, and how many are moved.

        A channel moves by its relevance (the cosine of its way and the direction), in standard deviations; those whose
        relevance is below `threshold` stay. Raises `ConfigError` where none is left."""
        relevance = (self.ways @ towards) * self.moved
        most = float(relevance.abs().max())
        kept = relevance * (relevance.abs() >= threshold)
        if most < threshold or most == 0:
            raise ConfigError(
                f"no channel goes where the text does (the nearest by {most:.3f}); word it otherwise, or lower "
                f"--text-threshold {threshold:g}"
            )
        return split_styles(MOST / most * kept * self.deviations, self.layers), most, int((kept != 0).sum())


def fit_text_channels(
    generator: Generator, clip: Clip, clip_file: str, path: Path, num: int, seed: int = 0,
    told: Callable[[int, float], None] | None = None,
) -> TextTable:  # fmt: skip
    """Make the table of `num` faces at `path`, or go on with the one that is there.

    A render and `PROBES` backward passes a face give all channels at once. The table is written every few faces, beside
    and then renamed; one of another generator or another CLIP is refused. `told(faces, 0)` hears of each."""
    table = load_text_channels(path) if path.is_file() else None
    if table is not None:
        check_text_channels(table, generator, str(path))
        check_clip(table, clip, str(path))
    for index in range(table.samples if table else 0, num):
        ways = clip_ways(generator, clip, random_ws(generator, 1, generator_for(seed + index)), seed + index)
        table = table or _empty(generator, clip, clip_file, ways.shape[1])
        table = replace(table, samples=index + 1, ways=table.ways.lerp(ways, 1 / (index + 1)))
        if table.samples % SAVED_EVERY == 0 or table.samples == num:
            save_text_channels(path, table)
        if told:
            told(table.samples, 0.0)
    assert table is not None  # since num is at least 1
    return table


def clip_ways(generator: Generator, clip: Clip, ws: Tensor, seed: int) -> Tensor:
    """Return which way each channel goes in CLIP's space on the face of ws [1, num_ws, w_dim]: [C, D], of length 1.

    The change is the derivative. It is seen along `PROBES` random directions at right angles, others on each face, of
    which the mean over faces is the whole; of a space of no more dimensions it is exact."""
    basis: list[Tensor] = []

    def look(face: Tensor) -> Tensor:
        person = clip.images(face)[0]
        noise = torch.randn(len(person), min(PROBES, len(person)), generator=generator_for(seed))
        basis.append(torch.linalg.qr(noise).Q.T)  # [K, D]
        return basis[0].to(person) @ person

    seen, _ = derivatives(generator, ws, look)  # [K, C]
    length = seen.norm(dim=0).clamp_min(torch.finfo(seen.dtype).tiny)
    return (seen / length).T @ basis[0] * (basis[0].shape[1] / len(basis[0])) ** 0.5


def text_styles(
    generator: Generator, text: str, neutral: str, threshold: float, clip_file: str = "", table_file: str = ""
) -> tuple[dict[str, Tensor], float, int]:
    """Return what `TextTable.styles` does for a text against a neutral one; raises `ConfigError` where the table or
    CLIP is missing, or they do not belong together.

    Without `clip_file` it is the CLIP that the table was made with; `Text` asks for it beside a table of a file, which
    may be a stranger's."""
    table = found_text_table(generator, clip_file, table_file)
    clip = load_clip(clip_file or table.clip_file, table.clip_model)
    check_clip(table, clip, table_file or "the table")
    return table.styles(clip.towards(text, neutral), threshold)


def own_text_file(generator: Generator, clip: Clip) -> Path:
    """Return where the table of a generator and a CLIP is kept that the command made."""
    return _own_folder() / f"{generator.meta.fingerprint}-{clip.key[:16]}.npz"


def found_text_table(generator: Generator, clip_file: str = "", path: str = "") -> TextTable:
    """Return the table in a file, or the one that the command made of a generator with the CLIP in `clip_file` (empty:
    the latest); raises `ConfigError`."""
    digest = "*"
    if clip_file and not path:
        digest = file_sha256(clip_path(clip_file))[:16]
    files = [Path(path)] if path else list(_own_folder().glob(f"{generator.meta.fingerprint}-{digest}.npz"))
    files = [file for file in files if file.is_file()]
    if not files:
        raise ConfigError(
            f"{path or generator.meta.name}: no table of what its channels do in CLIP's eyes; make one with "
            f"`invertigo channels fit --clip {clip_file or 'FILE'}`"
        )
    file = max(files, key=lambda one: one.stat().st_mtime)
    table = load_text_channels(file)
    check_text_channels(table, generator, str(file))
    return table


AGAIN = "make another with `invertigo channels fit --clip FILE`"


def check_text_channels(table: TextTable, generator: Generator, source: str) -> None:
    """Refuse the table of another generator; raises `ConfigError` that names both."""
    meta = generator.meta
    if table.generator != meta.fingerprint:
        raise ConfigError(
            f"{source}: the channels of {table.generator_name} ({table.generator[:12]}), but the generator here is "
            f"{meta.name} ({meta.fingerprint[:12]}); {AGAIN}"
        )


def check_clip(table: TextTable, clip: Clip, source: str) -> None:
    """Refuse the table of another CLIP; raises `ConfigError` that names both."""
    if table.clip != clip.key:
        raise ConfigError(
            f"{source}: made with {table.clip_model} ({table.clip[:12]}), but the CLIP here is {clip.name} "
            f"({clip.key[:12]}); {AGAIN}"
        )


def save_text_channels(path: Path, table: TextTable) -> None:
    """Write a table as .npz, atomically."""
    names = ("generator", "generator_name", "clip", "clip_model", "clip_file", "layers", "samples")
    about = json.dumps({name: getattr(table, name) for name in names})
    path.parent.mkdir(parents=True, exist_ok=True)
    ways, deviations = table.ways.numpy(), table.deviations.numpy()
    write_atomic(path, lambda file: np.savez(file, about=about, ways=ways, deviations=deviations))


def load_text_channels(path: Path) -> TextTable:
    """Read a table; raises `LatentError` for anything else."""
    arrays = read_npz(path)
    try:
        about = json.loads(str(arrays["about"]))
        layers = tuple((str(name), int(size)) for name, size in about["layers"])
        ways, deviations = (torch.from_numpy(arrays[name].astype(np.float32)) for name in ("ways", "deviations"))
        num = sum(size for _, size in layers)
        if ways.ndim != 2 or len(ways) != num or deviations.shape != (num,) or not int(about["samples"]) > 0:
            raise ValueError(f"arrays of {tuple(ways.shape)} and {tuple(deviations.shape)}")
        if not bool(ways.isfinite().all()) or not bool(deviations.isfinite().all()):
            raise ValueError("values that are not finite")
        words = {name: str(about[name]) for name in ("generator", "generator_name", "clip", "clip_model", "clip_file")}
        return TextTable(**words, layers=layers, samples=int(about["samples"]), ways=ways, deviations=deviations)
    except (ValueError, KeyError, TypeError, IndexError, RecursionError) as error:
        raise LatentError(
            f"{path}: no table of channels and CLIP ({error}); make one with `invertigo channels fit --clip FILE`"
        ) from error


def _empty(generator: Generator, clip: Clip, clip_file: str, width: int) -> TextTable:
    deviations = style_deviations(generator, natural_axes(generator)[1])
    layers = tuple((name, len(part)) for name, part in deviations.items())
    flat, meta = torch.cat(list(deviations.values())).float(), generator.meta
    where = str(Path(clip_file).expanduser().resolve())
    nothing = torch.zeros(len(flat), width)
    return TextTable(meta.fingerprint, meta.name, clip.key, clip.name, where, layers, 0, nothing, flat)


def _own_folder() -> Path:
    return cache_folder() / "channels"
