"""The folder models are kept in, and what is recorded of each: where it came from, and its SHA-256."""

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from stylegan_core.errors import CheckpointError
from stylegan_core.files import write_text

FOLDER_VARIABLE = "INVERTIGO_CACHE"
CHUNK = 1 << 20
RECORD = ".sha256.json"  # ending of a record's name


@dataclass(frozen=True)
class FetchRecord:
    """What was true of a file when it first came here."""

    source: str  # URL, hf: name, or page
    sha256: str
    num_bytes: int
    fetched: str  # date
    licence: str = ""


def cache_folder() -> Path:
    """Return the folder of models: $INVERTIGO_CACHE, else `invertigo` in the user's cache folder."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return (Path(chosen).expanduser() if chosen else Path(base) / "invertigo") / "models"


def record_path(path: Path) -> Path:
    """Return the file that keeps the record of `path`."""
    return path.with_name(f"{path.name}{RECORD}")


def read_record(path: Path) -> FetchRecord | None:
    """Return what was recorded of `path`; None where nothing was. Raises `CheckpointError` for a damaged record."""
    file = record_path(path)
    if not file.is_file():
        return None
    try:
        values: dict[str, Any] = json.loads(file.read_text())
        return FetchRecord(**{name: type(default)(values[name]) for name, default in asdict(_EMPTY).items()})
    except (ValueError, KeyError, TypeError, OSError, RecursionError) as error:
        raise CheckpointError(
            f"{file}: a damaged record ({error}); delete it and {path.name}, and fetch again"
        ) from None


def write_record(path: Path, source: str, licence: str = "") -> FetchRecord:
    """Record `path` as it is now."""
    today = time.strftime("%Y-%m-%d")
    record = FetchRecord(source, sha256_of(path), path.stat().st_size, today, licence)
    write_text(record_path(path), json.dumps(asdict(record), indent=2))
    return record


def check(path: Path) -> FetchRecord | None:
    """Compare a file with its record; raises `CheckpointError` where they differ. None where there is no record."""
    record = read_record(path)
    if record is not None and sha256_of(path) != record.sha256:
        raise CheckpointError(
            f"{path}: its SHA-256 is {sha256_of(path)[:16]}..., at the first fetch ({record.fetched}) it was "
            f"{record.sha256[:16]}...; the file was changed or damaged: delete it and fetch it again"
        )
    return record


def sha256_of(path: Path) -> str:
    """Return the SHA-256 (hex) of a file."""
    facts = path.stat()
    return _sha256(path, facts.st_size, facts.st_mtime_ns, facts.st_ino)


@lru_cache(maxsize=64)
def _sha256(path: Path, size: int, modified: int, inode: int) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            digest.update(block)
    return digest.hexdigest()


_EMPTY = FetchRecord("", "", 0, "")
