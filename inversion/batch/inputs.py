"""Find the photos of a run, and name their output folders."""

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from stylegan_core.errors import ConfigError
from stylegan_core.photo_files import SUFFIXES

MANIFEST = "manifest.sqlite"  # in the output folder of a run
MAX_NAME = 200  # bytes; file systems take 255


@dataclass(frozen=True)
class Input:
    """A file that the run is to take."""

    path: str
    name: str  # wanted for its output folder: the path below the folder that was named, without suffix
    problem: str = ""  # why it is refused without being read


def find_inputs(given: Sequence[str], out: Path, passed_over: Counter[str] | None = None) -> Iterator[Input]:
    """Yield the photos in folders (walked in order, links to folders not followed), files, globs and lists (.txt).

    Files of other kinds inside folders are passed over, and counted by suffix in `passed_over`; what is named itself
    is always taken. `out` is left out where it lies inside a folder that is walked."""
    for text in given:
        if os.path.isdir(text):
            yield from _walk(text, out.resolve(), Counter() if passed_over is None else passed_over)
        elif text.endswith(".txt") and os.path.isfile(text):
            yield from (_single(line) for line in _lines(text))
        elif os.path.lexists(text) or not glob.has_magic(text):
            yield _single(text)
        else:
            matches = sorted(glob.glob(text, recursive=True))
            if not matches:
                raise ConfigError(f"{text}: no file matches; check the pattern")
            yield from (_single(path) for path in matches if not os.path.isdir(path))


def _walk(folder: str, out: Path, passed_over: Counter[str]) -> Iterator[Input]:
    root, unreadable = os.path.realpath(folder), list[OSError]()
    if root == str(out):
        raise ConfigError(
            f"{folder}: is the output folder too, so results would be taken for photos; choose another --out"
        )
    for parent, folders, files in os.walk(folder, onerror=unreadable.append):
        folders[:] = sorted(name for name in folders if Path(parent, name).resolve() != out)
        links = [name for name in folders if os.path.islink(os.path.join(parent, name))]
        for file in sorted([*files, *links]):
            path = os.path.join(parent, file)
            inside = os.path.commonpath([root, os.path.realpath(path)]) == root
            if file.startswith(".") or (inside and file in links):
                continue
            if not file.lower().endswith(SUFFIXES) and file not in links:
                passed_over[os.path.splitext(file)[1].lower() or "no suffix"] += 1
                continue
            problem = "" if inside else "is a link out of the folder; name what it leads to if that is meant"
            yield Input(path, safe_name(os.path.splitext(os.path.relpath(path, folder))[0]), problem)
    for error in unreadable:
        path = os.fsdecode(error.filename)
        yield Input(path, safe_name(os.path.relpath(path, folder)), f"cannot be listed ({error.strerror})")


def _single(path: str) -> Input:
    return Input(path, safe_name(Path(path).stem))


def _lines(path: str) -> list[str]:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        lines = (line.rstrip("\r\n") for line in file)
        return [os.path.join(os.path.dirname(path), line) for line in lines if line.strip()]


def safe_name(text: str) -> str:
    """Return a folder name that every file system and terminal takes: other characters become %XX of their bytes."""
    parts = []
    for part in text.split(os.sep):
        if part in ("", ".", ".."):
            continue
        parts.append(_shortened("".join(_safe_character(character) for character in part)))
    return os.path.join(*parts) if parts else "photo"


def _shortened(name: str) -> str:
    """Cut a name to what file systems take, with room for a number in front of the next suffix."""
    return name.encode()[:MAX_NAME].decode(errors="ignore")


def _safe_character(character: str) -> str:
    if character.isprintable() and character not in '%<>:"|?*\\' and not 0xD800 <= ord(character) <= 0xDFFF:
        return character
    return "".join(f"%{byte:02X}" for byte in os.fsencode(character))
