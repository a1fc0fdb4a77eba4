"""Films and strips of codes."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from editing.config import InterpolateConfig
from editing.edit import Workshop, crossover_files, open_single, truncate_files
from editing.editor import Editor, render_code
from editing.interpolate import BLENDS, path_through
from editing.layers import parse_layers
from editing.sheets import latent_of_code
from inversion.delta import blend_deltas
from inversion.latents import Latent, save_latent
from stylegan_core.errors import ConfigError
from stylegan_core.files import write_atomic
from stylegan_core.films import write_mp4
from stylegan_core.generate import class_label, generate_ws, render
from stylegan_core.images import labelled_row, to_uint8, write_png
from stylegan_core.seeds import latents_from_seeds, parse_seeds

NOTE = "Synthetic images made by a generative network (Invertigo); not a photograph."
MIN_SIDE = 256  # pixels of a film's frames; smaller generators are enlarged
STRIP = 9  # frames in the strip
MAX_FRAMES = 10_000


def interpolate_files(inputs: Sequence[str], config: InterpolateConfig, workshop: Workshop) -> None:
    """Write a film through the codes of latents, photos or seeds, with a strip of some of its frames."""
    if not 2 <= config.frames <= MAX_FRAMES:
        raise ConfigError(f"{config.frames} frames: expected 2 to {MAX_FRAMES:,}")
    if not 0.1 <= config.fps <= 120:
        raise ConfigError(f"{config.fps:g} frames a second: expected 0.1 to 120")
    generator = workshop.generator
    if config.path == "z":
        frames = to_uint8(render(generator, _through_z(generator, inputs, config)))  # [F, R, R, 3]
    else:
        frames = _through_w(generator, [_latent(text, config, workshop) for text in inputs], config)
    side = max(generator.img_resolution, MIN_SIDE)
    path = workshop.out / f"interpolation.{config.format}"
    FORMATS[config.format](path, [_enlarge(frame, side) for frame in frames], config.fps)
    chosen = np.linspace(0, len(frames) - 1, min(STRIP, len(frames))).round().astype(int)
    strip = labelled_row([frames[index] for index in chosen], [str(index) for index in chosen], side=128)
    write_png(workshop.out / "interpolation.png", strip, NOTE)
    workshop.console.say(f"{path}: {len(frames)} frames through {len(inputs)} codes in {config.path.upper()}")


def truncate_sweep(inputs: Sequence[str], psi: float, sweep: str, cutoff: int | None, workshop: Workshop) -> None:
    """Truncate inputs to `psi`; with `sweep` also draw each at those values."""
    psis = read_numbers(sweep, "--sweep") if sweep else []
    truncate_files(inputs, psi, cutoff, workshop, sweep_strip(workshop.generator, psis, cutoff) if psis else None)


def crossover_cuts(first: str, second: str, cuts: Sequence[str], workshop: Workshop) -> None:
    """Cross the first over with the second at the first of `cuts`; several are also drawn and written beside it."""
    for cut in cuts:
        parse_layers(cut, workshop.generator.num_ws)  # one that does not fit is refused before any work
    other = open_single(second, workshop)
    beside = cuts_strip(workshop.generator, other, cuts) if len(cuts) > 1 else None
    crossover_files(first, other, second, cuts[0], workshop, beside)


def sweep_strip(generator: Any, psis: Sequence[float], cutoff: int | None) -> Callable[[Path, Latent], None]:
    """Return what writes sweep.png: a latent at each `psi`."""

    def write(folder: Path, latent: Latent) -> None:
        editor = Editor(generator, latent)
        pictures = [to_uint8(editor.render(editor.truncate(psi, cutoff)))[0] for psi in psis]
        write_png(folder / "sweep.png", labelled_row(pictures, [f"psi {psi:g}" for psi in psis], side=128), NOTE)

    return write


def cuts_strip(generator: Any, other: Latent, cuts: Sequence[str]) -> Callable[[Path, Latent], None]:
    """Return what writes cuts.png and a latent for each cut: a latent with those layers of `other`."""

    def write(folder: Path, latent: Latent) -> None:
        editor = Editor(generator, latent)
        children = [editor.crossover(other, parse_layers(cut, generator.num_ws)) for cut in cuts]
        pictures = [to_uint8(editor.render(item))[0] for item in (latent, *children)]
        pictures.append(to_uint8(Editor(generator, other).render())[0])
        strip = labelled_row(pictures, ["first", *cuts, "second"], side=128)
        write_png(folder / "cuts.png", strip, NOTE)
        for cut, child in zip(cuts, children, strict=True):
            save_latent(folder / f"latent-{cut.replace(',', '+').replace(' ', '')}.npz", child)

    return write


def read_numbers(text: str, name: str) -> list[float]:
    """Read `-1,0,0.5` as numbers; raises `ConfigError`."""
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"{name} '{text}' not understood; expected numbers such as -1,-0.5,0,0.5,1") from None
    if not np.isfinite(numbers).all() or len(numbers) > 64:
        raise ConfigError(f"{name} '{text}': expected at most 64 finite numbers")
    return numbers


def write_gif(path: Path, frames: Sequence[NDArray[np.uint8]], fps: float) -> None:
    """Write frames [H, W, 3] as a GIF that repeats for ever."""
    images = [Image.fromarray(frame) for frame in frames]
    options: dict[str, Any] = {"save_all": True, "append_images": images[1:], "duration": round(1000 / fps), "loop": 0}
    write_atomic(path, lambda file: images[0].save(file, "GIF", comment=NOTE.encode(), **options))


FORMATS: dict[str, Callable[[Path, Sequence[NDArray[np.uint8]], float], None]] = {
    "gif": write_gif,
    "mp4": partial(write_mp4, note=NOTE),
}


def _latent(text: str, config: InterpolateConfig, workshop: Workshop) -> Latent:
    if text.isdigit():
        return latent_of_code(workshop.generator, generate_ws(workshop.generator, parse_seeds(text), config.psi), {})
    return open_single(text, workshop)


def _through_w(generator: Any, keys: Sequence[Latent], config: InterpolateConfig) -> NDArray[np.uint8]:
    """Return frames [F, R, R, 3]: codes, noise inputs and tuned weights all go from one latent to the next."""
    shares = path_through(torch.eye(len(keys)), config.frames, config.loop)  # [F, K]
    frames = (to_uint8(render_code(generator, blend_latents(generator, keys, row.tolist()))) for row in shares)
    return np.concatenate(list(frames))


def blend_latents(generator: Any, latents: Sequence[Latent], shares: Sequence[float]) -> Latent:
    """Return the mean of latents, weighted by `shares` (sum 1): of the codes, the noise and the tuned weights."""
    used = [(latent, share) for latent, share in zip(latents, shares, strict=True) if share]
    if len(used) == 1:
        return used[0][0]
    ws = torch.stack([share * latent.ws for latent, share in used]).sum(0)
    own = {name: level.cpu() for name, level in generator.noise.items()}
    noise = {
        name: torch.stack([share * latent.noise.get(name, level) for latent, share in used]).sum(0)
        for name, level in own.items()
        if any(name in latent.noise for latent, _ in used)
    }
    delta = blend_deltas([latent.delta for latent, _ in used], [share for _, share in used])
    return replace(used[0][0], ws=ws, noise=noise, delta=delta)


def _through_z(generator: Any, inputs: Sequence[str], config: InterpolateConfig) -> Tensor:
    if not all(text.isdigit() for text in inputs):
        raise ConfigError("--path z goes between seeds only, since latents and photos have no z; take --path w")
    seeds = [parse_seeds(text)[0] for text in inputs]
    z = path_through(latents_from_seeds(seeds, generator.z_dim), config.frames, config.loop, BLENDS["z"])
    device = generator.w_avg.device
    labels = class_label(generator, 0 if generator.c_dim else None, len(z))
    with torch.no_grad():
        ws: Tensor = generator.mapping(z.to(device), None if labels is None else labels.to(device), config.psi)
    return ws


def _enlarge(frame: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(frame).resize((side, side), Image.Resampling.BICUBIC))
