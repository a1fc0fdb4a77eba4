"""One tab's work: its photo, the faces in it, their codes and edits. It knows nothing of the page."""

import secrets
import shutil
import threading
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from editing.directions import Direction, all_shipped, check_direction, load_direction, shipped_directions
from editing.editor import Editor
from editing.pipeline import apply_step
from editing.recipe import OutputConfig, Recipe, format_recipe
from editing.render import NOTE, EditedFace, paste_into_photo, render_edit, write_photo
from editing.studio.dials import Dials, History
from editing.studio.jobs import Job
from inversion.faces.paste import PasteResult
from inversion.invert import AlignedFace, InvertedFace, Inverter
from inversion.latents import Latent, save_latent
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.devices import pick_device
from stylegan_core.errors import ConfigError, LatentMismatchError, ToolkitError
from stylegan_core.images import Photo, decode_photo, read_bytes, to_uint8, write_png, write_text

MAX_PIXELS = 60_000_000  # of a photo in the page
SECOND = "second.npz"  # the second photo's code, beside the recipe
FIRST = "smile"  # the direction that comes first where there is one


@dataclass(frozen=True)
class Dial:
    """A direction as the page offers it."""

    name: str  # what a recipe calls it: a shipped name, or a file
    label: str
    info: str  # what strength 1 means
    reason: str = ""  # why it does not fit this generator; empty where it does


@dataclass(frozen=True)
class Search:
    """What the page asks of an inversion."""

    method: str
    space: str
    steps: int
    seed: int


class Session:
    """Keeps one photo at a time; every method may be called from any thread."""

    def __init__(self, inverter: Inverter, folder: Path, max_bytes: int) -> None:
        self.inverter, self.folder, self.max_bytes = inverter, folder, max_bytes
        self.token = secrets.token_urlsafe(24)
        self.lock = threading.RLock()
        self.photo: Photo | None = None
        self.faces: list[AlignedFace] = []
        self.inverted: dict[int, InvertedFace] = {}
        self.second: InvertedFace | None = None
        self.own: dict[str, Direction] = {}  # direction files of the user, by path
        self.history = History()
        self.job: Job | None = None
        self._recipe = Recipe()
        self._pasted: tuple[Dials, NDArray[np.uint8], list[PasteResult]] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def generator(self) -> Any:
        return self.inverter.generator

    def load_photo(self, path: Path, align: bool = True) -> None:
        """Take a photo from a file and find its faces; what was done to an earlier one is forgotten."""
        photo = self._read(path)
        faces = self._aligner(align).align(photo)
        with self.lock:
            self.cancel()
            self.photo, self.faces, self.inverted = photo, faces, {}
            self._reset()

    def load_checkpoint(self, path: Path) -> None:
        """Take another generator from a file; the photo stays, its codes go."""
        old = self.inverter
        generator = load_generator(path, pick_device(old.config.device))
        config = replace(old.config, generator=path.name, encoder="")
        inverter = Inverter(config, old.projection, generator, old.perceptual, old.tune)
        with self.lock:
            self.cancel()
            self.inverter, self.inverted, self.second = inverter, {}, None
            self._reset()
            self.faces = self._aligner(self._recipe.invert.align).align(self.photo) if self.photo else []

    def load_direction(self, path: Path) -> Direction:
        """Take a direction from a file, kept in this session's folder under its own name."""
        direction = load_direction(path)
        check_direction(direction, self.generator, path.name)
        kept = self.folder / path.name
        shutil.copyfile(path, kept)
        self.own[str(kept)] = direction
        return direction

    def dials(self) -> list[Dial]:
        """Return the directions on offer: those that fit this generator first, the smile before all."""
        fitting = shipped_directions(self.generator.meta.fingerprint)
        offered = [Dial(name, name, item.unit) for name, item in fitting.items()]
        offered.sort(key=lambda dial: (dial.name != FIRST, not fitting[dial.name].attribute, dial.name))
        for path, direction in self.own.items():
            offered.append(_checked(Dial(path, f"{direction.name} (your file)", direction.unit), direction, self))
        others = {item.name: item for item in all_shipped() if item.name not in fitting}
        return offered + [_checked(Dial(name, name, item.unit), item, self) for name, item in sorted(others.items())]

    def start_inversion(self, chosen: Sequence[int], search: Search) -> Job:
        """Start to search the codes of the chosen faces, all together as a batch does."""
        photo, faces = self._need_photo(), [face for face in self.faces if face.index in chosen]
        if not faces:
            raise ConfigError("no face is chosen; tick at least one")
        everyone = len(faces) == len(self.faces)
        names = "all" if everyone else ",".join(f"face{face.index}" for face in faces)
        inverter = self._inverter(search, faces=names)

        def keep(found: list[InvertedFace]) -> None:
            self.inverted = {item.face.index: _portable(item) for item in found}
            self._reset()
            self._recipe = Recipe(inverter.config, inverter.projection)

        return self._start([(photo, face) for face in faces], inverter, keep)

    def start_second(self, path: Path, search: Search) -> Job:
        """Start to search the code of the largest face of a second photo."""
        photo = self._read(path)
        inverter = self._inverter(search, faces="1")
        face = inverter.align(photo)[0]

        def keep(found: list[InvertedFace]) -> None:
            self.second = _portable(found[0])
            save_latent(self.folder / SECOND, self.second.latent)

        return self._start([(photo, face)], inverter, keep)

    def cancel(self) -> None:
        """Stop the search that is under way, if there is one."""
        if self.job is not None:
            self.job.cancel()

    def preview(self, index: int, dials: Dials) -> NDArray[np.uint8]:
        """Render one face [R, R, 3] with the dials as they are, and nothing else: this is what a slider waits for."""
        with self.lock:
            return to_uint8(Editor(self.generator, self._edited(index, dials)).render())[0]

    def sweep(self, index: int, dials: Dials, name: str, strengths: Sequence[float]) -> list[NDArray[np.uint8]]:
        """Render one face at several strengths of one direction, the other dials as they are."""
        others = tuple(item for item in dials.strengths if item[0] != name)
        return [
            self.preview(index, replace(dials, strengths=(*others, (name, strength)) if strength else others))
            for strength in strengths
        ]

    def settle(self, dials: Dials) -> None:
        """Enter the dials into the history."""
        with self.lock:
            self._need_codes()
            self.history.push(dials)

    def result(self) -> tuple[NDArray[np.uint8], list[PasteResult]]:
        """Return the whole photo with the edits as they stand, and what pasting reports of each face."""
        with self.lock:
            photo, dials = self._need_photo(), self.history.now
            if self._pasted is None or self._pasted[0] != dials:
                self._pasted = (dials, *paste_into_photo(photo, self._need_codes(), dials.paste))
            return self._pasted[1:]

    def recipe(self) -> Recipe:
        """Return the recipe that repeats what was done; files in it are named as they are downloaded."""
        with self.lock:
            dials = self.history.now
            own = tuple((Path(name).name if name in self.own else name, value) for name, value in dials.strengths)
            steps = replace(dials, strengths=own).steps(SECOND if self.second else "")
            return replace(self._recipe, edits=steps, output=OutputConfig(dials.paste))

    def export(self, what: str) -> Path:
        """Write one of `EXPORTS` into this session's folder and return its path."""
        if what not in EXPORTS:
            raise ConfigError(f"'{what}' is nothing to download; expected {', '.join(EXPORTS)}")
        with self.lock:
            return EXPORTS[what](self)

    def close(self) -> None:
        """Stop what is under way and delete everything."""
        self.cancel()
        with self.lock:
            self.photo, self.faces, self.inverted, self.second = None, [], {}, None
            self._pasted = None
            shutil.rmtree(self.folder, ignore_errors=True)

    def stem(self) -> str:
        """Return the photo's name without its suffix."""
        return self._need_photo().path.stem

    def edited_faces(self) -> dict[int, Latent]:
        """Return the edited codes, by face."""
        return {index: self._edited(index, self.history.now) for index in self.inverted}

    def _read(self, path: Path) -> Photo:
        """Decode a photo under its own name: where the page keeps its files is nobody's business."""
        return decode_photo(read_bytes(path, self.max_bytes), Path(path.name), MAX_PIXELS)

    def _aligner(self, align: bool) -> Inverter:
        self._recipe = replace(self._recipe, invert=replace(self._recipe.invert, align=align))
        return replace_config(self.inverter, faces="all", align=align)

    def _inverter(self, search: Search, faces: str) -> Inverter:
        projection = replace(self.inverter.projection, space=search.space, steps=search.steps, seed=search.seed)
        align = self._recipe.invert.align
        return replace_config(self.inverter, projection, method=search.method, faces=faces, align=align)

    def _start(
        self, pairs: list[tuple[Photo, AlignedFace]], inverter: Inverter, keep: Callable[[list[InvertedFace]], None]
    ) -> Job:
        def look(ws: torch.Tensor) -> NDArray[np.uint8]:
            with torch.no_grad():
                return to_uint8(inverter.generator.synthesis(ws, noise_mode="const"))

        def work(job: Job) -> None:
            found = inverter.invert_faces(pairs, progress=job.progress, preview=job.preview)
            with self.lock:
                job.progress(job.step, job.loss)  # cancelled at the last moment: nothing is kept
                keep(found)

        with self.lock:
            self.cancel()
            self.job = Job(inverter.num_steps(len(pairs)), look, work)
            return self.job

    def _reset(self) -> None:
        self.history, self._pasted = History(), None

    def _need_photo(self) -> Photo:
        if self.photo is None:
            raise ConfigError("there is no photo yet; load one (a page that was away for long starts anew)")
        return self.photo

    def _need_codes(self) -> list[EditedFace]:
        """Render all faces with the dials of the history's present entry."""
        if not self.inverted:
            raise ConfigError("no face is inverted yet; press Invert first")
        return [render_edit(self.generator, latent) for latent in self.edited_faces().values()]

    def _edited(self, index: int, dials: Dials) -> Latent:
        if index not in self.inverted:
            raise ConfigError("no face is inverted yet; press Invert first")
        latent = self.inverted[index].latent
        for step in dials.steps(str(self.folder / SECOND) if self.second else ""):
            latent = apply_step(Editor(self.generator, latent), step)
        return latent


def replace_config(inverter: Inverter, projection: Any = None, **changes: Any) -> Inverter:
    """Return an inverter with the same models and other options."""
    config = replace(inverter.config, **changes)
    return Inverter(config, projection or inverter.projection, inverter.generator, inverter.perceptual, inverter.tune)


def _checked(dial: Dial, direction: Direction, session: Session) -> Dial:
    """Give a dial the reason why its direction does not fit, if it does not."""
    try:
        check_direction(direction, session.generator, dial.label)
    except LatentMismatchError as error:
        return replace(dial, reason=str(error))
    return dial


def _portable(inverted: InvertedFace) -> InvertedFace:
    """Name the photo by its name alone in the report: a path of the page's machine is of no use elsewhere."""
    report = inverted.latent.report
    photo = {**report["photo"], "path": Path(report["photo"]["path"]).name}
    return replace(inverted, latent=replace(inverted.latent, report={**report, "photo": photo}))


def _export_photo(session: Session) -> Path:
    path = session.folder / f"{session.stem()}_edited.png"
    write_photo(path, session._need_photo(), session.result()[0])
    return path


def _export_face(session: Session) -> Path:
    faces = session._need_codes()
    path = session.folder / f"{session.stem()}_face.png"
    write_png(path, np.concatenate([to_uint8(face.edited)[0] for face in faces], axis=1), NOTE)
    return path


def _export_latent(session: Session) -> Path:
    """Write latent.npz of one face, or a zip of faceN.npz of several."""
    latents = session.edited_faces()
    if not latents:
        raise ToolkitError("no face is inverted yet; press Invert first")
    files = []
    for index, latent in latents.items():
        files.append(session.folder / f"{session.stem()}_face{index}.npz")
        save_latent(files[-1], latent)
    if len(files) == 1:
        return files[0]
    archive = session.folder / f"{session.stem()}_latents.zip"
    with zipfile.ZipFile(archive, "w") as bundle:
        for file in files:
            bundle.write(file, file.name)
    return archive


def _export_recipe(session: Session) -> Path:
    path = session.folder / "recipe.toml"
    write_text(path, format_recipe(session.recipe()))
    return path


def _export_second(session: Session) -> Path:
    if session.second is None:
        raise ToolkitError("there is no second photo; load one first")
    return session.folder / SECOND


EXPORTS: dict[str, Callable[[Session], Path]] = {
    "photo": _export_photo,
    "face": _export_face,
    "latent": _export_latent,
    "recipe": _export_recipe,
    "second": _export_second,
}
