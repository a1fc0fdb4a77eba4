"""Pictures of codes: seeds, and style-mixing grids."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from editing.codes import latent_of_code, open_code
from editing.crossover import mixing_grid
from editing.layers import parse_layers
from inversion.latents import save_latent
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.console import Console
from stylegan_core.devices import pick_device
from stylegan_core.errors import ConfigError
from stylegan_core.generate import generate_ws, render
from stylegan_core.images import labelled_grid, to_uint8, write_png
from stylegan_core.networks.protocol import Generator
from stylegan_core.seed_numbers import parse_seeds

NOTE = "Synthetic image made by a generative network (Invertigo); not a photograph."
MAX_CELL = 256  # pixels a side of a picture in a grid


def generate_files(
    seeds: str, out: str, generator_name: str, psi: float, label: int | None, device: str, console: Console
) -> None:
    """Write seedNNNN.png and seedNNNN.npz for every seed, and grid.png of them all."""
    generator = load_generator(generator_name, pick_device(device))
    names = parse_seeds(seeds)
    pictures: list[NDArray[np.uint8]] = []
    for seed in names:
        ws = generate_ws(generator, [seed], psi, label=label)
        picture = to_uint8(render(generator, ws))[0]
        write_png(Path(out) / f"seed{seed:04d}.png", picture, NOTE)
        save_latent(Path(out) / f"seed{seed:04d}.npz", latent_of_code(generator, ws, {"seed": seed, "psi": psi}))
        if len(pictures) < 256:
            pictures.append(picture)
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = [pictures[first : first + columns] for first in range(0, len(pictures), columns)]
    write_png(Path(out) / "grid.png", labelled_grid(rows, side=min(generator.img_resolution, MAX_CELL)), NOTE)
    console.say(f"{Path(out) / 'grid.png'}: {len(names)} seeds of {generator.meta.name}")


def mix_files(
    rows: Sequence[str],
    columns: Sequence[str],
    layers: str,
    out: str,
    generator_name: str,
    device: str,
    console: Console,
) -> None:
    """Write mix.png: every row's code with `layers` of every column's; each is a latent file or a seed."""
    if not rows or not columns:
        raise ConfigError("a grid needs at least one --row and one --column, each a latent.npz or a seed")
    generator = load_generator(generator_name, pick_device(device))
    chosen = parse_layers(layers, generator.num_ws)
    if len(chosen) == generator.num_ws:
        raise ConfigError(
            f"layers '{layers}' are all {generator.num_ws} of this generator's, so every row would show the column's "
            "picture; give fewer layers, or a generator with more styles"
        )
    row_codes, column_codes = (
        torch.cat([_code(generator, text, console) for text in texts]) for texts in (rows, columns)
    )
    grid = mixing_grid(row_codes, column_codes, chosen)  # [R, C, num_ws, w_dim]
    side = min(generator.img_resolution * 2, MAX_CELL)
    top = [*to_uint8(render(generator, column_codes))]
    left = [*to_uint8(render(generator, row_codes))]
    blank = left[0] * 0 + 255
    cells = [[face, *to_uint8(render(generator, codes))] for face, codes in zip(left, grid, strict=True)]
    write_png(Path(out) / "mix.png", labelled_grid([[blank, *top], *cells], side=side), NOTE)
    console.say(f"{Path(out) / 'mix.png'}: {len(rows)} rows, {len(columns)} columns, {layers} layers of the column")


def _code(generator: Generator, text: str, console: Console) -> torch.Tensor:
    latent = open_code(text, generator)
    if latent.correction is not None:
        console.warn(f"{text}: a grid is of codes alone, so its corrected features are left out")
    return latent.ws.to(generator.w_avg.device)
