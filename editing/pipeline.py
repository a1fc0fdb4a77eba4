"""What a batch does to its photos: align, invert together, edit, paste back."""

import hashlib
import shutil
import signal
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from editing.config import EditConfig
from editing.directions import find_direction
from editing.edit import Subject, Workshop, write_subject
from editing.editor import Editor, Transfer
from editing.layers import parse_layers
from editing.recipe import EditStep, Recipe
from editing.render import render_edit
from editing.sheets import open_code
from inversion.batch.items import WORK, Item, Result
from inversion.invert import AlignedFace, InvertedFace, Inverter, write_inversion
from inversion.latents import Latent
from stylegan_core.checkpoints.load import find_checkpoint
from stylegan_core.console import Console
from stylegan_core.errors import ConfigError, OutputError, ToolkitError
from stylegan_core.images import Photo, read_photo


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

    @property
    def key(self) -> str:
        """The recipe's digest with those of the files it names."""
        digest = hashlib.sha256(self.recipe.digest().encode())
        named = [find_checkpoint(self.recipe.invert.generator)]
        named += [
            Path(file)
            for step in self.recipe.edits
            for file in (step.transfer, step.crossover)
            if file.endswith(".npz")
        ]
        for path in named:
            if not path.is_file():
                raise ConfigError(f"{path}: the recipe names it, but there is no such file")
            with path.open("rb") as file:
                while block := file.read(1 << 22):
                    digest.update(block)
        return digest.hexdigest()

    def open(self) -> Callable[[Sequence[Item], Path], list[Result]]:
        """Load the models and check that every direction fits the generator."""
        inverter = Inverter(self.recipe.invert, self.recipe.projection)
        for step in self.recipe.edits:
            if step.transfer:
                find_direction(step.transfer, inverter.generator)
            if step.crossover:
                open_code(step.crossover, inverter.generator)
            if step.layers:
                parse_layers(step.layers, inverter.generator.num_ws)
        return lambda items, out: _Chunk(self.recipe, inverter, out).process(items)


class _Chunk:
    """The work on one chunk; what fails for one photo fails for that photo alone."""

    def __init__(self, recipe: Recipe, inverter: Inverter, out: Path) -> None:
        self.recipe, self.inverter, self.out = recipe, inverter, out
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
            self._fail(item, error)
            return None

    def _fail(self, item: Item, error: Exception) -> None:
        reason = " ".join(str(error).split()) or type(error).__name__
        reason = (
            reason if isinstance(error, ToolkitError | TimeoutError) else f"unexpected {type(error).__name__}: {reason}"
        )
        reason = reason if item.path in reason else f"{item.path}: {reason}"
        self.failures[item.id] = Result(item.id, reason, traceback.format_exc())

    def _read(self, item: Item) -> _Open:
        began, limits = time.perf_counter(), self.recipe.limits
        photo = read_photo(item.path, limits.max_pixels, limits.max_bytes)
        return _Open(item, photo, self.inverter.align(photo), time.perf_counter() - began)

    def _invert(self, opened: list[_Open]) -> None:
        """Search the codes of all faces together, at most `max_faces` at a time."""
        began, limits = time.perf_counter(), self.recipe.limits
        waiting = [(one, face) for one in opened for face in one.faces]
        for first in range(0, len(waiting), limits.max_faces):
            part = waiting[first : first + limits.max_faces]
            try:
                with time_limit(limits.max_seconds * len(part)):
                    found = self.inverter.invert_faces([(one.photo, face) for one, face in part])
            except Exception as error:
                for one, _ in part:
                    self._fail(one.item, error)
                    one.inverted = []
                continue
            for (one, _), face in zip(part, found, strict=True):
                one.inverted.append(face)
        for one in opened:
            if len(one.inverted) != len(one.faces):
                one.inverted = []
            one.seconds += (time.perf_counter() - began) * len(one.faces) / max(1, len(waiting))

    def _write(self, one: _Open) -> Result:
        began = time.perf_counter()
        work = self.out / WORK / str(one.item.id)
        shutil.rmtree(work, ignore_errors=True)
        faces = [_without_times(face) for face in one.inverted]
        for face in faces:
            write_inversion(work / f"face{face.face.index}", face)
        if self.recipe.edits:
            self._edit(work, one.photo, faces)
        outputs = {str(path.relative_to(work)): _sha256(path) for path in sorted(work.rglob("*")) if path.is_file()}
        move_into_place(work, self.out / one.item.name, outputs, one.item.stale)
        seconds = one.seconds + time.perf_counter() - began
        metrics = {"faces": len(faces)}
        for name in faces[0].latent.report["scores"]:
            values = [face.latent.report["scores"][name] for face in faces]
            metrics[name] = sum(values) / len(values)
        return Result(one.item.id, "", "", seconds, metrics, outputs, one.photo.sha256)

    def _edit(self, work: Path, photo: Photo, faces: list[InvertedFace]) -> None:
        """Apply the edits to every face and paste them all into the photo."""
        generator = self.inverter.generator
        edited = {}
        for face in faces:
            latent = face.latent
            for step in self.recipe.edits:
                latent = apply_step(Editor(generator, latent), step)
            edited[face.face.index] = render_edit(generator, latent)
        workshop = Workshop(self.inverter, EditConfig(paste=self.recipe.output.paste), work.parent, Console(quiet=True))
        subject = Subject(work.name, photo, {face.face.index: face.latent for face in faces})
        write_subject(subject, edited, " + ".join(step.label for step in self.recipe.edits), workshop)


def apply_step(editor: Editor, step: EditStep) -> Latent:
    """Apply one step of a recipe."""
    if step.transfer:
        return editor.transfer([Transfer(step.transfer, step.strength, step.layers)])
    if step.crossover:
        layers = parse_layers(step.layers or "all", editor.generator.num_ws)
        return editor.crossover(open_code(step.crossover, editor.generator), layers)
    return editor.truncate(step.truncate)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TimeoutError` in what takes longer (in a process's main thread, on systems with alarms)."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"took longer than the {seconds:g} s that a photo may; raise max_seconds in [limits]")

    try:
        before = signal.signal(signal.SIGALRM, stop)
    except (ValueError, AttributeError):  # another thread, or no alarms on this system
        yield
        return
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _without_times(face: InvertedFace) -> InvertedFace:
    """Leave the seconds out of the report: the manifest has them, and files stay the same from run to run."""
    report = {key: value for key, value in face.latent.report.items() if key != "seconds"}
    return replace(face, latent=replace(face.latent, report=report))


def move_into_place(work: Path, place: Path, outputs: Iterable[str], stale: Iterable[str]) -> None:
    """Move the files of an item from `work` to `place`, and remove those of an earlier time that are not among them."""
    try:
        for name in outputs:
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).replace(place / name)
        for name in set(stale) - set(outputs):
            (place / name).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{place}: cannot be written ({error.strerror}); free some space or choose another --out"
        ) from error
    shutil.rmtree(work, ignore_errors=True)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
