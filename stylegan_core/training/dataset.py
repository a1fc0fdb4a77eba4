"""A training set: a folder or zip of square images, labels in NVIDIA's dataset.json."""

import csv
import io
import json
import threading
import zipfile
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from stylegan_core.errors import DatasetError
from stylegan_core.networks.small_configs import DCGAN_SIDES
from stylegan_core.photo_files import SUFFIXES
from stylegan_core.seeds import generator_for

MAX_SIDE = 8192  # pixels; nothing larger is decoded
MAX_LABELS_BYTES = 1 << 30
_ORDER_STREAM = 1 << 40  # keeps the shuffles apart from the trainer's other random streams


class Files:
    """Named image files of a folder or a zip, readable from several threads."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock = threading.Lock()
        self._zip: zipfile.ZipFile | None = None
        if self.path.is_dir():
            found = (file for file in self.path.rglob("*") if file.is_file())
            names = [file.relative_to(self.path).as_posix() for file in found]
        elif self.path.is_file():
            try:
                self._zip = zipfile.ZipFile(self.path)
            except zipfile.BadZipFile as error:
                raise DatasetError(f"{path}: neither a folder nor a zip ({error}); give one of the two") from error
            names = [info.filename for info in self._zip.infolist() if not info.is_dir()]
        else:
            raise DatasetError(f"{path}: no such folder or zip; check the path")
        self.names = sorted(n for n in names if n.lower().endswith(SUFFIXES) and not _hidden(n))
        self.has_labels = "dataset.json" in names

    def read(self, name: str) -> bytes:
        """Return a file's bytes; raises `DatasetError`."""
        try:
            if self._zip is None:
                return (self.path / name).read_bytes()
            with self._lock:
                if self._zip.getinfo(name).file_size > MAX_LABELS_BYTES:
                    raise DatasetError(f"{self.path}/{name}: unpacks to more than a gigabyte; nothing is that large")
                return self._zip.read(name)
        except (OSError, KeyError, zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
            raise DatasetError(f"{self.path}/{name}: cannot be read ({error}); is the file damaged?") from error


def parse_weights(text: str) -> dict[str, float]:
    """Read `source=2,other=0.5`; raises `DatasetError`."""
    weights = {}
    for part in names_in(text):
        name, _, value = part.partition("=")
        try:
            weights[name.strip()] = float(value)
        except ValueError:
            raise DatasetError(f"'{part}' gives no weight; expected SOURCE=NUMBER such as london=1.5") from None
        if not 0 <= weights[name.strip()] < 1e6:
            raise DatasetError(f"'{part}' is no weight; give a number from 0 up")
    return weights


def names_in(text: str) -> set[str]:
    """Return the comma-separated names of a text."""
    return {name.strip() for name in text.split(",") if name.strip()}


def without_persons(names: Sequence[str], table: str, persons: set[str], path: Path) -> list[str]:
    """Return the file names whose `person` in the table (an attributes.csv) is none of `persons`.

    Raises `DatasetError` where it names none of them: they would be among the images unnoticed."""
    rows = list(csv.DictReader(io.StringIO(table)))
    if persons and not any(row.get("person") in persons for row in rows):
        raise DatasetError(f"{path}: its attributes.csv names none of the persons to leave out; check --exclude")
    left_out = {row.get("file") for row in rows if row.get("person") in persons}
    return [name for name in names if name not in left_out]


def left_out(row: Mapping[str, str], index: int, persons: Collection[str], holdout: int) -> bool:
    """Tell whether a face (a row of attributes.csv, the index in its data set) is kept for measures.

    Those are the `persons`, and every `holdout`-th of the faces without a person (0: none)."""
    person = row.get("person", "")
    return person in persons if person else bool(holdout) and index % holdout == holdout - 1


def _hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def decode(data: bytes, what: str, channels: int | None = None) -> Image.Image:
    """Decode an image as RGB or grey (`channels` 3, 1, or as it is), all of it; raises `DatasetError`."""
    try:
        image = Image.open(io.BytesIO(data))
        if max(image.size) > MAX_SIDE:
            raise DatasetError(f"{what}: {image.size[0]}x{image.size[1]} is over {MAX_SIDE} pixels a side; shrink it")
        image.load()
    except (OSError, ValueError, SyntaxError, EOFError, TypeError, Image.DecompressionBombError) as error:
        raise DatasetError(f"{what}: not a readable image ({error}); remove it, or run `dataset inspect`") from error
    grey = channels == 1 or (channels is None and image.mode in ("1", "L", "LA", "I", "I;16"))
    return image.convert("L" if grey else "RGB")


def is_trainable_side(side: int) -> bool:
    """Whether there are networks for images of `side` pixels: a power of two, or 28 (MNIST's), for a DCGAN."""
    return side in DCGAN_SIDES or (side >= 4 and not side & (side - 1))


class ImageDataset:
    """Images uint8 [C, R, R] and labels float32 [c_dim], by index; index N + i is image i mirrored if `mirror`."""

    def __init__(
        self,
        path: str | Path,
        resolution: int | None = None,
        mirror: bool = False,
        labels: bool = False,
        cache_mb: int = 2000,
        exclude: str = "",
    ) -> None:
        self.files = Files(path)
        if exclude:
            table = self.files.read("attributes.csv").decode(errors="replace")
            self.files.names = without_persons(self.files.names, table, names_in(exclude), self.files.path)
        self.path, self.mirror = self.files.path, mirror
        if not self.files.names:
            raise DatasetError(f"{path}: no images in it (looked for {', '.join(SUFFIXES)})")
        first = decode(self._bytes(0), self._name(0))
        self.channels = 1 if first.mode == "L" else 3
        self.native = first.size[0]
        self.resolution = resolution or self.native
        self._check_size(first.size, 0)
        if self.resolution > self.native:
            raise DatasetError(
                f"{path}: images are {self.native} pixels; training at {self.resolution} needs larger ones, "
                f"or --resolution {self.native}"
            )
        if not is_trainable_side(self.resolution):
            raise DatasetError(
                f"{path}: images are {self.resolution} pixels a side, no power of two (nor 28, for a DCGAN); give "
                "--resolution, or run `dataset make`"
            )
        self.labels = self._read_labels() if labels else np.zeros((len(self.files.names), 0), np.float32)
        self.c_dim = self.labels.shape[1]
        self._cache_left = cache_mb << 20
        self._cache: dict[int, NDArray[np.uint8]] = {}

    def __len__(self) -> int:
        return len(self.files.names) * (2 if self.mirror else 1)

    @property
    def num_images(self) -> int:
        """The number of files."""
        return len(self.files.names)

    def image(self, index: int) -> NDArray[np.uint8]:
        """Decode image `index`, [C, R, R]."""
        if index >= self.num_images:
            return self.image(index - self.num_images)[:, :, ::-1]
        found = self._cache.get(index)
        if found is None:
            found = self._decode(index)
            if found.nbytes <= self._cache_left:
                self._cache_left -= found.nbytes
                self._cache[index] = found
        return found

    def label(self, index: int) -> NDArray[np.float32]:
        """The label [c_dim] of image `index`."""
        row: NDArray[np.float32] = self.labels[index % self.num_images]
        return row

    def batch(self, indices: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images float32 [N, C, R, R] in [-1, 1] and labels [N, c_dim]."""
        missing = [index for index in indices if index % self.num_images not in self._cache]
        if len(missing) > 1:
            with ThreadPoolExecutor(4) as pool:
                decoded = dict(zip(missing, pool.map(self.image, missing), strict=True))
        else:
            decoded = {}
        images = np.stack([decoded[index] if index in decoded else self.image(index) for index in indices])
        labels = np.stack([self.label(index) for index in indices])
        return torch.from_numpy(images).float().div_(127.5).sub_(1), torch.from_numpy(labels)

    def attributes(self) -> dict[str, dict[str, str]]:
        """Return the rows of attributes.csv by file; empty where there is none."""
        try:
            table = self.files.read("attributes.csv").decode(errors="replace")
        except DatasetError:
            return {}
        return {row["file"]: row for row in csv.DictReader(io.StringIO(table)) if row.get("file")}

    def _name(self, index: int) -> str:
        return f"{self.path}/{self.files.names[index]}"

    def _bytes(self, index: int) -> bytes:
        return self.files.read(self.files.names[index])

    def _check_size(self, size: tuple[int, int], index: int) -> None:
        if size != (self.native, self.native):
            expected = f"{self.native}x{self.native} as the first image is" if index else "square images"
            raise DatasetError(
                f"{self._name(index)}: {size[0]}x{size[1]} pixels, expected {expected}; run `dataset make` first"
            )

    def _decode(self, index: int) -> NDArray[np.uint8]:
        image = decode(self._bytes(index), self._name(index), self.channels)
        self._check_size(image.size, index)
        if self.resolution != self.native:
            image = image.resize((self.resolution, self.resolution), Image.Resampling.BOX)
        array = np.asarray(image, dtype=np.uint8)
        return np.ascontiguousarray(array[None] if array.ndim == 2 else array.transpose(2, 0, 1))

    def _read_labels(self) -> NDArray[np.float32]:
        if not self.files.has_labels:
            raise DatasetError(f"{self.path}: no dataset.json in it, so there are no labels; leave out --labels")
        table = parse_labels(self.files.read("dataset.json"), f"{self.path}/dataset.json")
        lacking = [name for name in self.files.names if name not in table]
        if lacking:
            raise DatasetError(
                f"{self.path}/dataset.json: no label for {len(lacking)} of {len(self.files.names)} images "
                f"({lacking[0]}, ...); label them all or leave out --labels"
            )
        return encode_labels([table[name] for name in self.files.names], f"{self.path}/dataset.json")


def parse_labels(data: bytes, what: str) -> dict[str, Any]:
    """Read `{"labels": [[file, label], ...]}`; raises `DatasetError`."""
    try:
        labels = json.loads(data)["labels"]
        if labels is None:
            raise DatasetError(f"{what}: its labels are null, so there are none; leave out --labels")
        return {str(name).replace("\\", "/"): label for name, label in labels}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DatasetError(f'{what}: not understood ({error}); expected {{"labels": [["file", 0], ...]}}') from error


def encode_labels(labels: list[Any], what: str) -> NDArray[np.float32]:
    """Turn class numbers into one-hot rows and keep vectors as they are, [N, c_dim]."""
    try:
        array = np.asarray(labels)
        if array.ndim == 1 and array.dtype.kind in "iu" and array.min() >= 0:
            if array.max() >= 100_000:
                raise DatasetError(f"{what}: class {array.max()} of more than 100,000; number the classes from 0")
            return np.eye(int(array.max()) + 1, dtype=np.float32)[array]
        if array.ndim == 2 and array.dtype.kind in "iuf" and np.isfinite(array).all():
            return array.astype(np.float32)
    except ValueError:
        pass
    raise DatasetError(f"{what}: labels must all be class numbers from 0, or all be vectors of the same length")


class DataOrder:
    """Which image stands at which place of an endless run of shuffles; a pure function of seed and place."""

    def __init__(self, num: int, seed: int) -> None:
        self.num, self.seed = num, seed
        self._epoch, self._permutation = -1, torch.empty(0)

    def indices(self, first: int, num: int) -> list[int]:
        """The dataset indices at places first, ..., first + num - 1."""
        result = []
        for place in range(first, first + num):
            epoch = place // self.num
            if epoch != self._epoch:
                rng = generator_for(self.seed, _ORDER_STREAM + epoch)
                self._epoch, self._permutation = epoch, torch.randperm(self.num, generator=rng)
            result.append(int(self._permutation[place % self.num]))
        return result
