"""What a run shows of itself: a log, a curve, sample grids, TensorBoard scalars."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from stylegan_core.errors import ConfigError
from stylegan_core.files import write_text
from stylegan_core.images import to_uint8, write_png
from stylegan_core.networks.protocol import Generator
from stylegan_core.seeds import generator_for

LOG_FILE = "log.jsonl"
CURVE_FILE = "training-curve.png"
_COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#17becf")
_PANELS = (
    ("g", "d"),
    ("real_05", "real_50", "real_95", "fake_05", "fake_50", "fake_95"),  # how D's outputs are distributed
    ("augment_p", "r_t"),
    ("k", "convergence"),
    ("path_length",),
    ("r1",),
    ("anchor",),
)


class Log:
    """Averages of the losses, one JSON object a line; lines after a resumed point are dropped."""

    def __init__(self, folder: Path, upto_nimg: int) -> None:
        self.path = folder / LOG_FILE
        self.lines = [line for line in read_log(self.path) if line["kimg"] * 1000 <= upto_nimg + 0.5]
        if self.path.is_file():
            write_text(self.path, "".join(json.dumps(line) + "\n" for line in self.lines))
        self._sums: dict[str, list[float]] = {}

    def add(self, losses: Mapping[str, float]) -> None:
        """Take in the losses of a step."""
        for name, value in losses.items():
            self._sums.setdefault(name, []).append(value)

    def write(self, cur_nimg: int, more: Mapping[str, Any]) -> dict[str, Any]:
        """Append the averages since the last line."""
        line: dict[str, Any] = {"kimg": cur_nimg / 1000}
        line |= {name: sum(values) / len(values) for name, values in self._sums.items()} | dict(more)
        self._sums = {}
        self.lines.append(line)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        return line

    def amend(self, more: Mapping[str, Any]) -> None:
        """Add scores to the last line."""
        self.lines[-1] |= dict(more)
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in self.lines))


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read a log; a line that was cut off by a crash is left out."""
    lines: list[dict[str, Any]] = []
    if path.is_file():
        for text in path.read_text(encoding="utf-8").splitlines():
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict) and "kimg" in line:
                lines.append(line)
    return lines


def draw_curve(lines: Sequence[Mapping[str, Any]], size: tuple[int, int] = (720, 170)) -> NDArray[np.uint8]:
    """Draw a log as line charts over kimg, one panel a group of scalars; uint8 [H, W, 3]."""
    scores = tuple(sorted({name for line in lines for name in line if name.startswith(("fd", "fid"))}))
    panels = [names for names in (*_PANELS, scores) if names and any(name in line for name in names for line in lines)]
    width, height = size
    canvas = Image.new("RGB", (width, height * max(len(panels), 1)), "white")
    draw = ImageDraw.Draw(canvas)
    x_max = max((line["kimg"] for line in lines), default=1.0) or 1.0  # of all panels, so that moments stand in line
    for index, names in enumerate(panels):
        _draw_panel(draw, lines, names, (0, index * height, width, (index + 1) * height), x_max)
    return np.asarray(canvas)


def _draw_panel(
    draw: ImageDraw.ImageDraw,
    lines: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    box: tuple[int, int, int, int],
    x_max: float,
) -> None:
    font = ImageFont.load_default(size=11)
    left, top, right, bottom = box[0] + 60, box[1] + 22, box[2] - 12, box[3] - 20
    series = {name: [(line["kimg"], line[name]) for line in lines if _finite(line.get(name))] for name in names}
    points = [point for values in series.values() for point in values]
    low, high = min((y for _, y in points), default=0.0), max((y for _, y in points), default=1.0)
    span = (high - low) or 1.0
    draw.rectangle((left, top, right, bottom), outline="#bbbbbb")
    for y, value in ((bottom, low), (top, high)):
        draw.text((left - 4, y), f"{value:.3g}", fill="black", font=font, anchor="rm")
    draw.text((right, bottom + 4), f"{x_max:.3g} kimg", fill="black", font=font, anchor="rt")
    for index, (name, values) in enumerate(series.items()):
        colour = _COLOURS[index % len(_COLOURS)]
        draw.text((left + 4 + 110 * index, box[1] + 5), name, fill=colour, font=font)
        places = [(left + x / x_max * (right - left), bottom - (y - low) / span * (bottom - top)) for x, y in values]
        if len(places) > 1:
            draw.line(places, fill=colour, width=2)
        for x, y in places if len(places) < 30 else []:
            draw.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)


def _finite(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


@torch.no_grad()
def sample_grid(
    generator: Generator, seed: int, labels: torch.Tensor, rows: int = 4, columns: int = 8
) -> NDArray[np.uint8]:
    """Render the same rows x columns latents at every call, uncurated and untruncated; uint8 [rows R, columns R, 3]."""
    rng = generator_for(seed, 1 << 41)
    z = torch.randn(rows * columns, generator.z_dim, generator=rng)
    picks = torch.randint(len(labels), (rows * columns,), generator=rng)
    device = generator.w_avg.device
    images = []
    for part, chosen in zip(z.split(8), picks.split(8), strict=True):
        c = labels[chosen].to(device) if generator.c_dim else None
        images.append(to_uint8(generator.synthesis(generator.mapping(part.to(device), c))))
    tiles = np.concatenate(images)
    side = tiles.shape[1]
    return tiles.reshape(rows, columns, side, side, 3).swapaxes(1, 2).reshape(rows * side, columns * side, 3)


def write_grid(path: Path, generator: Generator, seed: int, labels: torch.Tensor) -> None:
    """Write a grid of samples as a PNG that says that it is synthetic."""
    write_png(path, sample_grid(generator, seed, labels), note="Synthetic images by a generator in training")


def write_curve(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """Write the training curve as a PNG."""
    write_png(path, draw_curve(lines))


def tensorboard_writer(folder: Path, cur_nimg: int) -> Any:
    """Open a TensorBoard event file that goes on from `cur_nimg`."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise ConfigError("--tensorboard needs the package: pip install 'invertigo[tensorboard]'") from error
    return SummaryWriter(str(folder / "tensorboard"), purge_step=cur_nimg)
