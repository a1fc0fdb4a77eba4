"""One run at a time: in an output folder, or at a file."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from stylegan_core.errors import OutputError

POLL = 0.2  # seconds between two looks at a lock that another process holds

if sys.platform == "win32":
    import msvcrt

    def _lock(file: IO[str]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _lock(file: IO[str]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder against a second run; raises `OutputError`. The lock goes with the process, however it ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("a")
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror}); choose another --out") from error
    with file:
        try:
            _lock(file)
        except OSError:
            raise OutputError(f"{folder}: another run works in it; wait for it, or choose another --out") from None
        yield


@contextmanager
def waiting_for(path: Path) -> Iterator[None]:
    """Hold the lock file `path`, waiting while another process does; raises `OutputError` where it cannot be made."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise OutputError(f"{path.parent}: cannot be written ({error.strerror}); free it or choose another") from error
    with file:
        while True:
            try:
                _lock(file)
                break
            except OSError:
                time.sleep(POLL)
        yield
