"""What the page does with what was made: the gallery, and the session's file."""

from typing import Any

import gradio as gr

from editing.studio.archive import open_session
from editing.studio.pictures import sentence
from editing.studio.session import Session
from editing.studio.told import Events, taken, told
from editing.studio.views import Updates, whole_page


class KeepEvents(Events):
    """The gallery, and the session's file."""

    @told
    def bring(self, session: Session, number: int) -> Updates:
        """Bring an edit of the gallery back."""
        session.bring(number)
        return whole_page(self.parts, session)

    @told
    def use(self, session: Session, number: int) -> Updates:
        """Take an edit of the gallery as the photo to work on."""
        session.use(number)
        news = sentence("the edited photo is the photo now; press Invert")
        return whole_page(self.parts, session) | {
            self.parts.message: news, self.parts.tabs: gr.update(selected="photo")
        }  # fmt: skip

    @told
    def open_session(self, session: Session, path: str) -> Updates:
        """Open a saved session."""
        with taken(path, self.parts.session_file) as (file, empty):
            open_session(session, file)
        news = {self.parts.message: sentence("the session is open"), self.parts.tabs: gr.update(selected="edit")}
        return empty | whole_page(self.parts, session) | news

    def press_bring(self, request: gr.Request, event: gr.EventData) -> Updates:
        """Pass on which edit was pressed."""
        found: Updates = self.bring(request, int(event.number))
        return found

    def press_use(self, request: gr.Request, event: gr.EventData) -> Any:
        """Pass on which edit is to be the photo."""
        return self.use(request, int(event.number))
