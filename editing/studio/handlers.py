"""What the page does when something is pressed, moved or dropped: it asks the tab's session and shows the answer."""

import contextlib
import inspect
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from editing.regions import REGIONS
from editing.studio.dials import Dials
from editing.studio.jobs import Job
from editing.studio.offer import offered, other_operations, slider_step, still
from editing.studio.parts import Parts
from editing.studio.pictures import search_view, sentence, strip
from editing.studio.session import SearchChoice, Session
from editing.studio.sessions import Sessions
from editing.studio.views import Updates, edit_view, face_view, result_view, whole_page
from inversion.faces.measures import MEASURES
from inversion.sample import NAME, write_sample
from stylegan_core.errors import ConfigError, ToolkitError
from stylegan_core.images import to_uint8

LOOK_EVERY = 0.25  # seconds between two looks at a search
STRENGTHS = [step / 2 for step in range(-4, 5)]  # of the sweep


def told(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Give a handler the tab's session, and turn what it raises into a sentence on the page."""

    def sorry(self: "Handlers", error: Exception) -> Updates:
        text = str(error)
        if not isinstance(error, ToolkitError):
            text = f"unexpected {type(error).__name__}; start the studio with --debug to see more"
            if self.debug:
                traceback.print_exception(error)
        return {self.parts.message: sentence(text, error=True)}

    def run(self: "Handlers", request: gr.Request, *args: Any) -> Any:
        try:
            return handler(self, self.sessions.of(str(request.session_hash)), *args)
        except Exception as error:  # the page stays, whatever the cause
            return sorry(self, error)

    def run_on(self: "Handlers", request: gr.Request, *args: Any) -> Iterator[Updates]:
        try:
            yield from handler(self, self.sessions.of(str(request.session_hash)), *args)
        except Exception as error:
            yield sorry(self, error)

    chosen = run_on if inspect.isgeneratorfunction(handler) else run
    chosen.__name__, chosen.__doc__ = handler.__name__, handler.__doc__
    return chosen


class Handlers:
    """The page's events."""

    def __init__(self, sessions: Sessions, parts: Parts, debug: bool = False) -> None:
        self.sessions, self.parts, self.debug = sessions, parts, debug

    @told
    def open(self, session: Session) -> Updates:
        """Show a fresh tab."""
        return whole_page(self.parts, session)

    def close(self, request: gr.Request) -> None:
        """Forget the tab that was closed."""
        self.sessions.close(str(request.session_hash))

    @told
    def load_photo(self, session: Session, path: str | None, align: bool) -> Updates:
        """Take an uploaded photo or a camera picture."""
        if path is None:
            return {}
        empty = {self.parts.upload: None, self.parts.camera: None}
        return empty | self._take(session, path, lambda file: session.load_photo(file, align))

    @told
    def load_sample(self, session: Session, align: bool) -> Updates:
        """Take the sample photo."""
        path = write_sample(session.folder / "sample" / NAME)
        return self._take(session, str(path), lambda file: session.load_photo(file, align))

    @told
    def load_checkpoint(self, session: Session, path: str) -> Updates:
        """Take another generator for this tab."""
        shown = self._take(session, path, session.load_checkpoint, "the generator is loaded; invert the photo with it")
        return {self.parts.checkpoint: None} | shown

    @told
    def load_direction(self, session: Session, path: str) -> Updates:
        """Take a direction file for this tab."""
        shown = self._take(session, path, session.load_direction, "the direction is loaded; its slider is under Edit")
        return {self.parts.direction: None} | shown

    def _take(self, session: Session, path: str, load: Callable[[Path], Any], news: str = "") -> Updates:
        """Load an uploaded file, delete it, and show the page anew; errors name the file without its folder."""
        try:
            load(Path(path))
        except ToolkitError as error:
            return {self.parts.message: sentence(str(error).replace(path, Path(path).name), error=True)}
        finally:
            _forget(Path(path))
        return whole_page(self.parts, session) | {self.parts.message: sentence(news)}

    @told
    def invert(self, session: Session, faces: list[int], *how: Any) -> Iterator[Updates]:
        """Search the codes of the chosen faces: behind the encoder's guess, which can be edited meanwhile; where there
        is none, showing them on the way."""
        parts, search = self.parts, _search(*how)
        guessed = session.guess(faces, search)
        job = session.start_inversion(faces, search)
        if guessed:
            yield whole_page(parts, session) | {parts.message: _behind(job), parts.tabs: gr.update(selected="edit")}
        targets = [to_uint8(face.target)[0] for face in session.faces if face.index in faces]
        for found in _watch(job):
            if guessed:
                yield {parts.message: _behind(job)}
                continue
            view = search_view(targets, targets if found is None else found, job.step, job.total, job.loss)
            yield {parts.view: view, parts.face: "", parts.message: ""}
        job.result()
        scores = [f"{item.latent.report['scores']['psnr']:.1f} dB" for item in session.inverted.values()]
        news = {parts.message: sentence(f"inverted: {', '.join(scores)}; now move a slider")}
        if guessed:  # the controls stay, since somebody may be moving them
            yield result_view(parts, session) | news
        else:
            yield whole_page(parts, session) | news | {parts.tabs: gr.update(selected="edit")}

    @told
    def load_second(self, session: Session, path: str, *how: Any) -> Iterator[Updates]:
        """Search the code of the second photo."""
        parts = self.parts
        try:
            job = session.start_second(Path(path), _search(*how))
        finally:
            _forget(Path(path))
        for _ in _watch(job):
            yield {parts.second: None, parts.message: sentence(f"second photo: step {job.step} of {job.total}")}
        job.result()
        news = sentence("the second photo is inverted; tick the layers to take from it")
        yield edit_view(parts, session) | {parts.message: news}

    @told
    def cancel(self, session: Session) -> Updates:
        """Stop the search that is under way."""
        under_way = session.job is not None and session.job.wait(0)
        session.cancel()
        news = "stopped; nothing was changed" if under_way else "nothing is under way"
        return edit_view(self.parts, session) | {self.parts.message: sentence(news)}

    @told
    def preview(self, session: Session, *values: Any) -> Updates:
        """Show the aligned face with the controls as they are."""
        return {self.parts.face: face_view(session, _dials(session, values)), self.parts.message: ""}

    @told
    def settle(self, session: Session, *values: Any) -> Updates:
        """Enter the controls into the history and show the whole photo."""
        session.settle(_dials(session, values))
        return result_view(self.parts, session)

    @told
    def undo(self, session: Session) -> Updates:
        """Go one edit back."""
        return self._go(session, session.history.position - 1)

    @told
    def redo(self, session: Session) -> Updates:
        """Go one edit forth."""
        return self._go(session, session.history.position + 1)

    @told
    def go(self, session: Session, position: int) -> Updates:
        """Go to an edit of the history."""
        return self._go(session, position)

    def _go(self, session: Session, position: int) -> Updates:
        session.history.go(position)
        return edit_view(self.parts, session)

    @told
    def look(self, session: Session, index: int | None, zoom: bool) -> Updates:
        """Look at another face, or closer."""
        session.looked_at, session.zoom = index or 0, zoom
        return result_view(self.parts, session)

    @told
    def sweep(self, session: Session, name: str | None, *values: Any) -> Updates:
        """Draw the strip of one direction."""
        if not name:
            raise ConfigError("no direction fits this generator, so there is nothing to sweep")
        low, high = next(dial.ends for dial in offered(session) if dial.name == name)
        strengths = [strength for strength in STRENGTHS if low <= strength <= high]
        pictures = session.sweep(_dials(session, values), name, strengths)
        return {self.parts.strip: strip(pictures, strengths, Path(name).stem), self.parts.message: ""}

    @told
    def take_strength(self, session: Session, strength: float, name: str, *values: Any) -> Updates:
        """Set the swept direction to the strength whose picture was pressed."""
        dials, order = _dials(session, values).with_strength(name, strength), [dial.name for dial in offered(session)]
        strengths = sorted(dials.strengths, key=lambda item: order.index(item[0]))
        session.settle(replace(dials, strengths=tuple(strengths)))
        return edit_view(self.parts, session)

    def press_strip(self, request: gr.Request, event: gr.EventData, *values: Any) -> Updates:
        """Pass on which picture of the strip was pressed."""
        return self.take_strength(request, float(event.strength), *values)


def _watch(job: Job) -> Iterator[Any]:
    """Yield what there is to see of a job until it ends; whoever stops looking stops the job."""
    try:
        yield job.picture
        while job.wait(LOOK_EVERY):
            yield job.picture
    finally:
        if job.wait(0):
            job.cancel()


def _behind(job: Job) -> str:
    """Say how far the search behind a guess is."""
    return sentence(f"the encoder's guess: edit it now; the search behind it is at step {job.step} of {job.total}")


def _forget(upload: Path) -> None:
    """Delete an uploaded file, and the folder that was made for it."""
    upload.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # other files are in it
        upload.parent.rmdir()


def _search(method: str, space: str, steps: float, seed: float | None) -> SearchChoice:
    return SearchChoice(method, space, int(steps), int(seed or 0))


def _dials(session: Session, values: tuple[Any, ...]) -> Dials:
    """Read the dials off the controls' values, in the order in which the page hands them on."""
    keys = other_operations()
    others = [(key, value) for key, value in zip(keys, values[len(values) - len(keys) :], strict=True)]
    first = len(values) - len(keys) - len(MEASURES)
    own, set_to = session.own_measures, zip(MEASURES, values[first:], strict=False)
    measures = tuple(
        (name, float(value)) for name, value in set_to if name in own and abs(value - own[name]) > slider_step(name) / 2
    )
    *strengths, cross, seed, mix, psi, paste, region = values[:first]
    named = zip(offered(session), strengths, strict=False)
    moved = tuple((dial.name, float(value)) for dial, value in named if value and not dial.reason)
    asked = tuple((key, value) for key, value in others if value not in (None, still(key)))
    layers = ",".join(sorted(mix, key=int))
    regions = ",".join(name for name in REGIONS if name in region)
    return Dials(moved, ",".join(cross), int(seed or 0), layers, float(psi), paste, regions, measures, asked)
