"""Where the pictures of a human evaluation come from, and how two of them are made to differ in nothing else."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stylegan_core.checkpoints import load_generator
from stylegan_core.errors import ConfigError
from stylegan_core.generate import generate_ws, render
from stylegan_core.images import decode_photo, encode_png, to_uint8
from stylegan_core.training.dataset import Files

Pixels = NDArray[np.uint8]  # [H, W, 3]
NUM_SEEDS = 10_000  # of samples to choose from


class Pictures(Protocol):
    """Named pictures."""

    names: Sequence[str]

    def read(self, name: str) -> Pixels:
        """Return a picture; raises a `ToolkitError`."""
        ...


class StoredPictures:
    """The image files of a folder or zip."""

    def __init__(self, path: str) -> None:
        self.files = Files(path)
        self.names: Sequence[str] = self.files.names

    def read(self, name: str) -> Pixels:
        """Decode a file, upright."""
        return decode_photo(self.files.read(name), Path(name)).rgb


class SampledPictures:
    """Samples of a generator: `seed 7` is what `invertigo generate --seeds 7` draws; classes take turns."""

    def __init__(self, checkpoint: str, psi: float) -> None:
        self.generator, self.psi = load_generator(checkpoint), psi
        self.names: Sequence[str] = [f"seed {seed}" for seed in range(NUM_SEEDS)]

    def read(self, name: str) -> Pixels:
        """Render a seed."""
        seed = int(name.removeprefix("seed "))
        label = seed % self.generator.c_dim if self.generator.c_dim else None
        ws = generate_ws(self.generator, [seed], self.psi, label=label)
        picture: Pixels = to_uint8(render(self.generator, ws))[0]
        return picture


def open_pictures(source: str, psi: float) -> Pictures:
    """Open a folder or zip of pictures, or else a checkpoint, whose samples are drawn."""
    if Path(source).is_dir() or source.lower().endswith(".zip"):
        return StoredPictures(source)
    return SampledPictures(source, psi)


def alike(one: Pixels, other: Pixels, side: int, keep_shape: bool = False) -> tuple[Pixels, Pixels]:
    """Bring two pictures to one size, so that neither is told by its shape, resolution or edges.

    Both are cut to the square in their middle and shrunk to the smaller's side, `side` pixels at most. With
    `keep_shape`, for two versions of one photo, they keep their shape where it is the same."""
    if side < 16:
        raise ConfigError(f"--resolution {side}: nobody can judge pictures of fewer than 16 pixels")
    if not keep_shape or abs(_aspect(one) - _aspect(other)) > 0.01 * _aspect(one):
        one, other = _square(one), _square(other)
    height, width = min(one.shape[:2], other.shape[:2], key=lambda shape: shape[0])
    factor = min(side / max(height, width), 1.0)
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    return _resized(one, size), _resized(other, size)


def _aspect(picture: Pixels) -> float:
    return picture.shape[1] / picture.shape[0]


def _square(picture: Pixels) -> Pixels:
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side]


def _resized(picture: Pixels, size: tuple[int, int]) -> Pixels:
    image = Image.fromarray(np.ascontiguousarray(picture))
    return np.asarray(image if image.size == size else image.resize(size, Image.Resampling.LANCZOS))


def data_url(picture: Pixels) -> str:
    """Encode a picture as a data URL; a PNG without a note, which would tell what it is."""
    return "data:image/png;base64," + base64.b64encode(encode_png(picture)).decode()
