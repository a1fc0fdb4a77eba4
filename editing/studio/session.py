"""One tab's work: its photo, the faces in it, their codes and edits. It knows nothing of the page."""

import secrets
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from editing.editor import Editor
from editing.recipe import OutputConfig, Recipe
from editing.render import EditedFace, paste_into_photo
from editing.studio.dials import Dials, History
from editing.studio.jobs import Job
from inversion.encoder import find_encoder
from inversion.faces.paste import PasteResult
from inversion.invert import AlignedFace, InvertedFace, Inverter
from inversion.latents import Latent, save_latent
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.devices import pick_device
from stylegan_core.directions import Direction, check_direction, load_direction
from stylegan_core.errors import ConfigError
from stylegan_core.files import read_bytes
from stylegan_core.images import Photo, decode_photo, to_uint8
from stylegan_core.networks.protocol import Generator

MAX_PIXELS = 60_000_000  # of a photo in the page
SECOND = "second.npz"  # the second photo's code, beside the recipe


@dataclass(frozen=True)
class SearchChoice:
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
        self.align = True  # whether faces are looked for; else the picture is one aligned face
        self.own_measures: dict[str, float] = {}  # of the face that is looked at, as the page shows them
        self.looked_at = 0  # the face that is shown by itself
        self.zoom = False  # whether the photo is shown from close
        self._recipe = Recipe()
        self._pasted: tuple[Dials, NDArray[np.uint8], list[PasteResult]] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def generator(self) -> Generator:
        return self.inverter.generator

    def load_photo(self, path: Path, align: bool = True) -> None:
        """Take a photo from a file and find its faces; what was done to an earlier one is forgotten."""
        photo = self._read(path)
        faces = replace_config(self.inverter, faces="all", align=align).align(photo)
        with self.lock:
            self.cancel()
            self.photo, self.align, self.faces, self.inverted = photo, align, faces, {}
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
            if self.photo is not None:
                self.faces = replace_config(inverter, faces="all", align=self.align).align(self.photo)

    def load_direction(self, path: Path) -> Direction:
        """Take a direction from a file, kept in this session's folder under its own name."""
        direction = load_direction(path)
        check_direction(direction, self.generator, path.name)
        kept = self.folder / "directions" / path.name
        kept.parent.mkdir(exist_ok=True)
        shutil.copyfile(path, kept)
        self.own[str(kept)] = direction
        return direction

    def guess(self, chosen: Sequence[int], search: SearchChoice) -> bool:
        """Take the encoder's guess for the chosen faces, so that they can be edited before they are searched for.

        Tells whether there is one; what was found for the same faces before stays."""
        faces, _ = self._chosen(chosen)
        if find_encoder(self.generator, self.inverter.config.encoder) is None or self.inverter.config.start == "w_avg":
            return False
        inverter = self._inverter(replace(search, method="hybrid", space="w+", steps=0), faces="all")
        found = inverter.invert_faces([(self.need_photo(), face) for face in faces])
        with self.lock:
            if set(self.inverted) != {face.index for face in faces}:
                self._take(found, inverter, afresh=True)
        return True

    def start_inversion(self, chosen: Sequence[int], search: SearchChoice) -> Job:
        """Start to search the codes of the chosen faces, all together as a batch does.

        Where they are inverted already (guessed, or by an earlier search), the edits go on with what is found."""
        faces, names = self._chosen(chosen)
        inverter, photo = self._inverter(search, faces=names), self.need_photo()

        def keep(found: list[InvertedFace]) -> None:
            self._take(found, inverter, afresh=set(self.inverted) != {item.face.index for item in found})

        return self._start([(photo, face) for face in faces], inverter, keep)

    def _chosen(self, chosen: Sequence[int]) -> tuple[list[AlignedFace], str]:
        """Return the chosen faces, and what a recipe calls them; raises `ConfigError` where none is."""
        faces = [face for face in self.faces if face.index in chosen]
        if not faces:
            raise ConfigError("no face is chosen; tick at least one")
        everyone = len(faces) == len(self.faces)
        return faces, "all" if everyone else ",".join(f"face{face.index}" for face in faces)

    def _take(self, found: list[InvertedFace], inverter: Inverter, afresh: bool) -> None:
        """Take inversions; the edits stay unless the page starts `afresh`."""
        self.inverted, self._pasted = {item.face.index: _portable(item) for item in found}, None
        if afresh:
            self._reset()
        self._recipe = Recipe(inverter.config, inverter.projection)

    def start_second(self, path: Path, search: SearchChoice) -> Job:
        """Start to search the code of the largest face of a second photo."""
        photo = self._read(path)
        inverter = self._inverter(search, faces="1")
        face = inverter.align(photo)[0]

        def keep(found: list[InvertedFace]) -> None:
            self.second, self._pasted = _portable(found[0]), None
            save_latent(self.folder / SECOND, self.second.latent)

        return self._start([(photo, face)], inverter, keep)

    def cancel(self) -> None:
        """Stop the search that is under way, if there is one."""
        if self.job is not None:
            self.job.cancel()

    def preview(self, dials: Dials) -> NDArray[np.uint8]:
        """Render the face that is looked at [R, R, 3] with the dials as they are: this is what a slider waits for."""
        with self.lock:
            return to_uint8(self._edited(self.need_face(), dials).edited)[0]

    def sweep(self, dials: Dials, name: str, strengths: Sequence[float]) -> list[NDArray[np.uint8]]:
        """Render that face at several strengths of one direction, the other dials as they are."""
        return [self.preview(dials.with_strength(name, strength)) for strength in strengths]

    def settle(self, dials: Dials) -> None:
        """Enter the dials into the history."""
        with self.lock:
            self.need_face()
            self.history.push(dials)

    def result(self) -> tuple[NDArray[np.uint8], list[PasteResult]]:
        """Return the whole photo with the edits as they stand, and what pasting reports of each face."""
        with self.lock:
            photo, dials = self.need_photo(), self.history.now
            if self._pasted is None or self._pasted[0] != dials:
                self._pasted = (dials, *paste_into_photo(photo, self.edited_faces(), dials.paste))
            return self._pasted[1:]

    def recipe(self) -> Recipe:
        """Return the recipe that repeats what was done; files in it are named as they are downloaded."""
        with self.lock:
            dials = self.history.now
            own = tuple((Path(name).name if name in self.own else name, value) for name, value in dials.strengths)
            edits = replace(dials, strengths=own).operations(SECOND if self.second else "")
            return replace(self._recipe, edits=edits, output=OutputConfig(dials.paste, dials.region))

    def close(self) -> None:
        """Stop what is under way and delete everything."""
        self.cancel()
        with self.lock:
            self.photo, self.faces, self.inverted, self.second = None, [], {}, None
            self._pasted = None
            shutil.rmtree(self.folder, ignore_errors=True)

    def stem(self) -> str:
        """Return the photo's name without its suffix."""
        return self.need_photo().path.stem

    def need_photo(self) -> Photo:
        """Return the photo; raises `ConfigError` where there is none."""
        if self.photo is None:
            raise ConfigError("there is no photo yet; load one (a page that was away for long starts anew)")
        return self.photo

    def need_face(self) -> int:
        """Return the face that is looked at; raises `ConfigError` where none is inverted."""
        if not self.inverted:
            raise ConfigError("no face is inverted yet; press Invert first")
        return self.looked_at if self.looked_at in self.inverted else next(iter(self.inverted))

    def edited_latents(self) -> dict[int, Latent]:
        """Return the edited codes, by face."""
        self.need_face()
        return {index: self._edited(index, self.history.now).latent for index in self.inverted}

    def edited_faces(self) -> list[EditedFace]:
        """Return all faces with the dials of the history's present entry."""
        self.need_face()
        return [self._edited(index, self.history.now) for index in self.inverted]

    def _read(self, path: Path) -> Photo:
        """Decode a photo under its own name: where the page keeps its files is nobody's business."""
        return decode_photo(read_bytes(path, self.max_bytes), Path(path.name), MAX_PIXELS)

    def _inverter(self, search: SearchChoice, faces: str) -> Inverter:
        projection = replace(self.inverter.projection, space=search.space, steps=search.steps, seed=search.seed)
        return replace_config(self.inverter, projection, method=search.method, faces=faces, align=self.align)

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
        self.history, self._pasted, self.looked_at, self.zoom = History(), None, 0, False

    def _edited(self, index: int, dials: Dials) -> EditedFace:
        editor = Editor(self.generator, self.inverted[index].latent, photo=self.photo, paste=dials.paste,
                        region=dials.region)  # fmt: skip
        face = editor.apply(*dials.operations(str(self.folder / SECOND) if self.second else ""))
        edits = [self._named(edit) for edit in face.latent.report.get("edits", [])]
        return replace(face, latent=replace(face.latent, report={**face.latent.report, "edits": edits}))

    def _named(self, edit: dict[str, Any]) -> dict[str, Any]:
        """Name a direction file of the user as the user does, in what the report says of an edit."""
        return {**edit, "transfer": Path(edit["transfer"]).name} if edit.get("transfer") in self.own else edit


def replace_config(inverter: Inverter, projection: Any = None, **changes: Any) -> Inverter:
    """Return an inverter with the same models and other options."""
    config = replace(inverter.config, **changes)
    return Inverter(config, projection or inverter.projection, inverter.generator, inverter.perceptual, inverter.tune)


def _portable(inverted: InvertedFace) -> InvertedFace:
    """Name the photo by its name alone in the report: a path of the page's machine is of no use elsewhere."""
    report = inverted.latent.report
    photo = {**report["photo"], "path": Path(report["photo"]["path"]).name}
    return replace(inverted, latent=replace(inverted.latent, report={**report, "photo": photo}))
