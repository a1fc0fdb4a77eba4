"""Films and strips of codes."""

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from editing.codes import latent_of_code
from editing.config import InterpolateConfig
from editing.early import tell_strengths
from editing.edit import Workshop, change_files, open_single, sealing
from editing.editor import Editor
from editing.interpolate import BLENDS, path_through
from editing.layers import parse_layers
from editing.operations.base import Operation
from editing.operations.crossover import Crossover
from editing.operations.truncate import Truncate
from editing.video import resolve_steady
from inversion.delta import blend_deltas
from inversion.latents import Latent, save_latent
from inversion.render import blend_corrections
from stylegan_core.credentials import Seal
from stylegan_core.errors import ConfigError
from stylegan_core.files import write_atomic
from stylegan_core.films import write_mp4
from stylegan_core.generate import class_label, generate_ws
from stylegan_core.images import labelled_row, to_uint8, write_png
from stylegan_core.networks.protocol import Generator
from stylegan_core.seed_numbers import parse_seeds
from stylegan_core.seeds import latents_from_seeds
from stylegan_core.styles import Styles, added

NOTE = "Synthetic images made by a generative network (Invertigo); not a photograph."
MIN_SIDE = 256  # pixels of a film's frames; smaller generators are enlarged
STRIP = 9  # frames in the strip
MAX_FRAMES = 10_000


def interpolate_files(
    inputs: Sequence[str], config: InterpolateConfig, workshop: Workshop, operations: Sequence[Operation] = ()
) -> None:
    """Write a film through the codes of latents, photos or seeds, each frame edited alike, with a strip of some."""
    if not 2 <= config.frames <= MAX_FRAMES:
        raise ConfigError(f"{config.frames} frames: expected 2 to {MAX_FRAMES:,}")
    if not 0.1 <= config.fps <= 120:
        raise ConfigError(f"{config.fps:g} frames a second: expected 0.1 to 120")
    generator = workshop.generator
    tell_strengths(operations, workshop.inverter.config, workshop.console)
    edits = resolve_steady(operations, generator, workshop.open_code)
    keys = [] if config.path == "z" else [_latent(text, config, workshop) for text in inputs]
    codes = _through_w(generator, keys, config) if keys else _through_z(generator, inputs, config)
    frames = [to_uint8(Editor(generator, code).apply(*edits).edited)[0] for code in codes]  # [R, R, 3] each
    side = max(generator.img_resolution, MIN_SIDE)
    path = workshop.out / f"interpolation.{config.format}"
    label = " + ".join(["interpolation", *(edit.label for edit in edits)])
    seal = sealing(workshop.signature, None, label, generator)
    FORMATS[config.format](path, [_enlarge(frame, side) for frame in frames], config.fps, seal=seal)
    chosen = np.linspace(0, len(frames) - 1, min(STRIP, len(frames))).round().astype(int)
    strip = labelled_row([frames[index] for index in chosen], [str(index) for index in chosen], side=128)
    write_png(workshop.out / "interpolation.png", strip, NOTE)
    workshop.console.say(f"{path}: {len(frames)} frames through {len(inputs)} codes in {_space(config, keys)}")


def truncate_sweep(inputs: Sequence[str], psi: float, sweep: str, cutoff: int | None, workshop: Workshop) -> None:
    """Truncate inputs to `psi`; with `sweep` also draw each at those values."""
    psis = read_numbers(sweep, "--sweep") if sweep else []
    strip = [Truncate(value, -1 if cutoff is None else cutoff) for value in (psi, *psis)]
    change_files(inputs, strip[:1], workshop, sweep_strip(workshop.generator, strip[1:]) if psis else None)


def crossover_cuts(first: str, second: str, cuts: Sequence[str], workshop: Workshop) -> None:
    """Cross the first over with the second at the first of `cuts`; several are also drawn and written beside it."""
    for cut in cuts:
        parse_layers(cut, workshop.generator.num_ws)  # one that does not fit is refused before any work
    other = workshop.open_code(second)
    beside = cuts_strip(workshop.generator, other, cuts) if len(cuts) > 1 else None
    change_files([first], [Crossover(second, cuts[0])], workshop, beside)


def sweep_strip(generator: Generator, strip: Sequence[Operation]) -> Callable[[Path, Latent], None]:
    """Return what writes sweep.png: a latent after each of the operations, side by side."""

    def write(folder: Path, latent: Latent) -> None:
        editor = Editor(generator, latent)
        pictures = [to_uint8(editor.apply(operation).edited)[0] for operation in strip]
        write_png(folder / "sweep.png", labelled_row(pictures, [item.label for item in strip], side=128), NOTE)

    return write


def cuts_strip(generator: Generator, other: Latent, cuts: Sequence[str]) -> Callable[[Path, Latent], None]:
    """Return what writes cuts.png and a latent for each cut: a latent with those layers of `other`."""

    def write(folder: Path, latent: Latent) -> None:
        editor = Editor(generator, latent)
        children = [editor.apply(Crossover(other, cut)) for cut in cuts]
        faces = [editor.apply(), *children, Editor(generator, other).apply()]
        pictures = [to_uint8(face.edited)[0] for face in faces]
        write_png(folder / "cuts.png", labelled_row(pictures, ["first", *cuts, "second"], side=128), NOTE)
        for cut, child in zip(cuts, children, strict=True):
            save_latent(folder / f"latent-{cut.replace(',', '+').replace(' ', '')}.npz", child.latent)

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


def write_gif(path: Path, frames: Sequence[NDArray[np.uint8]], fps: float, seal: Seal | None = None) -> None:
    """Write frames [H, W, 3] as a GIF that repeats for ever; `seal` signs it."""
    images = [Image.fromarray(frame) for frame in frames]
    options: dict[str, Any] = {"save_all": True, "append_images": images[1:], "duration": round(1000 / fps), "loop": 0}
    content = io.BytesIO()
    images[0].save(content, "GIF", comment=NOTE.encode(), **options)
    data = seal(content.getvalue(), path.name) if seal else content.getvalue()
    write_atomic(path, lambda file: file.write(data))


FORMATS: dict[str, Callable[..., None]] = {  # (path, frames, fps, seal=)
    "gif": write_gif,
    "mp4": partial(write_mp4, note=NOTE),
}


def _space(config: InterpolateConfig, keys: Sequence[Latent]) -> str:
    """Name the space that a film goes through; the codes of W are those with the same w in all layers."""
    in_w = all(bool((latent.ws == latent.ws[:, :1]).all()) for latent in keys)
    return "Z" if config.path == "z" else "W" if in_w else "W+"


def _latent(text: str, config: InterpolateConfig, workshop: Workshop) -> Latent:
    if text.isdigit():
        return latent_of_code(workshop.generator, generate_ws(workshop.generator, parse_seeds(text), config.psi), {})
    return open_single(text, workshop)


def _through_w(generator: Generator, keys: Sequence[Latent], config: InterpolateConfig) -> Iterator[Latent]:
    """Yield the frames: codes, noise inputs, tuned weights and corrections all go from one latent to the next."""
    shares = path_through(torch.eye(len(keys)), config.frames, config.loop)  # [F, K]
    return (blend_latents(generator, keys, row.tolist()) for row in shares)


def blend_latents(generator: Generator, latents: Sequence[Latent], shares: Sequence[float]) -> Latent:
    """Return the mean of latents, weighted by `shares` (sum 1): of codes, noise, tuned weights and corrections."""
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
    correction = blend_corrections(generator, [latent for latent, _ in used], [share for _, share in used], ws)
    styles: Styles = {}
    for latent, share in used:
        styles = added(styles, latent.styles, share)
    return replace(used[0][0], ws=ws, origin=ws, noise=noise, delta=delta, correction=correction, styles=dict(styles))


def _through_z(generator: Generator, inputs: Sequence[str], config: InterpolateConfig) -> Iterator[Latent]:
    """Yield the frames on great circles between the seeds' z."""
    if not all(text.isdigit() for text in inputs):
        raise ConfigError("--path z goes between seeds only, since latents and photos have no z; take --path w")
    seeds = [parse_seeds(text)[0] for text in inputs]
    z = path_through(latents_from_seeds(seeds, generator.z_dim), config.frames, config.loop, BLENDS["z"])
    device = generator.w_avg.device
    labels = class_label(generator, 0 if generator.c_dim else None, len(z))
    with torch.no_grad():
        ws = generator.mapping(z.to(device), None if labels is None else labels.to(device), config.psi)
    return (latent_of_code(generator, code, {}) for code in ws.split(1))


def _enlarge(frame: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(frame).resize((side, side), Image.Resampling.BICUBIC))
