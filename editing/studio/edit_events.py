"""What the page does when a control moves, a point is set, or one goes back to an earlier edit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from editing.operations.drag import Pair, parse_drags
from editing.studio.controls import read_dials
from editing.studio.dials import Dials
from editing.studio.expressions import NEUTRAL, known_expressions, load_file, read_off, with_expression
from editing.studio.offer import offered
from editing.studio.parts import Parts
from editing.studio.pictures import sentence, strip
from editing.studio.points import ALL, POINTS, words_of
from editing.studio.session import SLOTS, Session
from editing.studio.told import Events, taken, told
from editing.studio.views import Updates, edit_view, face_view, result_view
from stylegan_core.errors import ConfigError, ToolkitError

View = Callable[[Parts, Session], Updates]
STRENGTHS = [step / 2 for step in range(-4, 5)]  # of the sweep


class EditEvents(Events):
    """Controls, points, history."""

    @told
    def preview(self, session: Session, *values: Any) -> Updates:
        """Show the aligned face with the controls as they are."""
        return {self.parts.face: face_view(session, read_dials(session, values)), self.parts.message: ""}

    @told
    def settle(self, session: Session, *values: Any) -> Updates:
        """Enter the controls into the history and show the whole photo."""
        return self._settle(session, read_dials(session, values), result_view)

    def _settle(self, session: Session, dials: Dials, view: View) -> Updates:
        """Enter dials; where they do not fit, the page goes back to what the history has."""
        try:
            session.settle(dials)
        except ToolkitError as error:
            return edit_view(self.parts, session) | {self.parts.message: sentence(str(error), error=True)}
        return view(self.parts, session)

    @told
    def add_point(self, session: Session, pair: Pair, *values: Any) -> Updates:
        """Drag one more point of the photo."""
        return self._with_points(session, read_dials(session, values), lambda pairs: [*pairs, pair])

    @told
    def remove_point(self, session: Session, index: int, *values: Any) -> Updates:
        """Leave one of the points where it is; `ALL`: all of them."""

        def without(pairs: list[Pair]) -> list[Pair]:
            return [] if index == ALL else [pair for number, pair in enumerate(pairs) if number != index]

        return self._with_points(session, read_dials(session, values), without)

    def _with_points(self, session: Session, dials: Dials, change: Callable[[list[Pair]], list[Pair]]) -> Updates:
        pairs = change(parse_drags(dials.words(POINTS)))
        return self._settle(session, dials.with_other(POINTS, words_of(pairs)), edit_view)

    def place(self, request: gr.Request, event: gr.EventData, *values: Any) -> Updates:
        """Pass on the two places of the photo that were pressed."""
        x, y, to_x, to_y = (float(getattr(event, name)) for name in ("x", "y", "to_x", "to_y"))
        return self.add_point(request, ((x, y), (to_x, to_y)), *values)

    def press_remove(self, request: gr.Request, event: gr.EventData, *values: Any) -> Updates:
        """Pass on which point's button was pressed."""
        return self.remove_point(request, int(event.index), *values)

    @told
    def reset(self, session: Session, *values: Any) -> Updates:
        """Take all edits back, as one step of the history; where edits may show stays chosen."""
        dials = read_dials(session, values)
        return self._settle(session, Dials(paste=dials.paste, region=dials.region, border=dials.border), edit_view)

    @told
    def neutral(self, session: Session, *values: Any) -> Updates:
        """Put the neutral expression on the face."""
        session.worn = known_expressions(session)[NEUTRAL]
        return self._wear(session, read_dials(session, values))

    @told
    def choose_expression(self, session: Session, name: str, *values: Any) -> Updates:
        """Put an expression on the face that has a name."""
        session.worn = known_expressions(session)[name]
        return self._wear(session, read_dials(session, values))

    @told
    def load_expression(self, session: Session, path: str, *values: Any) -> Updates:
        """Put the expression of a file on the face."""
        with taken(path, self.parts.expression_file) as (file, empty):
            load_file(session, file)
        return empty | self._wear(session, read_dials(session, values))

    @told
    def read_expression(self, session: Session, path: str, pose: bool, *values: Any) -> Updates:
        """Put the expression of another photo on the face."""
        with taken(path, self.parts.other_photo) as (file, empty):
            read_off(session, file)
        return empty | self._wear(session, read_dials(session, values), pose=pose)

    @told
    def preview_share(self, session: Session, share: float, pose: bool, *values: Any) -> Updates:
        """Show the aligned face with so much of the expression that was put on last."""
        dials, _ = with_expression(session, read_dials(session, values), share, pose)
        return {self.parts.face: face_view(session, dials), self.parts.message: ""}

    @told
    def settle_share(self, session: Session, share: float, pose: bool, *values: Any) -> Updates:
        """Put so much of the expression that was put on last on the face."""
        return self._wear(session, read_dials(session, values), share, pose)

    def _wear(self, session: Session, dials: Dials, share: float = 1.0, pose: bool = False) -> Updates:
        session.need_face()
        dials, beyond = with_expression(session, dials, share, pose)
        updates = self._settle(session, dials, edit_view) | {self.parts.share: gr.update(value=share, visible=True)}
        return updates | ({self.parts.message: sentence("; ".join(beyond))} if beyond else {})

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
    def look_at(self, session: Session, index: int | None) -> Updates:
        """Look at another face."""
        session.looked_at = index or 0
        return result_view(self.parts, session)

    @told
    def look_closer(self, session: Session, zoom: bool) -> Updates:
        """Show the face from close, or the whole photo."""
        session.zoom = zoom
        return result_view(self.parts, session)

    @told
    def set_points(self, session: Session, placing: bool) -> Updates:
        """Let points be set on the photo, or show the divider again."""
        session.placing = placing
        return result_view(self.parts, session)

    @told
    def compare(self, session: Session, comparing: bool) -> Updates:
        """Show the two edits that were kept side by side, or before and after."""
        session.comparing = comparing
        return result_view(self.parts, session)

    @told
    def keep_a(self, session: Session) -> Updates:
        """Keep the edit in the first slot."""
        return self._keep(session, SLOTS[0])

    @told
    def keep_b(self, session: Session) -> Updates:
        """Keep the edit in the second slot."""
        return self._keep(session, SLOTS[1])

    def _keep(self, session: Session, slot: str) -> Updates:
        session.keep(slot)
        news = sentence(f"kept as {slot}: {session.label(session.history.now)}")
        return result_view(self.parts, session) | {self.parts.message: news}

    @told
    def sweep(self, session: Session, name: str | None, *values: Any) -> Updates:
        """Draw the strip of one direction."""
        if not name:
            raise ConfigError("no direction fits this generator, so there is nothing to sweep")
        low, high = next(dial.ends for dial in offered(session) if dial.name == name)
        strengths = [strength for strength in STRENGTHS if low <= strength <= high]
        pictures = session.sweep(read_dials(session, values), name, strengths)
        return {self.parts.strip: strip(pictures, strengths, Path(name).stem), self.parts.message: ""}

    @told
    def take_strength(self, session: Session, strength: float, name: str, *values: Any) -> Updates:
        """Set the swept direction to the strength whose picture was pressed."""
        dials = read_dials(session, values).with_strength(name, strength)
        order = [dial.name for dial in offered(session)]
        strengths = sorted(dials.strengths, key=lambda item: order.index(item[0]))
        return self._settle(session, replace(dials, strengths=tuple(strengths)), edit_view)

    def press_strip(self, request: gr.Request, event: gr.EventData, *values: Any) -> Updates:
        """Pass on which picture of the strip was pressed."""
        return self.take_strength(request, float(event.strength), *values)
