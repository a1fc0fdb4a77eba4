"""Events of the page: each gets the session of its tab, and what it raises becomes a sentence on the page."""

import inspect
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from editing.studio.jobs import Cancelled
from editing.studio.parts import Parts
from editing.studio.pictures import sentence
from editing.studio.sessions import Sessions
from editing.studio.views import Updates
from stylegan_core.errors import ToolkitError


@dataclass(frozen=True)
class Events:
    """What all events of the page need."""

    sessions: Sessions
    parts: Parts
    debug: bool = False


class Refused(ToolkitError):
    """An uploaded file is not taken."""

    def __init__(self, said: str, updates: Updates) -> None:
        super().__init__(said)
        self.updates = updates  # of the page, beside the sentence


@contextmanager
def taken(path: str, control: Any) -> Iterator[tuple[Path, Updates]]:
    """Hand an uploaded file over and delete it afterwards; yields it with what empties its control.

    Errors name the file without the folder that it lay in."""
    file = Path(path)
    try:
        yield file, {control: None}
    except ToolkitError as error:
        raise Refused(str(error).replace(path, file.name), {control: None}) from error
    finally:
        forget(file)


def forget(upload: Path) -> None:
    """Delete an uploaded file, and the folder that was made for it."""
    upload.unlink(missing_ok=True)
    with suppress(OSError):  # other files are in it
        upload.parent.rmdir()


def told(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Give a handler the tab's session, and turn what it raises into a sentence on the page."""

    def sorry(self: Events, error: Exception) -> Updates:
        text = str(error)
        if not isinstance(error, ToolkitError):
            text = f"unexpected {type(error).__name__}; start the studio with --debug to see more"
            if self.debug:
                traceback.print_exception(error)
        updates = error.updates if isinstance(error, Refused) else {}
        return updates | {self.parts.message: sentence(text, error=not isinstance(error, Cancelled))}

    def run(self: Events, request: gr.Request, *args: Any) -> Any:
        try:
            return handler(self, self.sessions.of(str(request.session_hash)), *args)
        except Exception as error:  # the page stays, whatever the cause
            return sorry(self, error)

    def run_on(self: Events, request: gr.Request, *args: Any) -> Iterator[Updates]:
        try:
            yield from handler(self, self.sessions.of(str(request.session_hash)), *args)
        except Exception as error:
            yield sorry(self, error)

    chosen = run_on if inspect.isgeneratorfunction(handler) else run
    chosen.__name__, chosen.__doc__ = handler.__name__, handler.__doc__
    return chosen
