"""A direction from pairs: the mean difference of the codes of many people with and without an expression."""

import csv
import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from editing.config import FinishConfig, PairsConfig
from editing.discover.finish import describe, renew
from inversion.config import InvertConfig, ProjectionConfig
from inversion.encoder import find_encoder, guess_w
from inversion.invert import Inverter
from stylegan_core.console import Console
from stylegan_core.directions import save_direction
from stylegan_core.errors import ConfigError, DatasetError
from stylegan_core.images import Photo, decode_photo, read_photo
from stylegan_core.progress import progress_bar

MAX_ZIP_MEMBER = 64 << 20


@dataclass(frozen=True)
class PhotoPair:
    """One person's two photos."""

    person: str
    neutral: Photo
    expression: Photo


def mean_difference(neutral: Tensor, expression: Tensor) -> Tensor:
    """Return the mean of expression - neutral over pairs of codes [N, L, w_dim], [1, L, w_dim]."""
    return (expression - neutral).mean(dim=0, keepdim=True)


def fit_pairs(
    out: str, name: str, data: str, config: PairsConfig, finish: FinishConfig, invert: InvertConfig, console: Console
) -> None:
    """Fit a direction to the pairs in `data` and write it to `out`."""
    inverter = Inverter(invert, ProjectionConfig(steps=config.steps, space="w+"))
    pairs = read_pairs(Path(data), config.poses)
    if not 0 <= config.holdout < len(pairs):
        raise ConfigError(f"--holdout {config.holdout} leaves none of the {len(pairs)} pairs in {data}; keep some")
    fitted = pairs[: len(pairs) - config.holdout]
    codes = _code_with(inverter, config)
    kept: list[tuple[Tensor, Tensor]] = []
    for pair in progress_bar(fitted, desc="pairs", leave=False):
        with console.guard(pair.person):
            kept.append((codes(pair.neutral), codes(pair.expression)))
    if not kept:
        raise DatasetError(f"{data}: none of the {len(fitted)} pairs could be read; see the errors above")
    neutral, expression = (torch.cat(side) for side in zip(*kept, strict=True))
    meta = inverter.generator.meta
    report = {
        "method": "mean difference of pairs",
        "codes": config.codes,
        "pairs": len(kept),
        "held_out": config.holdout,
        "scale": config.scale,
        "poses": config.poses,
        "data": Path(data).name,
    }
    vector = mean_difference(neutral, expression) * config.scale
    unit = f"{config.scale:g} times the mean difference of {len(kept)} pairs ({config.poses})"
    direction = describe(inverter.generator, name, vector, finish, report)
    save_direction(out, renew(direction, direction.vector, unit, {}))
    console.say(f"{out}: {name} for {meta.name}, from {len(kept)} pairs")


def _code_with(inverter: Inverter, config: PairsConfig) -> Callable[[Photo], Tensor]:
    """Return a function from a photo to its code [1, L, w_dim]: the encoder's (in W), or an inversion (W+)."""
    if config.codes == "encoder" and find_encoder(inverter.generator) is None:
        raise ConfigError(f"no encoder for {inverter.generator.meta.name} is shipped; use --codes project")

    def code(photo: Photo) -> Tensor:
        face = inverter.align(photo)[0]
        if config.codes == "project":
            return inverter.invert_face(photo, face).latent.ws
        return guess_w(inverter.generator, face.target)[:, None]

    return code


def read_pairs(path: Path, poses: str = "neutral,smiling") -> list[PhotoPair]:
    """Read pairs, sorted by person, from a CSV with columns `neutral` and `expression` (paths beside it), or from a
    folder or zip with an attributes.csv of `file`, `person` and `pose`; raises `DatasetError`."""
    wanted = [pose.strip() for pose in poses.split(",")]
    if len(wanted) != 2:
        raise ConfigError(f"--poses '{poses}': expected two names, as neutral,smiling")
    if path.suffix.lower() == ".csv":
        rows = _rows(path.read_text(), path, {"neutral", "expression"})
        return [
            PhotoPair(
                Path(row["neutral"]).stem, *(read_photo(path.parent / row[key]) for key in ("neutral", "expression"))
            )
            for row in rows
        ]
    if path.is_dir():
        if not (path / "attributes.csv").is_file():
            raise DatasetError(f"{path}: no attributes.csv in it; add one with the columns file, person, pose")
        rows = _rows((path / "attributes.csv").read_text(), path, {"file", "person", "pose"})
        return _by_person(rows, wanted, path, lambda name: read_photo(path / name))
    try:
        with zipfile.ZipFile(path) as archive:
            text = io.TextIOWrapper(archive.open("attributes.csv"), "utf-8").read()
            rows = _rows(text, path, {"file", "person", "pose"})
            return _by_person(rows, wanted, path, lambda name: _photo_in_zip(archive, path, name))
    except (OSError, zipfile.BadZipFile, KeyError) as error:
        raise DatasetError(f"{path}: no folder, CSV or zip with an attributes.csv ({error}); give one") from error


def _rows(text: str, path: Path, columns: set[str]) -> list[dict[str, str]]:
    reader = csv.DictReader(io.StringIO(text))
    if missing := columns - set(reader.fieldnames or ()):
        raise DatasetError(f"{path}: its CSV has no column {', '.join(sorted(missing))}; add it")
    return list(reader)


def _by_person(
    rows: Sequence[dict[str, str]], poses: Sequence[str], path: Path, read: Callable[[str], Photo]
) -> list[PhotoPair]:
    people: dict[str, dict[str, str]] = {}
    for row in rows:
        if row["person"] and row["pose"] in poses:
            people.setdefault(row["person"], {})[row["pose"]] = row["file"]
    pairs = [(person, files) for person, files in sorted(people.items()) if len(files) == 2]
    if not pairs:
        raise DatasetError(f"{path}: no person in it has both poses {' and '.join(poses)}; check --poses")
    return [PhotoPair(person, read(files[poses[0]]), read(files[poses[1]])) for person, files in pairs]


def _photo_in_zip(archive: zipfile.ZipFile, path: Path, name: str) -> Photo:
    if archive.getinfo(name).file_size > MAX_ZIP_MEMBER:
        raise DatasetError(f"{path}: {name} claims more than {MAX_ZIP_MEMBER:,} bytes; remove it")
    return decode_photo(archive.read(name), path / name)
