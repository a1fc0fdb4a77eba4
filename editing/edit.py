"""The task: latents or photos in, edited faces and edited photos out."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from editing.config import DEFAULT_SEARCH, PLAIN_TRANSFER, EditConfig, SearchConfig, TransferConfig
from editing.editor import AUTO, Editor, Transfer, check_judge, check_strength, check_transfers
from editing.layers import parse_layers
from editing.render import EditedFace, edit_scores, find_photo, paste_into_photo, render_edit, write_edit, write_photo
from editing.strength import search_line
from inversion.invert import Inverter, output_names, read_start
from inversion.latents import Latent, check_generator, load_latent
from stylegan_core.console import Console
from stylegan_core.errors import ConfigError, LatentError
from stylegan_core.images import SUFFIXES, Photo, read_photo

Change = Callable[[Editor], Latent]
Beside = Callable[[Path, Latent], None]  # folder of a face, and its latent before the edit


@dataclass(frozen=True)
class Subject:
    """What an input turned out to be: the faces of one photo, or one latent."""

    name: str  # of the output folder
    photo: Photo | None
    latents: dict[int, Latent]  # by the face's index


@dataclass(frozen=True)
class Workshop:
    """What every editing command needs: models, options, where to write, whom to tell."""

    inverter: Inverter
    config: EditConfig
    out: Path
    console: Console

    @property
    def generator(self) -> Any:
        return self.inverter.generator


def edit_files(
    inputs: Sequence[str],
    transfers: Sequence[str],
    pair: tuple[str, str] | None,
    workshop: Workshop,
    how: TransferConfig = PLAIN_TRANSFER,
    search: SearchConfig = DEFAULT_SEARCH,
) -> None:
    """Edit latents and photos by directions, and by the difference of a (neutral, expression) pair.

    Each of the pair is a photo, a latent, or a folder of them, whose codes are averaged."""
    if not transfers and pair is None:
        raise ConfigError("nothing to do: give --transfer NAME, or --transfer-from NEUTRAL EXPRESSION")
    strength = check_strength(workshop.config.strength)
    steps = [Transfer.parse(text, strength) for text in transfers]
    check_transfers(workshop.generator, steps, how, search)  # what cannot work is refused before any work
    if pair and strength == AUTO:
        check_judge(search)
        if any(step.strength == AUTO for step in steps):
            raise ConfigError("only one edit can have the strength auto; give the transfers numbers, as smile:0.5")
    example = (open_set(pair[0], workshop), open_set(pair[1], workshop)) if pair else None

    def change(editor: Editor) -> Latent:
        latent = editor.transfer(steps, how, search) if steps else editor.latent
        return Editor(workshop.generator, latent).transfer_from(*example, strength, search) if example else latent

    names = [f"{step.name} {step.strength}" for step in steps] + [f"expression {strength}"] * (pair is not None)
    change_files(inputs, change, " + ".join(names), workshop)


def truncate_files(
    inputs: Sequence[str], psi: float, cutoff: int | None, workshop: Workshop, beside: Beside | None = None
) -> None:
    """Pull latents, or photos' codes, towards the mean of W."""
    if not math.isfinite(psi) or (cutoff is not None and cutoff < 0):
        raise ConfigError(f"psi {psi:g} with cutoff {cutoff}: expected a finite psi and a cutoff of 0 or more")
    change_files(inputs, lambda editor: editor.truncate(psi, cutoff), f"psi {psi:g}", workshop, beside)


def crossover_files(
    first: str, other: Latent, second: str, layers: str, workshop: Workshop, beside: Beside | None = None
) -> None:
    """Give the first latent or photo the layers `layers` of `other`, which came from the file `second`."""
    chosen = parse_layers(layers, workshop.generator.num_ws)
    label = f"{layers} of {Path(second).stem}"
    change_files([first], lambda editor: editor.crossover(other, chosen), label, workshop, beside)


def change_files(
    inputs: Sequence[str], change: Change, label: str, workshop: Workshop, beside: Beside | None = None
) -> None:
    """Apply `change` to every face of every input; an input that fails is named and leaves the others.

    Latents of one photo that are given together end in one photo. `beside` writes more into a face's folder."""
    for paths, name in _together(inputs):
        opened: list[Subject] = []
        for path in paths:
            with workshop.console.guard(path):
                opened.append(open_subject(path, name, workshop))
        if not opened:
            continue
        with workshop.console.guard(paths[0]):
            latents = {index: latent for item in opened for index, latent in item.latents.items()}
            subject = Subject(name, opened[0].photo, latents)
            edited = {
                index: render_edit(workshop.generator, change(Editor(workshop.generator, latent, paths[0])))
                for index, latent in sorted(subject.latents.items())
            }
            write_subject(subject, edited, label, workshop)
            for index, latent in subject.latents.items() if beside else ():
                beside(workshop.out / name / f"face{index}", latent)  # type: ignore[misc]


def _together(inputs: Sequence[str]) -> list[tuple[list[str], str]]:
    """Return the inputs with the names of their output folders; different faces of the same photo share one."""
    groups: dict[str, list[str]] = {}
    taken: set[str] = set()
    for number, path in enumerate(inputs):
        key = f"input {number}"
        if Path(path).suffix == ".npz" and Path(path).is_file():
            with suppress(LatentError):  # said where it is opened
                latent = load_latent(path)
                face = f"{latent.photo_sha256} {_given_name(path)} {_face_index(latent)}"
                if latent.photo_sha256 and latent.quad is not None and face not in taken:
                    key = f"{latent.photo_sha256} {_given_name(path)}"
                    taken.add(face)
        groups.setdefault(key, []).append(path)
    names = output_names([_given_name(paths[0]) for paths in groups.values()])
    return list(zip(groups.values(), names, strict=True))


def open_subject(path: str, name: str, workshop: Workshop) -> Subject:
    """Load a latent with its photo, or read a photo and invert its faces."""
    inverter = workshop.inverter
    if Path(path).suffix == ".npz":
        latent = load_latent(path)
        check_generator(latent, inverter.generator, path)
        return Subject(name, find_photo(latent, workshop.config.photo), {_face_index(latent): latent})
    photo = read_photo(path)
    start = read_start(inverter.config.start, inverter.generator)
    latents = {}
    for face in inverter.align(photo):
        with workshop.console.progress(f"{name} face{face.index}", inverter.projection.steps) as progress:
            latents[face.index] = inverter.invert_face(photo, face, start, progress).latent
    return Subject(name, photo, latents)


def open_set(path: str, workshop: Workshop) -> Latent:
    """Load a latent, or invert a photo's first face; of a folder of them, the mean of all codes."""
    if not Path(path).is_dir():
        return open_single(path, workshop)
    files = sorted(item for item in Path(path).iterdir() if item.suffix.lower() in (*SUFFIXES, ".npz"))
    latents = []
    for file in files:
        with workshop.console.guard(str(file)):
            latents.append(open_single(str(file), workshop))
    if not latents:
        raise ConfigError(f"{path}: none of the {len(files)} photos and latents in it could be used; give others")
    return replace(latents[0], ws=torch.stack([latent.ws for latent in latents]).mean(dim=0))


def open_single(path: str, workshop: Workshop) -> Latent:
    """Load a latent, or invert a photo and take its first face."""
    return next(iter(open_subject(path, Path(path).stem, workshop).latents.values()))


def write_subject(subject: Subject, edited: dict[int, EditedFace], label: str, workshop: Workshop) -> None:
    """Write each face into `out/NAME/faceN/`, and the whole photo beside it (of several faces: into `out/NAME/`)."""
    folders = {index: workshop.out / subject.name / f"face{index}" for index in edited}
    paste = workshop.config.paste
    pasted: dict[int, dict[str, Any]] = {index: {"mode": "none"} for index in edited}
    if subject.photo is not None and paste != "none":
        folder = folders[next(iter(folders))] if len(folders) == 1 else workshop.out / subject.name
        pasted = _write_whole_photo(folder / "photo_edited.png", subject.photo, edited, workshop)
    elif paste != "none":
        workshop.console.say(
            f"{subject.name}: only the face is written, since its photo is not known or has moved; name it with --photo"
        )
    for index, face in edited.items():
        report = {
            **face.latent.report,
            "edit_options": asdict(workshop.config),
            "edit_scores": edit_scores(workshop.generator, face),
            "paste": pasted[index],
        }
        write_edit(folders[index], workshop.generator, face, subject.photo, label, report)
        workshop.console.say(f"{folders[index] / 'edited.png'}: {label}")
        if "strength_search" in face.latent.report:
            workshop.console.say(f"{folders[index] / 'strength.png'}: {search_line(report['strength_search'])}")


def _write_whole_photo(
    path: Path, photo: Photo, faces: dict[int, EditedFace], workshop: Workshop
) -> dict[int, dict[str, Any]]:
    """Write the photo with all faces; return what the report says of each."""
    rgb, results = paste_into_photo(photo, list(faces.values()), workshop.config.paste)
    write_photo(path, photo, rgb)
    changed, pixels = int((rgb != photo.rgb).any(axis=-1).sum()), rgb.shape[0] * rgb.shape[1]
    seams = ", ".join(f"{result.seam_ratio:.2f}" for result in results)
    workshop.console.say(
        f"{path}: {changed:,} of {pixels:,} pixels changed ({results[-1].mode}; seam gradient {seams} of the photo's)"
    )
    whole = {"pixels_changed": changed, "pixels": pixels}
    return {
        index: {
            "mode": result.mode,
            **whole,
            "pixels_changed_by_this_face": result.pixels_changed,
            "seam_gradient_ratio": round(result.seam_ratio, 4),
            "colour_shift": [round(value, 4) for value in result.colour_shift],
        }
        for index, result in zip(faces, results, strict=True)
    }


def _given_name(path: str) -> str:
    """Name the output after the photo: for `out/me/face0/latent.npz` that is `me`."""
    given = Path(path)
    if given.suffix == ".npz" and given.stem == "latent" and given.resolve().parent.name.startswith("face"):
        return f"{given.resolve().parent.parent.name}.npz"
    return given.name


def _face_index(latent: Latent) -> int:
    face = latent.report.get("face")
    index = face.get("index", 0) if isinstance(face, dict) else 0
    return index if isinstance(index, int) and 0 <= index < 10_000 else 0
