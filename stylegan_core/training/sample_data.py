"""Labelled training sets that need no download: a ring of modes, handwritten digits, coloured shapes."""

import math
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from stylegan_core.errors import ConfigError, OutputError
from stylegan_core.files import write_atomic
from stylegan_core.training.prepare import fill_archive

Picture = tuple[NDArray[np.uint8], int]  # [R, R] grey or [R, R, 3], and its class
MODES = 8
COLOURS = ((220, 60, 50), (60, 160, 70), (50, 90, 200), (230, 180, 40))


def ring(resolution: int, num: int, rng: np.random.Generator) -> Iterator[Picture]:
    """A bright dot at one of 8 places on a circle, a little off: the ring of Gaussians as images; class: the place."""
    y, x = np.mgrid[:resolution, :resolution] + 0.5
    for _ in range(num):
        mode = int(rng.integers(MODES))
        angle = 2 * math.pi * mode / MODES
        jitter = rng.normal(0, 0.01, 2)
        at_x, at_y = resolution * (0.5 + 0.35 * np.array([math.cos(angle), math.sin(angle)]) + jitter)
        squared = (x - at_x) ** 2 + (y - at_y) ** 2
        yield (255 * np.exp(-squared / (2 * (0.06 * resolution) ** 2))).astype(np.uint8), mode


def digits(resolution: int, num: int, rng: np.random.Generator) -> Iterator[Picture]:
    """The 1,797 handwritten digits of scikit-learn (8x8 pixels, UCI), enlarged; class: the digit."""
    from sklearn.datasets import load_digits

    data = load_digits()
    for index in rng.permutation(len(data.images))[:num]:
        small = Image.fromarray((data.images[index] * 255 / 16).astype(np.uint8))
        yield np.asarray(small.resize((resolution, resolution), Image.Resampling.BICUBIC)), int(data.target[index])


def shapes(resolution: int, num: int, rng: np.random.Generator) -> Iterator[Picture]:
    """A circle, square or triangle of any of 4 colours, size and place on a light ground; class: the shape."""
    side = 4 * resolution
    for _ in range(num):
        shape, colour = int(rng.integers(3)), COLOURS[int(rng.integers(len(COLOURS)))]
        radius = side * rng.uniform(0.18, 0.32)
        x, y = rng.uniform(radius, side - radius, 2)
        image = Image.new("RGB", (side, side), (236, 236, 230))
        draw = ImageDraw.Draw(image)
        if shape == 0:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
        else:
            corners, turn = 4 if shape == 1 else 3, rng.uniform(0, 2 * math.pi)
            angles = [turn + 2 * math.pi * k / corners for k in range(corners)]
            draw.polygon([(x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles], fill=colour)
        yield np.asarray(image.resize((resolution, resolution), Image.Resampling.BOX)), shape


KINDS: dict[str, Callable[[int, int, np.random.Generator], Iterator[Picture]]] = {
    "ring": ring,
    "digits": digits,
    "shapes": shapes,
}


def write_sample_data(kind: str, out: str, resolution: int = 32, num: int = 2000, seed: int = 0) -> int:
    """Write a training set of `num` images of `resolution` pixels as the new zip `out`; return how many it holds.

    The same arguments give the same bytes. Raises a `ToolkitError`; nothing is overwritten."""
    if kind not in KINDS:
        raise ConfigError(f"no sample data {kind!r}; choose one of {', '.join(KINDS)}")
    if not 8 <= resolution <= 512 or not 2 <= num <= 100_000:
        raise ConfigError(f"{num} images of {resolution} pixels; give 2 to 100,000 of 8 to 512 pixels")
    target = Path(out)
    if target.suffix != ".zip":
        raise ConfigError(f"{out}: a training set is written as a zip; give a name that ends in .zip")
    if target.exists():
        raise OutputError(f"{out} is there already; give another name or delete it")
    pictures = list(KINDS[kind](resolution, num, np.random.default_rng(seed)))

    def fill(file: object) -> None:
        with zipfile.ZipFile(file, "w") as archive:  # type: ignore[call-overload]
            fill_archive(archive, pictures)

    write_atomic(target, fill)
    return len(pictures)
