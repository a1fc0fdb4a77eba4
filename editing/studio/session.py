"""One tab's work: its photo, the faces in it, their codes and edits. It knows nothing of the page."""

import secrets
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from editing.editor import Editor
from editing.pasted import paste_photo
from editing.recipe import OutputConfig, Recipe
from editing.render import NOTE, EditedFace
from editing.studio.dials import Dials, History
from editing.studio.jobs import Job, Turn
from editing.studio.noted import noted
from editing.studio.pictures import close_up
from editing.studio.searches import SearchChoice, portable, replace_config
from editing.studio.work import Gallery, Kept, Work
from inversion.encoder import find_encoder
from inversion.faces.paste import PasteResult
from inversion.invert import AlignedFace, InvertedFace, Inverter
from inversion.latents import Latent, save_latent
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.credentials import Signature
from stylegan_core.devices import pick_device
from stylegan_core.directions import Direction, check_direction, load_direction
from stylegan_core.errors import ConfigError, ToolkitError
from stylegan_core.files import read_bytes, write_atomic
from stylegan_core.images import Photo, decode_photo, encode_png, to_uint8
from stylegan_core.networks.protocol import Generator

MAX_PIXELS = 60_000_000  # of a photo in the page
PICTURE = 144  # pixels of a picture in the gallery
SWEPT = 320  # pixels of a picture of the sweep
EDITED = "_edited"  # after the name of a photo that was edited
SLOTS = ("A", "B")
SECOND = "second.npz"  # the second photo's code, beside the recipe


class Session:
    """Keeps one photo at a time; every method may be called from any thread."""

    def __init__(
        self, inverter: Inverter, folder: Path, max_bytes: int, turn: Turn | None = None,
        signature: Signature | None = None,
    ) -> None:  # fmt: skip
        self.inverter, self.folder, self.max_bytes = inverter, folder, max_bytes
        self.signature = signature  # signs the pictures that are downloaded
        self.turn = turn or Turn()  # searches of one machine come one after the other
        self.token = secrets.token_urlsafe(24)
        self.lock = threading.RLock()
        self.work = Work()
        self.gallery = Gallery()
        self.kept_shown: list[Kept] = []  # what the page shows of it
        self.second: InvertedFace | None = None
        self.own: dict[str, Direction] = {}  # direction files of the user, by path
        self.job: Job | None = None
        self.searched: list[AlignedFace] = []  # by the job
        self.expressions: dict[str, dict[str, float]] = {}  # that were loaded, by name
        self.worn: dict[str, float] = {}  # the expression that was put on last
        self.worn_by = ""  # how the photo is shown that it was read off
        self.own_measures: dict[str, float] = {}  # of the face that is looked at, as the page shows them
        self.looked_at = 0  # the face that is shown by itself
        self.zoom = False  # whether the photo is shown from close
        self.placing = False  # whether points are being set on the photo
        self.comparing = False  # whether the first slot is shown beside the second
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def generator(self) -> Generator:
        return self.inverter.generator

    @property
    def photo(self) -> Photo | None:
        return self.work.photo

    @property
    def faces(self) -> list[AlignedFace]:
        return self.work.faces

    @property
    def inverted(self) -> dict[int, InvertedFace]:
        return self.work.inverted

    @property
    def history(self) -> History:
        return self.work.history

    def load_photo(self, path: Path, align: bool = True) -> None:
        """Take a photo from a file and find its faces; what was done to an earlier one stays in the gallery."""
        self.start_with(self.open_work(read_bytes(path, self.max_bytes), path.name, align))

    def open_work(self, content: bytes, name: str, align: bool) -> Work:
        """Decode a photo from the bytes of its file, which are kept, and find its faces; raises `ToolkitError`."""
        photo = decode_photo(content, Path(name), MAX_PIXELS)
        faces = replace_config(self.inverter, faces="all", align=align).align(photo)
        kept = self.folder / "photos" / photo.sha256
        write_atomic(kept, lambda file: file.write(content))
        return Work(photo, kept, align, faces)

    def start_with(self, work: Work) -> None:
        """Go to another photo, whatever is done to it."""
        with self.lock:
            self.cancel()
            self.work.forget_pictures()  # which are large; its codes and edits stay where the gallery has it
            self.work = work
            self._look_afresh()

    def load_checkpoint(self, path: Path) -> None:
        """Take another generator from a file; the photo stays, its codes go."""
        old = self.inverter
        generator = load_generator(path, pick_device(old.config.device))
        config = replace(old.config, generator=path.name, encoder="")
        inverter = Inverter(config, old.projection, generator, old.perceptual, old.tune)
        with self.lock:
            self.cancel()
            self.inverter, self.second, self.gallery = inverter, None, Gallery()
            self.work = Work(self.work.photo, self.work.file, self.work.align)
            self._look_afresh()
            if self.photo is not None:
                self.work.faces = replace_config(inverter, faces="all", align=self.work.align).align(self.photo)

    def bring(self, number: int) -> None:
        """Bring an edit of the gallery back, with its photo; raises `ToolkitError`."""
        with self.lock:
            kept = self.gallery.find(number)
            if kept.work is not self.work:
                self.start_with(kept.work)
            self.comparing = False
            self.history.push(kept.dials, apart=True)
            self.result()

    def use(self, number: int) -> None:
        """Take the edited photo of the gallery as the photo to work on; raises `ToolkitError`."""
        with self.lock:
            kept, now = self.gallery.find(number), self.work
            self.work = kept.work
            try:
                rgb, photo = self.result(kept.dials)[0], self.need_photo()
                content = encode_png(rgb, NOTE, photo.alpha, photo.icc_profile, photo.grayscale)
                work = self.open_work(content, f"{photo.path.stem.removesuffix(EDITED)}{EDITED}.png", kept.work.align)
            finally:
                self.work = now
            kept.work.forget_pictures()
            self.start_with(work)

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
        self.work.inverted = {item.face.index: portable(item) for item in found}
        self.work.forget_pictures()
        if afresh:
            self.work.history, self.work.slots = History(), {}
            self._look_afresh()
        self.work.recipe = Recipe(inverter.config, inverter.projection)

    def start_second(self, path: Path, search: SearchChoice) -> Job:
        """Start to search the code of the largest face of a second photo."""
        photo = self.read(path)
        inverter = self._inverter(search, faces="1")
        face = inverter.align(photo)[0]

        def keep(found: list[InvertedFace]) -> None:
            self.second = portable(found[0])
            self.work.forget_pictures()
            save_latent(self.folder / SECOND, self.second.latent)

        job = self._start([(photo, face)], inverter, keep)
        job.of_second = True
        return job

    def cancel(self) -> Job | None:
        """Ask the search that is under way to stop; return it, if there is one."""
        job, self.job = self.job, None
        if job is not None:
            job.cancel()
        return job

    def preview(self, dials: Dials) -> NDArray[np.uint8]:
        """Render the face that is looked at [R, R, 3] with the dials as they are: this is what a slider waits for.

        What was searched for (points, measures) is not searched again, but repeated; the rim is not held."""
        with self.lock:
            return to_uint8(self._edited(self.need_face(), replace(dials, border=False), quick=True).edited)[0]

    def sweep(self, dials: Dials, name: str, strengths: Sequence[float]) -> list[NDArray[np.uint8]]:
        """Cut that face out of the photo [h, w, 3] after several strengths of one direction, the other dials as they
        are."""
        with self.lock:
            self.need_face()
            return [self._picture(self.result(dials.with_strength(name, one))[0], SWEPT) for one in strengths]

    def settle(self, dials: Dials) -> None:
        """Enter the dials into the history and apply them; raises `ToolkitError`, and is as before, where they do not
        fit."""
        with self.lock:
            self.need_face()
            before, self.comparing = replace(self.history), False
            self.history.push(dials)
            try:
                rgb, _ = self.result()
            except ToolkitError:
                self.work.history = before
                raise
            if before.now not in self.history.entries:  # it was on the way to this one
                self.gallery.drop(self.work, before.now)
            if dials.operations(SECOND if self.second else ""):
                self.gallery.add(self.work, dials, self._picture(rgb), self.label(dials))

    def label(self, dials: Dials) -> str:
        """Say in a line what is edited."""
        return dials.label("second photo" if self.second else "")

    def _picture(self, rgb: NDArray[np.uint8], side: int = PICTURE) -> NDArray[np.uint8]:
        """Cut the face that is looked at out of the photo, at most `side` pixels large."""
        part = rgb[close_up(self.inverted[self.need_face()].face.quad, *rgb.shape[:2])]
        image = Image.fromarray(np.ascontiguousarray(part))
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
        return np.asarray(image)

    def result(self, dials: Dials | None = None) -> tuple[NDArray[np.uint8], list[PasteResult]]:
        """Return the whole photo with the edits as they stand (or with other `dials`), and what pasting reports of each
        face."""
        with self.lock:
            photo, dials, known = self.need_photo(), dials or self.history.now, self.work.pasted
            if dials not in known:
                self.need_face()
                faces = [self._edited(index, dials) for index in self.inverted]
                kept = {self.history.now, *self.work.slots.values()}
                pasted = paste_photo(photo, faces, dials.paste)
                known = self.work.pasted = {one: known[one] for one in known if one in kept} | {dials: pasted}
            return known[dials].rgb, list(known[dials].faces)

    def keep(self, slot: str) -> None:
        """Keep the edit as it stands in one of `SLOTS`."""
        with self.lock:
            self.need_face()
            self.work.slots = {**self.work.slots, slot: self.history.now}
            self.history.rest()

    @property
    def compared(self) -> tuple[Dials, Dials] | None:
        """The two edits that are shown side by side; None where the photo is shown before and after."""
        found = tuple(self.work.slots[slot] for slot in SLOTS if slot in self.work.slots)
        return (found[0], found[1]) if self.comparing and len(found) == len(SLOTS) else None

    def notes(self) -> list[str]:
        """Return what the edits as they stand say of themselves, and what does not look believable in the photo."""
        with self.lock:
            pasted = self.work.pasted.get(self.history.now)
            if pasted is None:
                return []
            doubts = pasted.doubts if pasted.pixels_changed else ()
            said = [*(face.notes for face in pasted.sources), *doubts]
            return list(dict.fromkeys(text for texts in said for text in texts))

    def reported(self) -> list[dict[str, Any]]:
        """Return the reports of the edits as they stand, those of all faces."""
        return [edit for face in self._faces_now() for edit in face.latent.report.get("edits", [])]

    def _faces_now(self) -> tuple[EditedFace, ...]:
        pasted = self.work.pasted.get(self.history.now)
        return pasted.sources if pasted is not None else ()

    def recipe(self, work: Work | None = None) -> Recipe:
        """Return the recipe that repeats what was done to the photo, or to another `work`; files in it are named
        as they are downloaded."""
        with self.lock:
            work = work or self.work
            dials = work.history.now
            own = tuple((Path(name).name if name in self.own else name, value) for name, value in dials.strengths)
            edits = replace(dials, strengths=own).operations(SECOND if self.second else "")
            return replace(work.recipe, edits=edits, output=OutputConfig(dials.paste, dials.region))

    def close(self) -> None:
        """Stop what is under way and delete everything."""
        self.cancel()
        with self.lock:
            self.work, self.gallery, self.second = Work(), Gallery(), None
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

    def edited_face(self) -> EditedFace:
        """Return the face that is looked at with the dials of the history's present entry."""
        with self.lock:
            return self._edited(self.need_face(), self.history.now)

    def edited_faces(self) -> list[EditedFace]:
        """Return all faces with the dials of the history's present entry."""
        self.need_face()
        return [self._edited(index, self.history.now) for index in self.inverted]

    def read(self, path: Path) -> Photo:
        """Decode a photo under its own name: where the page keeps its files is nobody's business."""
        return decode_photo(read_bytes(path, self.max_bytes), Path(path.name), MAX_PIXELS)

    def _inverter(self, search: SearchChoice, faces: str) -> Inverter:
        projection = replace(self.inverter.projection, space=search.space, steps=search.steps, seed=search.seed)
        return replace_config(self.inverter, projection, method=search.method, faces=faces, align=self.work.align)

    def _start(
        self, pairs: list[tuple[Photo, AlignedFace]], inverter: Inverter, keep: Callable[[list[InvertedFace]], None]
    ) -> Job:
        def look(ws: Tensor) -> NDArray[np.uint8]:
            with torch.no_grad():
                return to_uint8(inverter.generator.synthesis(ws, noise_mode="const"))

        def work(job: Job) -> None:
            found = inverter.invert_faces(pairs, progress=job.progress, preview=job.preview)
            with self.lock:
                job.progress(job.step, job.loss)  # cancelled at the last moment: nothing is kept
                keep(found)

        with self.lock:
            self.cancel()
            self.searched = [face for _, face in pairs]
            self.job = Job(inverter.num_steps(len(pairs)), look, work, self.turn)
            return self.job

    def _look_afresh(self) -> None:
        self.looked_at, self.zoom, self.placing, self.comparing = 0, False, False, False

    def _edited(self, index: int, dials: Dials, quick: bool = False) -> EditedFace:
        editor = Editor(self.generator, self.inverted[index].latent, photo=self.photo, paste=dials.paste,
                        region=dials.region)  # fmt: skip
        operations = dials.operations(str(self.folder / SECOND) if self.second else "")
        face = editor.apply(*noted(self.work.found, self.generator, index, operations, dials.paste, quick))
        edits = [self._named(edit) for edit in face.latent.report.get("edits", [])]
        return replace(face, latent=replace(face.latent, report={**face.latent.report, "edits": edits}))

    def _named(self, edit: dict[str, Any]) -> dict[str, Any]:
        """Name a direction file of the user as the user does, in what the report says of an edit."""
        return {**edit, "transfer": Path(edit["transfer"]).name} if edit.get("transfer") in self.own else edit
