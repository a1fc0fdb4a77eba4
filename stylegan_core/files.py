"""Read and write whole files: a limit on what is read, and nothing half-written."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from stylegan_core.errors import ConfigError, ImageError, OutputError, one_line

MAX_FILE_BYTES = 1 << 30


def read_bytes(path: Path, max_bytes: int = MAX_FILE_BYTES) -> bytes:
    """Read a regular file of at most `max_bytes`; raises `ImageError`."""
    try:
        if not path.exists():
            raise ImageError(f"{path}: no such file; check the path")
        if not path.is_file():
            raise ImageError(f"{path}: not a file; give the path of an image")
        if path.stat().st_size > max_bytes:
            raise ImageError(f"{path}: {path.stat().st_size:,} bytes, more than the {max_bytes:,} that are read")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise ImageError(f"{path}: cannot be read ({one_line(error)}); check its permissions") from error


def place_problem(path: str | Path, folder: bool) -> str:
    """Say what keeps a file, or a folder, from being written at `path`; empty where nothing does."""
    target = Path(path)
    try:
        if folder and target.is_file():
            return f"{path} is a file; give a folder to write into"
        if not folder and target.is_dir():
            return f"{path} is a folder; give a file in it"
        place = target if folder else target.parent
        while not place.exists() and place != place.parent:
            place = place.parent
        if not place.is_dir():
            return f"{path}: {place} is a file, not a folder; give another place"
        if not os.access(place, os.W_OK | os.X_OK):
            return f"{path}: nothing may be written to {place}; give another place"
    except OSError as error:
        return f"{path}: cannot be looked at ({error.strerror or one_line(error)}); give another place"
    return ""


def check_file_place(path: str) -> None:
    """Refuse a file, where one is named, that cannot be written at `path`; raises `ConfigError`."""
    if path and (problem := place_problem(path, folder=False)):
        raise ConfigError(problem)


def write_atomic(path: str | Path, write: Callable[[BinaryIO], object]) -> None:
    """Call `write(file)` on a temporary file beside `path`, then rename it; raises `OutputError`.

    A failure of any kind leaves `path` as it was and no temporary file behind."""
    path = Path(path)
    temporary = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            write(file)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
        temporary = ""
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise OutputError(f"{path}: cannot be written ({reason}); choose another --out or free some space") from error
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_atomic(path, lambda file: file.write(text.encode()))
