"""Codes to fit directions to: drawn from the generator, guessed from a photo set, or named in a CSV with labels."""

import csv
import io
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from inversion.encoder import find_encoder, guess_w
from inversion.faces.align import align_face, whole_image_quad
from inversion.invert import Inverter
from inversion.latents import check_generator, load_latent
from inversion.statistics import class_labels
from stylegan_core.errors import ConfigError, DatasetError
from stylegan_core.generate import generate_ws
from stylegan_core.images import Photo, decode_photo, read_photo
from stylegan_core.networks.protocol import Generator
from stylegan_core.photo_files import SUFFIXES
from stylegan_core.progress import progress_bar
from stylegan_core.seeds import generator_for
from stylegan_core.training.dataset import left_out, names_in, without_persons

MAX_MEMBER = 64 << 20
MAX_FACES = 1_000_000


def sample_codes(generator: Generator, num: int, seed: int = 0, psi: float = 1.0) -> Tensor:
    """Draw codes w [num, w_dim] from the mapping network, of all classes in turn where it has classes."""
    if num < 2:
        raise ConfigError(f"{num} samples are too few; ask for hundreds")
    device = generator.w_avg.device
    z = torch.randn(num, generator.z_dim, generator=generator_for(seed)).to(device)
    labels = class_labels(generator, num, device)
    with torch.no_grad():
        parts = [
            generator.mapping(z[i : i + 256], None if labels is None else labels[i : i + 256], psi)[:, 0]
            for i in range(0, num, 256)
        ]
    return torch.cat(parts)


def photo_codes(generator: Generator, data: str, exclude: str = "", holdout: int = 0) -> Tensor:
    """Return the encoder's codes w [N, w_dim] of a folder or zip of aligned faces.

    `exclude` names persons of its attributes.csv that are left out, and every `holdout`-th face without one is too."""
    if find_encoder(generator) is None:
        raise ConfigError(f"no encoder for {generator.meta.name} is shipped; leave --data out and sample instead")
    codes = []
    for photo in progress_bar(_photos(Path(data), names_in(exclude), holdout), desc="faces", leave=False):
        quad = whole_image_quad(*photo.rgb.shape[:2])
        target = align_face(photo.rgb, quad, generator.img_resolution).to(generator.w_avg.device)
        codes.append(guess_w(generator, target))
    if len(codes) < 2:
        raise DatasetError(f"{data}: {len(codes)} faces in it; a direction needs many")
    return torch.cat(codes)


def labelled_codes(inverter: Inverter, path: Path) -> tuple[Tensor, Tensor]:
    """Read a CSV with the columns `file` and `label`: codes w [N, w_dim] and labels [N].

    A file is a latent.npz (of W+ the mean over layers is taken), a photo, or a seed number; labels are numbers."""
    if not path.is_file():
        raise DatasetError(f"{path}: no such file; give a CSV with the columns file and label")
    reader = csv.DictReader(io.StringIO(path.read_text()))
    if missing := {"file", "label"} - set(reader.fieldnames or ()):
        raise DatasetError(f"{path}: its CSV has no column {', '.join(sorted(missing))}; add it")
    codes, labels = [], []
    for line, row in enumerate(reader, start=2):
        try:
            labels.append(float(row["label"]))
        except (TypeError, ValueError):
            raise DatasetError(
                f"{path}, line {line}: label '{row['label']}' is no number; write 0, 1, or years"
            ) from None
        codes.append(_code(inverter, row["file"], path.parent))
    if len(codes) < 2:
        raise DatasetError(f"{path}: {len(codes)} labelled codes; a direction needs many")
    return torch.cat(codes), torch.tensor(labels)


def _code(inverter: Inverter, name: str, folder: Path) -> Tensor:
    generator: Generator = inverter.generator
    if name.isdigit():
        return generate_ws(generator, [int(name)])[:, 0]
    path = folder / name
    if path.suffix == ".npz":
        latent = load_latent(path)
        check_generator(latent, generator, str(path))
        return latent.ws.to(generator.w_avg.device).mean(dim=1)
    photo = read_photo(path)
    face = inverter.align(photo)[0]
    if find_encoder(generator) is not None:
        return guess_w(generator, face.target)
    return inverter.invert_face(photo, face).latent.ws.mean(dim=1)


def _photos(path: Path, exclude: set[str], holdout: int = 0) -> Iterator[Photo]:
    """Yield the images of a folder or zip, in the order of their names."""
    if path.is_dir():
        names = [str(item.relative_to(path)) for item in path.rglob("*") if item.suffix.lower() in SUFFIXES]
        table = (path / "attributes.csv").read_text() if (path / "attributes.csv").is_file() else ""
        yield from (read_photo(path / name) for name in _kept(names, table, exclude, path, holdout))
        return
    try:
        with zipfile.ZipFile(path) as archive:
            members = {item.filename: item.file_size for item in archive.infolist() if item.file_size < MAX_MEMBER}
            table = archive.read("attributes.csv").decode() if "attributes.csv" in members else ""
            images = [name for name in members if Path(name).suffix.lower() in SUFFIXES]
            for name in _kept(images, table, exclude, path, holdout):
                yield decode_photo(archive.read(name), path / name)
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: no folder or zip of images ({error}); give one") from error


def _kept(names: Sequence[str], table: str, exclude: set[str], path: Path, holdout: int = 0) -> list[str]:
    if len(names) > MAX_FACES:
        raise DatasetError(f"{path}: more than {MAX_FACES:,} images; give a part of them")
    rows = {row["file"]: row for row in csv.DictReader(io.StringIO(table)) if row.get("file")}
    order = {name: index for index, name in enumerate(sorted(names))}
    kept = without_persons(sorted(names), table, exclude, path)
    return [name for name in kept if not left_out(rows.get(name, {}), order[name], (), holdout)]
