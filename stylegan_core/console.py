"""What a command tells the person who runs it: lines, progress bars, and one sentence a failure."""

import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from types import FrameType
from typing import TextIO

from stylegan_core.errors import sentence_of
from stylegan_core.progress import progress_bar

LINE_EVERY = 5.0  # seconds between two lines of progress, where the output is no terminal


@dataclass
class Console:
    """Prints for a command and counts what failed."""

    debug: bool = False  # print tracebacks
    quiet: bool = False  # print errors only
    failures: list[str] = field(default_factory=list)

    def say(self, text: str) -> None:
        """Print a line of result."""
        if not self.quiet:
            _print(text, sys.stdout)

    def warn(self, text: str) -> None:
        """Print what makes a result doubtful as one line on standard error."""
        if not self.quiet:
            _print(f"warning: {' '.join(text.split())}", sys.stderr)

    def error(self, text: str) -> None:
        """Print an error as one line on standard error and count it."""
        line = " ".join(text.split())
        self.failures.append(line)
        _print(f"error: {line}", sys.stderr)

    @contextmanager
    def guard(self, item: str) -> Iterator[None]:
        """Let one item fail without the others: its error becomes a sentence that names it."""
        try:
            yield
        except Exception as error:  # one bad input must not take the rest of the command with it
            if self.debug:
                traceback.print_exc()
            text = sentence_of(error)
            self.error(text if item in text else f"{item}: {text}")

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Callable[[int, float], None]]:
        """Show a bar with the loss: on a terminal, else a line every few seconds; yields `update(step, loss)`."""
        due = self._line_due()
        with progress_bar(show=not self.quiet, total=total, desc=label, leave=False) as bar:

            def update(step: int, loss: float) -> None:
                bar.update(step - bar.n)
                bar.set_postfix(loss=f"{loss:.4f}", refresh=False)
                if due():
                    self.say(f"{label}: {step} of {total}" + (f", loss {loss:.4f}" if loss else ""))

            yield update

    def _line_due(self) -> Callable[[], bool]:
        """Return what tells, call by call, whether a line of progress is due where no bar is seen."""
        last, seen = time.monotonic(), self.quiet or sys.stderr.isatty()

        def due() -> bool:
            nonlocal last
            if seen or time.monotonic() - last < LINE_EVERY:
                return False
            last = time.monotonic()
            return True

        return due

    @contextmanager
    def counter(self, label: str, total: int) -> Iterator[Callable[[int, int], None]]:
        """Count items with their rate and the time left: a bar on a terminal, else a line every few seconds.

        Yields `update(finished, failed)`."""
        silent, began, due = self.quiet or sys.stderr.isatty(), time.monotonic(), self._line_due()
        # The rate is the average so far: results come in bursts, which a moving one would follow.
        unit = label.rstrip("s")
        options = {"desc": label, "unit": unit, "smoothing": 0, "dynamic_ncols": True}
        with progress_bar(show=not self.quiet, total=total, **options) as bar:

            def update(finished: int, failed: int) -> None:
                bar.update(finished - bar.n)
                bar.set_postfix(failed=failed)
                elapsed = time.monotonic() - began
                if due() or (not silent and finished == total):
                    left = timedelta(seconds=round(elapsed / max(finished, 1) * (total - finished)))
                    rate = finished / max(elapsed, 1e-9) * 60
                    pace = f"{rate:.1f} a minute, {left} left"
                    self.say(f"{label}: {finished} of {total}, {failed} failed, {pace}")

            yield update


def end_on_interrupt_while_loading() -> None:
    """Let Ctrl-C end the process at once while modules are imported, which large packages do not survive whole."""
    if threading.current_thread() is not threading.main_thread():
        return

    def stop(_: int, frame: FrameType | None) -> None:
        while frame is not None:
            if frame.f_code.co_filename.startswith("<frozen importlib"):
                os.write(2, b"error: interrupted while loading; run the same command again to go on\n")
                os._exit(130)
            frame = frame.f_back
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, stop)


def _print(text: str, stream: TextIO) -> None:
    """Print above a bar that may be showing; control codes and bytes that a file's name may hide show as \\xXX."""
    plain = "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)
    plain = plain.encode(stream.encoding or "utf-8", "backslashreplace").decode(stream.encoding or "utf-8")
    if "tqdm" in sys.modules:
        sys.modules["tqdm"].tqdm.write(plain, file=stream)
    else:
        print(plain, file=stream)
    stream.flush()
