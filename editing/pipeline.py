"""What a batch does to its photos: align, invert together, edit, paste back."""

import hashlib
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from editing.config import EditConfig
from editing.edit import Subject, Workshop, edit_subject, warned, write_subject
from editing.operations.base import Edit
from editing.recipe import Recipe
from editing.regions import mask_files
from inversion.batch.guards import file_sha256, move_into_place, stops_the_run, time_limit, workplace
from inversion.batch.items import Item, Result
from inversion.config import STARTS
from inversion.invert import AlignedFace, InvertedFace, Inverter, read_start, refuse_doubts
from inversion.invert_files import write_inversion
from inversion.latents import Latent, load_latent
from inversion.render import render_code
from stylegan_core.assets import asset_path
from stylegan_core.checkpoints.load import find_checkpoint
from stylegan_core.console import Console
from stylegan_core.credentials import load_signature
from stylegan_core.devices import fit_process
from stylegan_core.errors import ConfigError, sentence_of
from stylegan_core.images import Photo, read_photo
from stylegan_core.models import local_file


@dataclass
class _Open:
    """A photo in the works."""

    item: Item
    photo: Photo
    faces: list[AlignedFace]
    seconds: float
    inverted: list[InvertedFace] = field(default_factory=list)


@dataclass(frozen=True)
class EditPipeline:
    """A recipe as a pipeline for `inversion.batch.run`; without edits it inverts only."""

    recipe: Recipe
    sign: tuple[str, str] | None = None  # files of the certificate chain and the key that sign the edited pictures

    @property
    def device(self) -> str:
        """The device its inversions run on, by name; of several GPUs each worker takes one."""
        return self.recipe.invert.device

    @property
    def key(self) -> str:
        """Digests of what the inversions depend on, options and files, and of what the edits depend on beside them."""
        recipe, (inversion, edits) = self.recipe, self.recipe.digests()
        generator = find_checkpoint(recipe.invert.generator)
        named = [local_file(text) for text in (recipe.invert.encoder, recipe.invert.mask) if text]
        named += [] if recipe.invert.start in STARTS else [Path(recipe.invert.start)]
        used = [path for operation in recipe.edits for path in operation.files()]
        used += [Path(self.sign[0])] if self.sign else []
        used += mask_files(recipe.output.region)
        if generator.parent == asset_path(""):
            named += sorted(asset_path("").glob(f"{generator.stem}_*.safetensors"))
            used += sorted(asset_path("directions").glob(f"{generator.stem}-*.npz")) if recipe.edits else []
        return f"{_digest(inversion, [generator, *named])}.{_digest(edits, used)}"

    def open(self) -> Callable[[Sequence[Item], Path], list[Result]]:
        """Load the models, and check every step against the generator."""
        recipe = self.recipe
        inverter = Inverter(recipe.invert, recipe.projection, tune=recipe.tune)
        fit_process(inverter.generator.img_resolution)
        signature = load_signature(*self.sign) if self.sign else None
        output = recipe.output
        config = EditConfig(paste=output.paste, restore=output.restore, region=output.region)
        workshop = Workshop(inverter, config, Path(), Console(quiet=True), signature=signature)
        edits = [operation.resolve(inverter.generator, workshop.open_code) for operation in recipe.edits]
        start = read_start(recipe.invert.start, inverter.generator)
        session = _Session(recipe, _inversion_part(self.key), workshop, start, edits)
        return lambda items, out: _Chunk(session, out).process(items)


@dataclass(frozen=True)
class _Session:
    """A pipeline with everything loaded."""

    recipe: Recipe
    inversion: str  # the part of the key that stands for the inversions
    workshop: Workshop
    start: Latent | None
    edits: Sequence[Edit]


class _Chunk:
    """The work on one chunk; what fails for one photo fails for that photo alone."""

    def __init__(self, session: _Session, out: Path) -> None:
        self.session, self.out = session, out
        self.recipe, self.inverter = session.recipe, session.workshop.inverter
        self.failures: dict[int, Result] = {}

    def process(self, items: Sequence[Item]) -> list[Result]:
        """Return a result for each item, in order."""
        opened = [one for item in items if (one := self._guarded(item, partial(self._read, item)))]
        self._invert(opened)
        written = {
            one.item.id: result
            for one in opened
            if one.inverted and (result := self._guarded(one.item, partial(self._write, one)))
        }
        return [written.get(item.id) or self.failures[item.id] for item in items]

    def _guarded(self, item: Item, work: Callable[[], Any]) -> Any:
        """Return what `work` gives, or None after noting why it failed."""
        try:
            with time_limit(self.recipe.limits.max_seconds):
                return work()
        except Exception as error:
            if stops_the_run(error):
                raise
            self._fail(item, error)
            return None

    def _fail(self, item: Item, error: Exception) -> None:
        reason = str(error) if isinstance(error, TimeoutError) else sentence_of(error)
        reason = reason if item.path in reason else f"{item.path}: {reason}"
        self.failures[item.id] = Result(item.id, reason, traceback.format_exc())

    def _read(self, item: Item) -> _Open:
        began, limits = time.perf_counter(), self.recipe.limits
        photo = read_photo(item.path, limits.max_pixels, limits.max_bytes)
        same = item.photo_sha256 == photo.sha256 and _inversion_part(item.made_with) == self.session.inversion
        kept = kept_inversions(item, photo, self.out, self.inverter) if same else []
        faces = [one.face for one in kept] or self.inverter.align(photo)
        return _Open(item, photo, faces, time.perf_counter() - began, kept)

    def _invert(self, opened: list[_Open]) -> None:
        """Search the codes of all faces that have none together, at most `max_faces` at a time."""
        began, limits = time.perf_counter(), self.recipe.limits
        searched = [one for one in opened if not one.inverted]
        waiting = [(one, face) for one in searched for face in one.faces]
        for first in range(0, len(waiting), limits.max_faces):
            part = waiting[first : first + limits.max_faces]
            try:
                with time_limit(limits.max_seconds * len(part)):
                    found = self.inverter.invert_faces([(one.photo, face) for one, face in part], self.session.start)
            except Exception as error:
                for one, _ in part:
                    self._fail(one.item, error)
                    one.inverted = []
                continue
            for (one, _), face in zip(part, found, strict=True):
                one.inverted.append(face)
        for one in searched:
            if len(one.inverted) != len(one.faces):
                one.inverted = []
            one.seconds += (time.perf_counter() - began) * len(one.faces) / max(1, len(waiting))

    def _write(self, one: _Open) -> Result:
        began = time.perf_counter()
        faces = [_without_times(face) for face in one.inverted]
        for face in faces if self.inverter.config.strict else ():
            refuse_doubts(face.latent.report["warnings"], one.item.path, face.face.index)
        with workplace(self.out) as work:
            for face in faces:
                write_inversion(work / f"face{face.face.index}", face)
            edited = self._edit(work, one.photo, faces) if self.recipe.edits else {}
            outputs = move_into_place(work, self.out / one.item.name, one.item.outputs)
        seconds = one.seconds + time.perf_counter() - began
        metrics = {"faces": len(faces), **edited}
        for name in faces[0].latent.report["scores"]:
            values = [face.latent.report["scores"][name] for face in faces]
            metrics[name] = sum(values) / len(values)
        return Result(one.item.id, "", "", seconds, metrics, outputs, one.photo.sha256)

    def _edit(self, work: Path, photo: Photo, faces: list[InvertedFace]) -> dict[str, float]:
        """Apply the edits to every face and paste them all into the photo; return what is measured on it."""
        workshop = replace(self.session.workshop, out=work.parent)
        doubts = [text for edit in self.recipe.edits for text in edit.doubts(self.recipe.invert.generator)]
        latents = {face.face.index: warned(face.latent, doubts) for face in faces}
        subject = Subject(work.name, photo, latents)
        label = " + ".join(edit.label for edit in self.session.edits)
        return write_subject(subject, edit_subject(subject, self.session.edits, workshop), label, workshop)


def kept_inversions(item: Item, photo: Photo, out: Path, inverter: Inverter) -> list[InvertedFace]:
    """Return the inversions of an earlier time, if all are as they were written; else none."""
    kept = []
    for name, digest in sorted(item.outputs.items()):
        path = out / item.name / name
        if path.name != "latent.npz":
            continue
        if not path.is_file() or file_sha256(path) != digest:
            return []
        latent = load_latent(path)
        report = {key: value for key, value in latent.report.items() if key not in ("edits", "strength_search")}
        latent = replace(latent.unedited(), report=report)
        assert latent.quad is not None  # as every inversion of ours has it
        face = inverter.cut_out(photo, report["face"]["index"], latent.quad, report["face"]["probability"])
        kept.append(InvertedFace(face, render_code(inverter.generator, latent), latent))
    return sorted(kept, key=lambda one: one.face.index)


def _without_times(face: InvertedFace) -> InvertedFace:
    """Leave the seconds out of the report: the manifest has them, and files stay the same from run to run."""
    report = {key: value for key, value in face.latent.report.items() if key != "seconds"}
    return replace(face, latent=replace(face.latent, report=report))


def _inversion_part(key: str) -> str:
    return key.partition(".")[0]


def _digest(text: str, files: Sequence[Path]) -> str:
    """Return the SHA-256 of a text and of files, those in folders included."""
    digest = hashlib.sha256(text.encode())
    for path in files:
        inside = sorted(child for child in path.rglob("*") if child.is_file()) if path.is_dir() else [path]
        for file in inside:
            if not file.is_file():
                raise ConfigError(f"{file}: the recipe names it, but there is no such file")
            digest.update(bytes.fromhex(file_sha256(file)))
    return digest.hexdigest()
