"""Work that takes long: it runs in a thread, tells how far it is, and stops between two steps when asked."""

import threading
import time
from collections.abc import Callable
from typing import Any

from torch import Tensor

from stylegan_core.errors import ToolkitError

PREVIEW_EVERY = 0.3  # seconds
ASK_EVERY = 0.1  # seconds between two looks whether it is a job's turn
Turn = threading.Semaphore


class Cancelled(ToolkitError):
    """The user stopped the work."""


class Job:
    """A piece of work under way, or waiting for its turn."""

    def __init__(
        self, total: int, look: Callable[[Tensor], Any], work: Callable[["Job"], Any], turn: Turn | None = None
    ) -> None:
        """`work(job)` gets the callbacks `progress` and `preview`; `look` turns codes into what `picture` holds.

        Jobs of one `turn` come one after the other."""
        self.total, self.step, self.loss = total, 0, float("nan")
        self.picture: Any = None
        self.of_second = False  # whether the second photo's code is searched for
        self.waits = turn is not None  # whether others come first
        self._turn = turn or Turn()
        self._look, self._seen = look, 0.0
        self._result: Any = None
        self._error: Exception | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()

    def progress(self, step: int, loss: float) -> None:
        """Note how far the work is; raises `Cancelled` once it has been cancelled."""
        self._check()
        self.step, self.loss = step, loss

    def preview(self, step: int, ws: Tensor) -> None:
        """Look at the codes [N, num_ws, w_dim], a few times a second at most."""
        if time.monotonic() - self._seen > PREVIEW_EVERY:
            self.picture = self._look(ws)
            self._seen = time.monotonic()

    def cancel(self) -> None:
        """Ask the work to stop at its next step."""
        self._stop.set()

    def stopped(self) -> bool:
        """Wait for the end; tell whether the work was stopped before it was done."""
        self._thread.join()
        return isinstance(self._error, Cancelled)

    def wait(self, seconds: float) -> bool:
        """Wait that long at most; tell whether the work goes on."""
        self._thread.join(seconds)
        return self._thread.is_alive()

    def result(self) -> Any:
        """Wait for the end; return what the work returned, or raise what it raised."""
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._result

    def _run(self, work: Callable[["Job"], Any]) -> None:
        try:
            while not self._turn.acquire(timeout=ASK_EVERY):
                self._check()
            try:
                self.waits = False
                self._check()
                self._result = work(self)
            finally:
                self._turn.release()
        except Exception as error:  # raised again by `result`, in the thread that asks for it
            self._error = error

    def _check(self) -> None:
        if self._stop.is_set():
            raise Cancelled("stopped; nothing was changed")
