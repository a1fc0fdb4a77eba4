"""Invert photos of files, and write latents, pictures and reports beside each other."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inversion.config import InvertConfig, ProjectionConfig, TuneConfig
from inversion.invert import AlignedFace, InvertedFace, Inverter, read_start, refuse_doubts
from inversion.latents import Latent, save_latent
from stylegan_core.console import Console
from stylegan_core.devices import fit_process
from stylegan_core.files import write_text
from stylegan_core.images import Photo, labelled_row, read_photo, to_uint8, write_png

DEFAULT_TUNE = TuneConfig()
STATE_FILE = ".inversion-state.safetensors"  # in a face's folder, while its search is under way
DIFFERENCE_GAIN = 4  # of the difference shown in comparison.png


@dataclass(frozen=True)
class WaitingFace:
    """A face that waits for its inversion, and where it goes."""

    path: str  # of the photo, as it was given
    folder: Path  # to write into
    photo: Photo
    face: AlignedFace


def invert_files(
    paths: Sequence[str],
    out: str,
    config: InvertConfig,
    projection: ProjectionConfig,
    console: Console,
    tune: TuneConfig = DEFAULT_TUNE,
) -> None:
    """Invert photos into `out/NAME/faceN/`; a photo that fails is named and leaves the others.

    With `config.batch` above 1, so many faces are searched for at a time, of several photos if need be."""
    inverter = Inverter(config, projection, tune=tune)
    fit_process(inverter.generator.img_resolution)
    start = read_start(config.start, inverter.generator)
    waiting: list[WaitingFace] = []
    for path, name in zip(paths, output_names(paths), strict=True):
        with console.guard(path):
            photo = read_photo(path)
            for face in inverter.align(photo):
                waiting.append(WaitingFace(path, Path(out) / name / f"face{face.index}", photo, face))
        while len(waiting) >= config.batch:
            invert_waiting(inverter, waiting[: config.batch], start, console)
            waiting = waiting[config.batch :]
    if waiting:
        invert_waiting(inverter, waiting, start, console)


def invert_waiting(inverter: Inverter, jobs: Sequence[WaitingFace], start: Latent | None, console: Console) -> None:
    """Invert some faces in one search and write them."""
    first = jobs[0].folder
    label = f"{first.parent.name} {first.name}" + (f" and {len(jobs) - 1} more" if len(jobs) > 1 else "")
    with (
        console.guard(", ".join(dict.fromkeys(job.path for job in jobs))),
        console.progress(label, inverter.num_steps(len(jobs))) as progress,
    ):
        pairs = [(job.photo, job.face) for job in jobs]
        found = inverter.invert_faces(pairs, start, progress, first / STATE_FILE)
        for job, inverted in zip(jobs, found, strict=True):
            report = inverted.latent.report
            if inverter.config.strict:
                with console.guard(job.path):
                    refuse_doubts(report["warnings"], job.path, job.face.index)
                if report["warnings"]:
                    continue
            write_inversion(job.folder, inverted)
            for text in report["warnings"]:
                console.warn(f"{job.path}: face{job.face.index}: {text}")
            console.say(f"{job.folder}: {report['scores']['psnr']:.1f} dB after {told_steps(report)}")


def told_steps(report: Mapping[str, Any]) -> str:
    """Say how many steps an inversion took: `200 steps and 400 of tuning`, `50 steps and 50 of features`."""
    more = [f" and {report[part]['steps_taken']} of {part}" for part in ("tuning", "features") if part in report]
    return f"{report['steps_taken']} steps" + "".join(more)


def write_inversion(folder: Path, inverted: InvertedFace) -> None:
    """Write latent.npz, aligned.png, inverted.png, comparison.png and report.json of one face into `folder`."""
    target, image = to_uint8(inverted.face.target)[0], to_uint8(inverted.image)[0]
    note = "Reconstruction of a photo by a generative network (Invertigo); not a photograph."
    write_png(folder / "aligned.png", target)
    write_png(folder / "inverted.png", image, note)
    difference = difference_picture(target, image)
    labels = ["target", "inversion", f"difference x{DIFFERENCE_GAIN}"]
    write_png(folder / "comparison.png", labelled_row([target, image, difference], labels), note)
    write_text(folder / "report.json", json.dumps(inverted.latent.report, indent=2))
    save_latent(folder / "latent.npz", inverted.latent)


def difference_picture(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the difference of two pictures, amplified, on middle grey."""
    difference = (other.astype(np.int32) - one) * DIFFERENCE_GAIN + 128
    return difference.clip(0, 255).astype(np.uint8)


def output_names(paths: Sequence[str | Path]) -> list[str]:
    """Return a folder name for each photo: its stem, numbered from the second of the same stem on."""
    names: list[str] = []
    taken: set[str] = set()
    for path in paths:
        stem = Path(path).stem or "photo"
        name, number = stem, 2
        while name.lower() in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name.lower())
        names.append(name)
    return names
