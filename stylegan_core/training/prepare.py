"""Make a training set of a folder of pictures, and look one over before a long run."""

import hashlib
import io
import json
import os
import tempfile
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from stylegan_core.errors import ConfigError, DatasetError, ImageError, OutputError, ToolkitError
from stylegan_core.progress import progress_bar
from stylegan_core.training.config import DatasetConfig
from stylegan_core.training.dataset import Files, decode, encode_labels, is_trainable_side, parse_labels

Cropper = Callable[[NDArray[np.uint8]], list[NDArray[np.uint8]]]  # photo [H, W, 3] -> squares [size, size, 3]
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the same input gives the same bytes


@dataclass
class DatasetReport:
    """What was found or made."""

    num_images: int = 0
    rejects: list[tuple[str, str]] = field(default_factory=list)  # file and reason
    facts: dict[str, Any] = field(default_factory=dict)  # for `inspect`: sizes, channels, classes


def centre_cropper(size: int, min_side: int) -> Cropper:
    """Cut the largest square out of the middle and shrink it to `size` pixels."""

    def crop(rgb: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
        side = min(rgb.shape[:2])
        if side < min_side:
            raise ImageError(f"its largest square has {side} pixels a side, fewer than {min_side}")
        image = ImageOps.fit(Image.fromarray(rgb), (size, size), Image.Resampling.LANCZOS)
        return [np.asarray(image)]

    return crop


def smallest_side(config: DatasetConfig) -> int:
    """The side in pixels under which a picture is rejected."""
    return config.min_side or config.resolution // 2


def make_dataset(source: str, out: str, config: DatasetConfig, crop: Cropper) -> DatasetReport:
    """Write the pictures of a folder or zip, cropped, into a new zip `out` with dataset.json.

    Every file is decoded whole; those that can not be, are too small or come twice are left out and named in the
    report. The zip appears complete or not at all, and never replaces another. Raises a `ToolkitError`."""
    target = Path(out)
    _check(target, config)
    files, report = Files(source), DatasetReport()
    if not files.names:
        raise DatasetError(f"{source}: no images in it")
    labels = _labels(files, config)
    temporary = ""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w") as archive:
            _fill(archive, files, labels, config, crop, report)
        if not report.num_images:
            raise DatasetError(f"{source}: none of its {len(files.names)} files could be used ({report.rejects[0][1]})")
        os.chmod(temporary, 0o644)
        os.replace(temporary, target)
        temporary = ""
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror or error}); nothing was kept") from error
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
    return report


def _check(target: Path, config: DatasetConfig) -> None:
    if target.suffix != ".zip":
        raise ConfigError(f"{target}: a training set is written as a zip; give a name that ends in .zip")
    if target.exists():
        raise OutputError(f"{target} is there already; give another name or delete it")
    if not is_trainable_side(config.resolution):
        raise ConfigError(f"resolution is {config.resolution}; it must be a power of two, 4 or more, or 28 for a DCGAN")
    if not 0 <= config.quality <= 100:
        raise ConfigError(f"quality is {config.quality}; it is from 1 to 100, or 0 for PNG")


def _labels(files: Files, config: DatasetConfig) -> dict[str, Any] | None:
    """The label of each file, from its folder or from dataset.json; None without labels."""
    if config.folders_as_labels:
        folders = {name: PurePosixPath(name).parent.as_posix() for name in files.names}
        number = {folder: index for index, folder in enumerate(sorted(set(folders.values())))}
        return {name: number[folder] for name, folder in folders.items()}
    if not files.has_labels:
        return None
    data = files.read("dataset.json")
    if json_labels_are_null(data):
        return None
    return parse_labels(data, f"{files.path}/dataset.json")


def json_labels_are_null(data: bytes) -> bool:
    """Tell whether a dataset.json says that there are no labels."""
    try:
        return bool(json.loads(data).get("labels", 0) is None)
    except (ValueError, AttributeError, RecursionError):
        return False


def _fill(
    archive: zipfile.ZipFile,
    files: Files,
    labels: dict[str, Any] | None,
    config: DatasetConfig,
    crop: Cropper,
    report: DatasetReport,
) -> None:
    seen: dict[str, str] = {}
    written: list[list[Any]] = []
    for name in progress_bar(files.names, desc="pictures", unit="file"):
        try:
            if labels is not None and name not in labels:
                raise DatasetError("dataset.json has no label for it")
            squares = crop(_upright(files.read(name), name))
            for square in squares:
                digest = hashlib.sha256(square.tobytes()).hexdigest()
                if digest in seen:
                    raise DatasetError(f"the same picture as {seen[digest]}")
                seen[digest] = name
                place = (
                    f"{report.num_images // 1000:05d}/img{report.num_images:08d}.{'jpg' if config.quality else 'png'}"
                )
                _store(archive, place, _encode(square, config.quality))
                if labels is not None:
                    written.append([place, labels[name]])
                report.num_images += 1
        except ToolkitError as error:
            report.rejects.append((name, str(error)))
    _store(archive, "dataset.json", json.dumps({"labels": written if labels is not None else None}).encode())


def fill_archive(archive: zipfile.ZipFile, pictures: Iterable[tuple[NDArray[np.uint8], int]]) -> None:
    """Store pictures [R, R] or [R, R, 3] as PNG with their classes, as NVIDIA's tools lay a training set out."""
    labels = []
    for index, (pixels, label) in enumerate(pictures):
        name = f"{index // 1000:05d}/img{index:08d}.png"
        _store(archive, name, _encode(pixels, 0))
        labels.append([name, label])
    _store(archive, "dataset.json", json.dumps({"labels": labels}).encode())


def _upright(data: bytes, name: str) -> NDArray[np.uint8]:
    image = decode(data, name)
    try:
        orientation = Image.open(io.BytesIO(data)).getexif().get(0x0112, 1)
    except Exception:  # a damaged EXIF block says nothing of the pixels
        orientation = 1
    image.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def _encode(square: NDArray[np.uint8], quality: int) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(square)
    if quality:
        image.save(buffer, "JPEG", quality=quality, subsampling=0)
    else:
        image.save(buffer, "PNG")
    return buffer.getvalue()


def _store(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _ZIP_TIME), data)


def inspect_dataset(path: str) -> DatasetReport:
    """Decode every image of a training set; report sizes, channels, classes, and what is wrong with which file."""
    files, report = Files(path), DatasetReport()
    if not files.names:
        raise DatasetError(f"{path}: no images in it")
    sizes: Counter[tuple[int, int]] = Counter()
    channels: Counter[int] = Counter()
    found: dict[str, tuple[int, int]] = {}
    for name in progress_bar(files.names, desc="pictures", unit="file"):
        try:
            image = decode(files.read(name), name)
            found[name] = image.size
            sizes[image.size] += 1
            channels[len(image.getbands())] += 1
        except DatasetError as error:
            report.rejects.append((name, str(error)))
    report.num_images = len(found)
    common = sizes.most_common(1)[0][0] if sizes else (0, 0)
    for name, size in found.items():
        if size != common or size[0] != size[1]:
            expected = "square" if size == common else f"{common[0]}x{common[1]} as most are"
            report.rejects.append((name, f"{size[0]}x{size[1]} pixels, not {expected}"))
    report.facts = {
        "sizes": {f"{width}x{height}": count for (width, height), count in sizes.most_common()},
        "channels": dict(channels),
    }
    _inspect_labels(files, report)
    return report


def _inspect_labels(files: Files, report: DatasetReport) -> None:
    data = files.read("dataset.json") if files.has_labels else b'{"labels": null}'
    if json_labels_are_null(data):
        report.facts["labels"] = "none"
        return
    try:
        table = parse_labels(data, "dataset.json")
        report.rejects += [(name, "dataset.json has no label for it") for name in files.names if name not in table]
        missing = sorted(set(table) - set(files.names))
        report.rejects += [("dataset.json", f"labels {name}, which is not there") for name in missing]
        rows = encode_labels([table[name] for name in files.names if name in table], "dataset.json")
        report.facts["labels"] = f"{rows.shape[1]} values"
        if (rows.sum(1) == 1).all() and set(np.unique(rows)) <= {0.0, 1.0}:
            report.facts["labels"] = {str(index): int(count) for index, count in enumerate(rows.sum(0))}
    except DatasetError as error:
        report.rejects.append(("dataset.json", str(error)))


def report_lines(report: DatasetReport, done: str) -> Iterable[str]:
    """Write a report as lines for the terminal."""
    yield f"{report.num_images} images {done}, {len(report.rejects)} problems"
    for name, value in report.facts.items():
        yield f"{name}: {value}"
