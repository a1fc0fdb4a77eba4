"""The task: latents or photos in, edited faces and edited photos out."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from editing.codes import open_code
from editing.config import EditConfig
from editing.early import check_operations, tell_strengths
from editing.editor import Editor
from editing.operations.base import Edit, Operation
from editing.pasted import EditedPhoto, mean_scores, paste_photo, told_scores
from editing.render import EditedFace, compared_renders, edit_scores, find_photo, write_edit, write_photo
from editing.strength import search_line
from inversion.invert import Inverter, read_start, refuse_doubts
from inversion.invert_files import STATE_FILE, output_names
from inversion.latents import Latent, check_generator, load_latent, save_latent, texts_of
from stylegan_core.console import Console
from stylegan_core.credentials import Done, Seal, Signature
from stylegan_core.errors import ConfigError, LatentError
from stylegan_core.files import read_bytes
from stylegan_core.images import Photo, encode_png, read_photo, to_tensor
from stylegan_core.networks.protocol import Generator
from stylegan_core.photo_files import SUFFIXES

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
    codes: Path | None = None  # folder for the inversions of photos that operations name; None: they are not kept
    opened: dict[str, Latent] = field(default_factory=dict)  # the codes that operations named so far
    signature: Signature | None = None  # signs the edited pictures with what was done

    @property
    def generator(self) -> Generator:
        return self.inverter.generator

    def open_code(self, text: str | Latent) -> Latent:
        """Return the code that an operation names: a seed's, a latent's, a photo's, or the mean of a folder of them."""
        if isinstance(text, Latent) or text.isdigit():
            return open_code(text, self.generator)
        if text not in self.opened:
            self.opened[text] = open_set(text, self)
        return self.opened[text]


def edit_files(inputs: Sequence[str], operations: Sequence[Operation], workshop: Workshop) -> None:
    """Edit latents and photos by operations, one after the other."""
    check_operations(operations)
    change_files(inputs, operations, workshop)


def change_files(
    inputs: Sequence[str], operations: Sequence[Operation], workshop: Workshop, beside: Beside | None = None
) -> None:
    """Apply the operations to every face of every input; an input that fails is named and leaves the others.

    Latents of one photo that are given together end in one photo. `beside` writes more into a face's folder.
    What cannot work is refused before any input is opened."""
    strengths = tell_strengths(operations, workshop.inverter.config, workshop.console)
    edits = [operation.resolve(workshop.generator, workshop.open_code) for operation in operations]
    label = " + ".join(edit.label for edit in edits)
    for paths, name in _together(inputs):
        opened: list[Subject] = []
        for path in paths:
            with workshop.console.guard(path):
                opened.append(open_subject(path, name, workshop, workshop.out / name))
        if not opened:
            continue
        with workshop.console.guard(paths[0]):
            latents = {index: latent for item in opened for index, latent in item.latents.items()}
            subject = Subject(name, opened[0].photo, {index: warned(latents[index], strengths) for index in latents})
            tell_doubts(paths[0], subject, strengths, workshop)
            write_subject(subject, edit_subject(subject, edits, workshop, paths[0]), label, workshop)
            for index, latent in subject.latents.items() if beside else ():
                beside(workshop.out / name / f"face{index}", latent)  # type: ignore[misc]


def warned(latent: Latent, doubts: Sequence[str]) -> Latent:
    """Return a latent whose report also says what is doubtful of an edit."""
    return replace(latent, report=with_doubts(latent.report, doubts))


def with_doubts(report: Mapping[str, Any], doubts: Sequence[str]) -> dict[str, Any]:
    """Return a report that also says what is doubtful of an edit: among all warnings, and by itself, since the next
    edit of the same inversion begins without it."""
    named = {name: [*texts_of(report, name), *doubts] for name in ("warnings", "edit_warnings")} if doubts else {}
    return {**report, **named}


def warnings_of(latent: Latent) -> list[str]:
    """Return what a latent's report says is doubtful."""
    return texts_of(latent.report, "warnings")


def tell_doubts(source: str, subject: Subject, told: Sequence[str], workshop: Workshop) -> None:
    """Print what is doubtful of the faces, beside what was `told` already; raises `DoubtfulFaceError` if strict."""
    for index, latent in subject.latents.items():
        doubts = [text for text in warnings_of(latent) if text not in told]
        if workshop.inverter.config.strict:
            refuse_doubts(doubts, source, index)
        for text in doubts:
            workshop.console.warn(f"{source}: face{index}: {text}")


def edit_subject(
    subject: Subject, edits: Sequence[Edit], workshop: Workshop, source: str = "the latent"
) -> dict[int, EditedFace]:
    """Apply edits to every face of a subject; return the edited faces by index."""
    generator, config = workshop.generator, workshop.config
    return {
        index: Editor(generator, latent, source, subject.photo, config.paste, config.region, config.restore).apply(
            *edits
        )
        for index, latent in sorted(subject.latents.items())
    }


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


def open_subject(path: str, name: str, workshop: Workshop, folder: Path | None) -> Subject:
    """Load a latent with its photo, or read a photo and invert its faces.

    In `folder` each face's inversion is kept as soon as it is found, and so is the state of a search that is
    interrupted; what an earlier run of the same search left there is used."""
    inverter = workshop.inverter
    if Path(path).suffix == ".npz":
        latent = load_latent(path)
        check_generator(latent, inverter.generator, path)
        return Subject(name, find_photo(latent, workshop.config.photo), {_face_index(latent): latent})
    photo = read_photo(path)
    start = read_start(inverter.config.start, inverter.generator)
    latents = {}
    for face in inverter.align(photo):
        label, place = f"{name} face{face.index}", folder / f"face{face.index}" if folder else None
        if place and (found := inverter.found_before(place / "latent.npz", photo, face)):
            workshop.console.say(f"{label}: taken from {place}, where an earlier run inverted it")
            latents[face.index] = found
            continue
        with workshop.console.progress(label, inverter.num_steps(1)) as progress:
            state_file = place / STATE_FILE if place else None
            latents[face.index] = inverter.invert_face(photo, face, start, progress, state_file).latent
        if place:
            save_latent(place / "latent.npz", latents[face.index])
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
    name = Path(path).stem
    folder = workshop.codes / name if workshop.codes else None
    return next(iter(open_subject(path, name, workshop, folder).latents.values()))


def write_subject(subject: Subject, edited: dict[int, EditedFace], label: str, workshop: Workshop) -> dict[str, float]:
    """Write each face into `out/NAME/faceN/`, and the whole photo beside it (of several faces: into `out/NAME/`).

    Returns what is measured on the edited photo, as means over its faces; nothing where there is no photo. What does
    not look believable there is told, or raises `DoubtfulFaceError` before anything is written if strict."""
    folders = {index: workshop.out / subject.name / f"face{index}" for index in edited}
    seal = sealing(workshop.signature, subject.photo, label, workshop.generator)
    pasted = _paste(subject, edited, workshop)
    if pasted is not None:
        folder = folders[next(iter(folders))] if len(folders) == 1 else workshop.out / subject.name
        write_photo(folder / "photo_edited.png", pasted.photo, pasted.rgb, seal)
        workshop.console.say(f"{folder / 'photo_edited.png'}: {pasted.describe()}")
    for number, (index, face) in enumerate(edited.items()):
        report = {**face.latent.report, "edit_options": asdict(workshop.config)}
        if pasted is None:
            report |= {"edit_scores": edit_scores(face), "paste": {"mode": "none"}}
            pictures = compared_renders(face, label)
        else:
            doubts = list(pasted.doubts[number])
            report |= {"photo_scores": asdict(pasted.scores[number]), "paste": pasted.report(number)}
            report = with_doubts(report, doubts)
            pictures = dict(zip(("photo", label), pasted.close_ups(number), strict=True))
            if (identity := workshop.inverter.identity).name:
                before, after = (to_tensor(rgb).to(workshop.generator.w_avg.device) for rgb in pictures.values())
                similarity = identity.similarity(before, after, workshop.generator.meta.alignment)
                report["photo_scores"] |= {"identity_similarity": round(float(similarity), 4)}
        write_edit(folders[index], face, pictures, report, seal)
        workshop.console.say(f"{folders[index] / 'edited.png'}: {label}{told_scores(pasted, number)}")
        for note in face.notes:
            workshop.console.say(f"{folders[index] / 'edited.png'}: {note}")
        if "strength_search" in face.latent.report:
            workshop.console.say(f"{folders[index] / 'strength.png'}: {search_line(report['strength_search'])}")
    return {} if pasted is None else mean_scores(pasted)


def _paste(subject: Subject, edited: dict[int, EditedFace], workshop: Workshop) -> EditedPhoto | None:
    """Paste all faces, and say what does not look believable; None where there is no photo, or is to be none."""
    config = workshop.config
    if config.paste == "none":
        return None
    if subject.photo is None:
        workshop.console.say(
            f"{subject.name}: only the face is written, since its photo is not known or has moved; name it with --photo"
        )
        return None
    pasted = paste_photo(subject.photo, list(edited.values()), config.paste, config.restore)
    for index, doubts in zip(edited, pasted.doubts, strict=True):
        if workshop.inverter.config.strict:
            refuse_doubts(doubts, subject.name, index)
        for text in doubts:
            workshop.console.warn(f"{subject.name}: face{index}: {text}")
    return pasted


def sealing(
    signature: Signature | None, photo: Photo | None, label: str, generator: Generator, file: Path | None = None
) -> Seal | None:
    """Return what signs a PNG as `photo` (whose bytes are in `file`; None: at its path) edited by `generator`; None
    without a signature."""
    if signature is None:
        return None
    done = Done(label, generator.meta.name, generator.meta.fingerprint)
    if photo is not None:
        file = file or photo.path
        data = read_bytes(file) if file.is_file() else b""
        same = hashlib.sha256(data).hexdigest() == photo.sha256
        parent = (data, photo.path.name) if same else (encode_png(photo.rgb), f"{photo.path.stem}.png")
        done = replace(done, parent=parent[0], parent_name=parent[1])
    return partial(signature.seal, done=done)


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
