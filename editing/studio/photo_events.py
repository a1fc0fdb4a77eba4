"""What the page does when a photo, a generator or a direction comes, and while codes are searched for."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from editing.studio.jobs import Job
from editing.studio.pictures import search_view, sentence
from editing.studio.searches import SearchChoice
from editing.studio.session import Session
from editing.studio.told import Events, taken, told
from editing.studio.views import Updates, edit_view, result_view, whole_page
from inversion.sample import NAME, write_sample
from stylegan_core.images import to_uint8

STOPPED = "stopped; nothing was changed"
LOOK_EVERY = 0.25  # seconds between two looks at a search


class PhotoEvents(Events):
    """Photos, generators, searches."""

    def open(self, request: gr.Request, key: str | None) -> Iterator[Updates]:
        """Show a tab: a fresh one, or the work that it had before the page was loaded anew."""
        self.sessions.again(str(request.session_hash), key or "")
        yield from self.show(request)

    @told
    def show(self, session: Session) -> Iterator[Updates]:
        """Show all of a session, and go on to look at the search that is under way."""
        tab = gr.update(selected="edit" if session.inverted else "photo")
        yield whole_page(self.parts, session) | {self.parts.tabs: tab}
        if session.job is not None and session.job.wait(0):
            yield from self._follow(session, session.job)

    def close(self, request: gr.Request) -> None:
        """Forget the tab that was closed."""
        self.sessions.close(str(request.session_hash))

    @told
    def load_photo(self, session: Session, path: str | None, align: bool) -> Updates:
        """Take an uploaded photo or a camera picture."""
        if path is None:
            return {}
        return self._photo(session, path, align) | {self.parts.camera: None}

    def _photo(self, session: Session, path: str, align: bool) -> Updates:
        """Take a photo, and say what is doubtful of its faces."""
        shown = self._take(session, path, self.parts.upload, lambda file: session.load_photo(file, align))
        doubts = [f"face{face.index}: {text}" for face in session.faces for text in face.warnings]
        return shown | {self.parts.message: sentence("; ".join(doubts))}

    @told
    def load_sample(self, session: Session, align: bool) -> Updates:
        """Take the sample photo."""
        path = write_sample(session.folder / "sample" / NAME)
        return self._photo(session, str(path), align)

    @told
    def load_checkpoint(self, session: Session, path: str) -> Updates:
        """Take another generator for this tab."""
        news = "the generator is loaded; invert the photo with it"
        return self._take(session, path, self.parts.checkpoint, session.load_checkpoint, news)

    @told
    def load_direction(self, session: Session, path: str) -> Updates:
        """Take a direction file for this tab."""
        news = "the direction is loaded; its slider is under Edit"
        return self._take(session, path, self.parts.direction, session.load_direction, news)

    def _take(self, session: Session, path: str, control: Any, load: Callable[[Path], Any], news: str = "") -> Updates:
        """Load an uploaded file, and show the page anew."""
        with taken(path, control) as (file, empty):
            load(file)
        return empty | whole_page(self.parts, session) | {self.parts.message: sentence(news)}

    @told
    def invert(self, session: Session, faces: list[int], *how: Any) -> Iterator[Updates]:
        """Search the codes of the chosen faces: behind the encoder's guess, which can be edited meanwhile; where there
        is none, showing them on the way."""
        parts, search = self.parts, _search(*how)
        guessed = session.guess(faces, search)
        job = session.start_inversion(faces, search)
        if guessed:
            yield whole_page(parts, session) | {parts.message: _behind(job), parts.tabs: gr.update(selected="edit")}
        yield from self._follow(session, job)

    def _follow(self, session: Session, job: Job) -> Iterator[Updates]:
        """Show how far a search is, and then what it found."""
        parts, guessed = self.parts, bool(session.inverted)
        targets = [to_uint8(face.target)[0] for face in session.searched]
        for found in _watch(job):
            if job.of_second:
                yield {parts.message: sentence(f"the search for the second photo {_step(job)}")}
            elif guessed:
                yield {parts.message: _behind(job)}
            else:
                view = search_view(targets, targets if found is None else found, job.step, job.total, job.loss)
                yield {parts.view: view, parts.face: "", parts.message: ""}
        if job.stopped() and session.job is not None:
            return  # a later search is shown
        if job.stopped():  # whatever was shown on the way goes, also where it arrives after the answer of `cancel`
            yield edit_view(parts, session) | {parts.message: sentence(STOPPED)}
            return
        job.result()
        if job.of_second:
            news = sentence("the second photo is inverted; tick the layers to take from it")
            yield edit_view(parts, session) | {parts.message: news}
            return
        scores = [f"{item.latent.report['scores']['psnr']:.1f} dB" for item in session.inverted.values()]
        news = sentence(f"inverted: {', '.join(scores)}; now move a slider")
        if guessed:  # the controls stay, since somebody may be moving them
            yield result_view(parts, session) | {parts.message: news}
        else:
            yield whole_page(parts, session) | {parts.message: news, parts.tabs: gr.update(selected="edit")}

    @told
    def load_second(self, session: Session, path: str, *how: Any) -> Iterator[Updates]:
        """Search the code of the second photo."""
        parts = self.parts
        with taken(path, parts.second) as (file, _):
            job = session.start_second(file, _search(*how))
        yield {parts.second: None}
        yield from self._follow(session, job)

    @told
    def cancel(self, session: Session) -> Updates:
        """Stop the search that is under way."""
        job = session.cancel()
        news = STOPPED if job is not None and job.stopped() else "nothing is under way"
        return edit_view(self.parts, session) | {self.parts.message: sentence(news)}


def _watch(job: Job) -> Iterator[Any]:
    """Yield what there is to see of a job until it ends; it goes on where nobody looks."""
    yield job.picture
    while job.wait(LOOK_EVERY):
        yield job.picture


def _behind(job: Job) -> str:
    """Say how far the search behind a guess is, if there is more to it than the guess."""
    if not job.total:
        return sentence("the encoder's guess: edit it now")
    return sentence(f"the encoder's guess: edit it now; the search behind it {_step(job)}")


def _step(job: Job) -> str:
    return "waits for another one" if job.waits else f"is at step {job.step} of {job.total}"


def _search(method: str, space: str, steps: float, seed: float | None) -> SearchChoice:
    return SearchChoice(method, space, int(steps), int(seed or 0))
