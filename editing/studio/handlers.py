"""What the page does when something is pressed, moved or dropped: it asks the tab's session and shows the answer."""

import functools
import inspect
import traceback
from collections.abc import Callable, Iterator
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import gradio as gr

from editing.layers import NAMED, parse_layers
from editing.studio.dials import Dials
from editing.studio.parts import Parts
from editing.studio.pictures import (
    before_after,
    close_up,
    downloads,
    face_pair,
    figure,
    photo_with_faces,
    search_view,
    sentence,
    strip,
)
from editing.studio.session import Search, Session
from editing.studio.sessions import Sessions
from inversion.sample import write_sample
from stylegan_core.errors import ConfigError, ToolkitError
from stylegan_core.images import to_uint8

LOOK_EVERY = 0.25  # seconds between two looks at a search
STRENGTHS = [step / 2 for step in range(-4, 5)]  # of the sweep
WELCOME = '<p class="hint">Load a photo, use the camera, or take the sample. Then press Invert.</p>'
Updates = dict[Any, Any]


def told(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Turn what a handler raises into a sentence on the page."""

    def sorry(self: "Handlers", error: Exception) -> Updates:
        if isinstance(error, ToolkitError):
            text = str(error)
        else:
            text = f"unexpected {type(error).__name__}; start the studio with --debug to see more"
            if self.debug:
                traceback.print_exc()
        return {self.parts.message: sentence(text, error=True)}

    @functools.wraps(handler)
    def run(self: "Handlers", *args: Any) -> Any:
        try:
            return handler(self, *args)
        except Exception as error:  # the page stays; every cause is told
            return sorry(self, error)

    @functools.wraps(handler)
    def run_steps(self: "Handlers", *args: Any) -> Iterator[Updates]:
        try:
            yield from handler(self, *args)
        except Exception as error:
            yield sorry(self, error)

    return run_steps if inspect.isgeneratorfunction(handler) else run


class Handlers:
    """The page's events; each returns what is to change, by control."""

    def __init__(self, sessions: Sessions, parts: Parts, debug: bool = False) -> None:
        self.sessions, self.parts, self.debug = sessions, parts, debug

    @told
    def open(self, request: gr.Request) -> Updates:
        """Show a fresh tab."""
        session = self._session(request)
        return self._generator(session) | self._photo(session) | self._edits(session, "", False)

    def close(self, request: gr.Request) -> None:
        """Forget the tab that was closed."""
        self.sessions.close(str(request.session_hash))

    @told
    def load_photo(self, request: gr.Request, path: str | None, align: bool) -> Updates:
        """Take an uploaded photo or a camera picture, and delete the uploaded file."""
        if path is None:
            return {}
        return self._take_photo(self._session(request), Path(path), align)

    @told
    def load_sample(self, request: gr.Request, align: bool) -> Updates:
        """Take the sample photo."""
        session = self._session(request)
        return self._take_photo(session, write_sample(session.folder / "astronaut.png"), align)

    def _take_photo(self, session: Session, path: Path, align: bool) -> Updates:
        cleared = {self.parts.upload: None, self.parts.camera: None}
        try:
            session.load_photo(path, align)
        except ToolkitError as error:
            return cleared | {self.parts.message: sentence(str(error), error=True)}
        finally:
            path.unlink(missing_ok=True)
        return cleared | self._photo(session) | self._edits(session, "", False) | {self.parts.message: ""}

    @told
    def invert(self, request: gr.Request, faces: list[int], *how: Any) -> Iterator[Updates]:
        """Search the codes of the chosen faces, showing them on the way."""
        session, parts = self._session(request), self.parts
        job = session.start_inversion(faces, _search(*how))
        targets = [to_uint8(face.target)[0] for face in session.faces if face.index in faces]
        for found in self._watch(job):
            view = search_view(targets, found if found is not None else targets, job.step, job.total, job.loss)
            yield {parts.view: view, parts.face: "", parts.message: ""}
        job.result()
        scores = [item.latent.report["scores"]["psnr"] for item in session.inverted.values()]
        news = sentence(f"inverted: {', '.join(f'{score:.1f} dB' for score in scores)}; now move a slider")
        first = next(iter(session.inverted))
        shown = self._edits(session, first, False) | {parts.message: news, parts.tabs: gr.update(selected="edit")}
        yield shown

    @told
    def load_second(self, request: gr.Request, path: str, *how: Any) -> Iterator[Updates]:
        """Search the code of the second photo."""
        session, parts = self._session(request), self.parts
        yield {parts.second: None}
        try:
            job = session.start_second(Path(path), _search(*how))
        finally:
            Path(path).unlink(missing_ok=True)
        for _ in self._watch(job):
            yield {parts.message: sentence(f"second photo: step {job.step} of {job.total}")}
        job.result()
        assert session.second is not None
        name = session.second.latent.report["photo"]["name"]
        shown = figure(to_uint8(session.second.image)[0], f"second: {name}", side=256)
        news = sentence("the second photo is inverted; tick the layers to take from it")
        yield {parts.second_view: f'<div class="pair">{shown}</div>', parts.message: news}

    def _watch(self, job: Any) -> Iterator[Any]:
        """Yield what there is to see of a job until it ends; whoever stops looking stops the job."""
        try:
            yield job.picture
            while job.wait(LOOK_EVERY):
                yield job.picture
        finally:
            if job.wait(0):
                job.cancel()

    @told
    def cancel(self, request: gr.Request) -> Updates:
        """Stop the search that is under way."""
        session = self._session(request)
        under_way = session.job is not None and session.job.wait(0)
        session.cancel()
        news = "stopped; nothing was changed" if under_way else "nothing is under way"
        index = next(iter(session.inverted), "")
        return self._edits(session, index, False) | {self.parts.message: sentence(news)}

    @told
    def preview(self, request: gr.Request, index: int | None, *values: Any) -> Updates:
        """Show the aligned face with the dials as they are."""
        session = self._session(request)
        index = self._index(session, index)
        edited = session.preview(index, _dials(session, values))
        inverted = to_uint8(session.inverted[index].image)[0]
        return {self.parts.face: face_pair(inverted, edited), self.parts.message: ""}

    @told
    def settle(self, request: gr.Request, index: int | None, zoom: bool, *values: Any) -> Updates:
        """Enter the dials into the history and show the whole photo."""
        session = self._session(request)
        session.settle(_dials(session, values))
        return self._edits(session, index, zoom, controls=False)

    @told
    def undo(self, request: gr.Request, index: int | None, zoom: bool) -> Updates:
        """Go one edit back."""
        session = self._session(request)
        session.history.go(session.history.position - 1)
        return self._edits(session, index, zoom)

    @told
    def redo(self, request: gr.Request, index: int | None, zoom: bool) -> Updates:
        """Go one edit forth."""
        session = self._session(request)
        session.history.go(session.history.position + 1)
        return self._edits(session, index, zoom)

    @told
    def go(self, request: gr.Request, position: int, index: int | None, zoom: bool) -> Updates:
        """Go to an edit of the history."""
        session = self._session(request)
        session.history.go(position)
        return self._edits(session, index, zoom)

    @told
    def look(self, request: gr.Request, index: int | None, zoom: bool) -> Updates:
        """Look at another face, or closer."""
        return self._edits(self._session(request), index, zoom, controls=False)

    @told
    def sweep(self, request: gr.Request, name: str | None, index: int | None, *values: Any) -> Updates:
        """Draw the strip of one direction."""
        session = self._session(request)
        if not name:
            raise ConfigError("no direction is chosen; choose one for the strip")
        pictures = session.sweep(self._index(session, index), _dials(session, values), name, STRENGTHS)
        return {self.parts.strip: strip(pictures, STRENGTHS, Path(name).stem), self.parts.message: ""}

    @told
    def take_strength(
        self, request: gr.Request, event: gr.EventData, name: str, index: int | None, zoom: bool, *values: Any
    ) -> Updates:
        """Set the swept direction to the strength whose picture was pressed."""
        session = self._session(request)
        dials, strength = _dials(session, values), float(event.strength)
        others = [item for item in dials.strengths if item[0] != name]
        mine = [(name, strength)] if strength else []
        order = [dial.name for dial in session.dials()]
        strengths = sorted([*others, *mine], key=lambda item: order.index(item[0]))
        session.settle(replace(dials, strengths=tuple(strengths)))
        return self._edits(session, index, zoom)

    @told
    def load_checkpoint(self, request: gr.Request, path: str) -> Updates:
        """Take another generator for this tab."""
        session = self._session(request)
        try:
            session.load_checkpoint(Path(path))
        except ToolkitError as error:
            text = str(error).replace(path, Path(path).name)
            return {self.parts.checkpoint: None, self.parts.message: sentence(text, error=True)}
        finally:
            Path(path).unlink(missing_ok=True)
        news = sentence(f"{session.generator.meta.name} is loaded; press Invert")
        shown = self._generator(session) | self._photo(session) | self._edits(session, "", False)
        return shown | {self.parts.checkpoint: None, self.parts.message: news}

    @told
    def load_direction(self, request: gr.Request, path: str) -> Updates:
        """Take a direction file for this tab."""
        session = self._session(request)
        try:
            direction = session.load_direction(Path(path))
        except ToolkitError as error:
            text = str(error).replace(path, Path(path).name)
            return {self.parts.direction: None, self.parts.message: sentence(text, error=True)}
        finally:
            Path(path).unlink(missing_ok=True)
        news = sentence(f"{direction.name} is loaded; its slider is in the tab Edit")
        return self._sliders(session) | {self.parts.direction: None, self.parts.message: news}

    def _session(self, request: gr.Request) -> Session:
        return self.sessions.of(str(request.session_hash))

    def _index(self, session: Session, index: Any) -> int:
        """Return the face to look at: the one chosen, else the first."""
        if not session.inverted:
            raise ConfigError("no face is inverted yet; press Invert first")
        return index if index in session.inverted else next(iter(session.inverted))

    def _photo(self, session: Session) -> Updates:
        """Show the photo with its faces and offer them."""
        parts = self.parts
        names = [(f"face{face.index}", face.index) for face in session.faces]
        ticked = [face.index for face in session.faces[:1]]
        return {parts.faces: gr.update(choices=names, value=ticked, visible=len(names) > 1)}

    def _edits(self, session: Session, index: Any, zoom: bool, controls: bool = True) -> Updates:
        """Show the photo and the face as the history has them; with `controls` set those as well."""
        parts = self.parts
        shown = self._pictures(session, index, zoom) | self._history(session)
        return shown | (self._sliders(session) | self._dials(session) if controls else {}) | {parts.message: ""}

    def _pictures(self, session: Session, index: Any, zoom: bool) -> Updates:
        parts, hidden = self.parts, gr.update(visible=False)
        if session.photo is None or not session.inverted:
            view = WELCOME
            if session.photo is not None:
                quads = {face.index: face.quad for face in session.faces}
                view = photo_with_faces(session.photo.rgb, quads, session.photo.path.name)
            return {parts.view: view, parts.face: "", parts.tools: hidden, parts.looked_at: hidden}
        index = self._index(session, index)
        rgb, results = session.result()
        part = (slice(None), slice(None))
        if zoom:
            part = close_up([session.inverted[index].face.quad], *rgb.shape[:2])
        changed = sum(result.pixels_changed for result in results)
        words = f"{changed:,} of {rgb.shape[0] * rgb.shape[1]:,} pixels changed ({results[0].mode})"
        edited = session.preview(index, session.history.now)
        chooser = gr.update(
            choices=[(f"face{i}", i) for i in session.inverted], value=index, visible=len(session.inverted) > 1
        )
        return {
            parts.view: before_after(session.photo.rgb[part], rgb[part], words),
            parts.face: face_pair(to_uint8(session.inverted[index].image)[0], edited),
            parts.tools: gr.update(visible=True),
            parts.links: downloads(session.token, _links(session)),
            parts.looked_at: chooser,
        }

    def _history(self, session: Session) -> Updates:
        parts, history = self.parts, session.history
        lines = [(f"{number}: {_label(session, dials)}", number) for number, dials in enumerate(history.entries)]
        return {
            parts.history: gr.update(choices=lines, value=history.position),
            parts.undo: gr.update(interactive=history.can_undo),
            parts.redo: gr.update(interactive=history.can_redo),
        }

    def _sliders(self, session: Session) -> Updates:
        """Offer the directions: a slider each, grey with the reason where one does not fit."""
        strengths, dials = dict(session.history.now.strengths), session.dials()
        updates: Updates = {
            slider: gr.update(
                label=dial.label,
                info=escape(dial.reason or dial.info, quote=False),
                interactive=not dial.reason,
                visible=True,
                value=strengths.get(dial.name, 0),
            )
            for slider, dial in zip(self.parts.sliders, dials, strict=False)
        }
        updates |= {slider: gr.update(visible=False) for slider in self.parts.sliders[len(dials) :]}
        fitting = [(dial.label, dial.name) for dial in dials if not dial.reason]
        updates[self.parts.swept] = gr.update(choices=fitting, value=fitting[0][1] if fitting else None)
        return updates

    def _dials(self, session: Session) -> Updates:
        """Set the controls beside the sliders to what the history says."""
        parts, dials = self.parts, session.history.now
        return {
            parts.cross: _parts_of(dials.cross),
            parts.mix_seed: dials.seed,
            parts.mix: _parts_of(dials.mix),
            parts.psi: dials.psi,
            parts.paste: dials.paste,
        }

    def _generator(self, session: Session) -> Updates:
        """Tell of the generator, and offer its layers."""
        parts, generator = self.parts, session.generator
        cuts = [name for name in NAMED if name != "all" and _has(name, generator.num_ws)]
        layers = [str(layer) for layer in range(generator.num_ws)]
        words = (
            f"{generator.meta.name}: {generator.img_resolution} px, {generator.num_ws} layers of {generator.w_dim}, "
            f"{generator.meta.format}"
        )
        return {
            parts.about: sentence(words),
            parts.cross: gr.update(choices=cuts, value=[]),
            parts.mix: gr.update(choices=layers, value=[]),
            parts.second_view: "",
        }


def _search(method: str, space: str, steps: float, seed: float) -> Search:
    return Search(method, space, int(steps), int(seed or 0))


def _dials(session: Session, values: tuple[Any, ...]) -> Dials:
    """Read the dials off the controls' values, in the order in which the page hands them on."""
    *strengths, cross, seed, mix, psi, paste = values
    named = zip(session.dials(), strengths, strict=False)
    moved = tuple((dial.name, float(value)) for dial, value in named if value and not dial.reason)
    return Dials(moved, ",".join(cross), int(seed or 0), ",".join(sorted(mix, key=int)), float(psi), paste)


def _parts_of(text: str) -> list[str]:
    return text.split(",") if text else []


def _has(cut: str, num_ws: int) -> bool:
    try:
        return bool(parse_layers(cut, num_ws))
    except ConfigError:
        return False


def _label(session: Session, dials: Dials) -> str:
    steps = dials.steps("second photo" if session.second else "")
    return " + ".join(step.label for step in steps) or "the inversion"


def _links(session: Session) -> dict[str, str]:
    """Return what can be downloaded and how the links are called."""
    links = {
        "photo": "Edited photo",
        "face": "Edited face",
        "latent": "Latent" if len(session.inverted) == 1 else "Latents",
        "recipe": "Recipe",
    }
    uses_second = session.second is not None and session.history.now.cross
    return links | ({"second": "Second code (for the recipe)"} if uses_second else {})
