"""What keeps one photo from taking others with it: limits of time, whole outputs, errors that end the run."""

import errno
import hashlib
import shutil
import signal
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inversion.batch.items import WORK
from stylegan_core.errors import OutputError

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO)  # errors of a disk, not of a photo


def stops_the_run(error: BaseException) -> bool:
    """Say whether an error is the output folder's, so that every further photo would fail of it too."""
    cause = error if isinstance(error, OSError) else error.__cause__
    return isinstance(cause, OSError) and cause.errno in NO_ROOM


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TimeoutError` in what takes longer (in a process's main thread, on systems with alarms)."""

    def stop(*_: Any) -> None:
        raise TimeoutError(f"took longer than the {seconds:g} s it may; raise max_seconds in [limits]")

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


@contextmanager
def workplace(out: Path) -> Iterator[Path]:
    """Make a folder below `out` that no other process writes into, and remove it at the end."""
    try:
        (out / WORK).mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=out / WORK))
    except OSError as error:
        raise _not_written(out, error) from error
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def move_into_place(work: Path, place: Path, before: Iterable[str]) -> dict[str, str]:
    """Move the files of an item from `work` to `place`, and remove those of `before` that are not among them.

    Returns the files' paths below `place` with their SHA-256."""
    files = [path for path in sorted(work.rglob("*")) if path.is_file()]
    outputs = {str(path.relative_to(work)): file_sha256(path) for path in files}
    try:
        for name in outputs:
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (work / name).replace(place / name)
        for name in set(before) - set(outputs):
            (place / name).unlink(missing_ok=True)
    except OSError as error:
        raise _not_written(place, error) from error
    return outputs


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _not_written(path: Path, error: OSError) -> OutputError:
    return OutputError(f"{path}: cannot be written ({error.strerror}); free some space or choose another --out")
