"""Dials as JSON, read back with the care that a stranger's file asks for."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from editing.regions import REGIONS
from editing.studio.dials import Dials, History
from editing.studio.offer import other_operations
from inversion.config import PASTE_MODES
from stylegan_core.directions import all_shipped
from stylegan_core.errors import ConfigError

MAX_ENTRIES = 1000  # of a history


def record(dials: Dials, names: Mapping[str, str]) -> dict[str, Any]:
    """Return dials as JSON has them; `names` says how direction files are called there."""
    strengths = [[names.get(name, name), strength] for name, strength in dials.strengths]
    return {**asdict(dials), "strengths": strengths}


def read_record(value: Any, files: Mapping[str, str], second: str) -> Dials:
    """Read dials; `files` are the paths of direction files by the names that they have there, `second` is the file of
    the second photo's code.

    Raises `ConfigError` for what the page could not have said, and for operations that would read other files."""
    if not isinstance(value, dict) or set(value) - {item.name for item in fields(Dials)}:
        raise ConfigError("an edit in it is none of this studio's")
    dials = Dials(
        strengths=tuple((files.get(name, name), _number(of)) for name, of in _pairs(value.get("strengths", []))),
        cross=_text(value.get("cross", "")),
        seed=int(_number(value.get("seed", 0))),
        mix=_text(value.get("mix", "")),
        psi=_number(value.get("psi", 1.0)),
        paste=_text(value.get("paste", "auto")),
        region=_text(value.get("region", "")),
        border=value.get("border") is True,
        measures=tuple((name, _number(of)) for name, of in _pairs(value.get("measures", []))),
        others=tuple(
            (name, _text(of) if isinstance(of, str) else _number(of)) for name, of in _pairs(value.get("others", []))
        ),
    )
    known = {direction.name for direction in all_shipped()} | set(files.values())
    _among((name for name, _ in dials.strengths), known, "direction")
    _among((name for name, _ in dials.others), other_operations(), "edit")
    _among(filter(None, dials.region.split(",")), REGIONS, "region")
    _among([dials.paste], PASTE_MODES, "way to paste")
    allowed = {Path(path) for path in (*files.values(), second)}
    for operation in dials.operations(second):  # which refuses what makes no sense
        if not set(operation.files()) <= allowed:
            raise ConfigError(f"an edit in it names a file ({operation.label}), which a session may not")
    return dials


def read_history(value: Any, position: Any, files: Mapping[str, str], second: str) -> History:
    """Read a history; raises `ConfigError`."""
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_ENTRIES:
        raise ConfigError("its history is damaged")
    history = History([read_record(entry, files, second) for entry in value])
    history.go(int(_number(position)))
    return history


def _pairs(value: Any) -> list[tuple[str, Any]]:
    fits = isinstance(value, list) and all(
        isinstance(item, list) and len(item) == 2 and isinstance(item[0], str) for item in value
    )
    if not fits:
        raise ConfigError("an edit in it is damaged")
    return [(name, of) for name, of in value]


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > 1e9:
        raise ConfigError(f"an edit in it has {value!r} where a number was expected")
    return float(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 10_000:
        raise ConfigError("an edit in it has something else where a text was expected")
    return value


def _among(names: Iterable[str], known: Iterable[str], what: str) -> None:
    for name in set(names) - set(known):
        raise ConfigError(f"the {what} '{name[:60]}' in it is not known here")
