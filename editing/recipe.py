"""A batch recipe: TOML, with every mistake named by its line."""

import hashlib
import json
import math
import re
import sys
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from editing.config import PASTE_MODES
from editing.editor import check_strength
from editing.judging import find_judge
from editing.layers import parse_layers
from editing.steps import KINDS, SEARCH_KEYS
from editing.steps import EditStep as EditStep
from inversion.batch.items import Limits
from inversion.config import InvertConfig, ProjectionConfig, TuneConfig
from inversion.latents import MAX_WS
from inversion.methods import default_steps
from stylegan_core.errors import ConfigError
from stylegan_core.options import option

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class OutputConfig:
    """The `[output]` table."""

    paste: str = option("auto", "how faces go back into the photo", choices=PASTE_MODES)


@dataclass(frozen=True)
class Recipe:
    """What is done to every photo of a batch."""

    invert: InvertConfig = InvertConfig()
    projection: ProjectionConfig = ProjectionConfig()
    edits: tuple[EditStep, ...] = ()
    output: OutputConfig = OutputConfig()
    limits: Limits = field(default_factory=Limits)
    tune: TuneConfig = TuneConfig()

    def digests(self) -> tuple[str, str]:
        """Return the SHA-256 of what the inversions depend on, and of what the edits depend on beside them."""
        inversion = [asdict(self.invert), asdict(self.projection), asdict(self.tune)]
        return _digest(inversion), _digest([[asdict(step) for step in self.edits], asdict(self.output)])

    def describe(self) -> list[str]:
        """Say in words what it will do."""
        invert, limits = self.invert, self.limits
        chosen = "find all faces" if invert.faces == "all" else f"find faces: {invert.faces}"
        steps = f"{self.projection.space}, {self.projection.steps} steps at most"
        lines = [
            chosen if invert.align else "take each picture as an aligned face",
            f"invert with {invert.generator} by {invert.method}: {steps}",
        ]
        lines += [step.describe() for step in self.edits]
        if self.edits:
            lines.append("write the faces only" if self.output.paste == "none" else f"paste back: {self.output.paste}")
        lines.append(f"refuse photos over {limits.max_pixels:,} pixels or {limits.max_bytes:,} bytes")
        lines.append(f"give up on a photo after {limits.max_seconds:g} s")
        return lines


TABLES: dict[str, tuple[type, ...]] = {
    "invert": (InvertConfig, ProjectionConfig, TuneConfig),
    "edit": (EditStep,),
    "output": (OutputConfig,),
    "limits": (Limits,),
}
ELSEWHERE = {"batch": "the photos that share a search are --batch-size"}  # options that a recipe does not take
RENAMED = {"optimiser": "optimizer"}
ABOVE_ZERO = ("lr", "max_pixels", "max_bytes", "max_seconds", "max_faces", "max_strength")
ANY_SIGN = ("strength", "truncate", "cutoff", "target", "seed")  # other numbers are 0 or more
FACES = re.compile(r"all|[1-9]\d*|face\d+(\s*,\s*face\d+)*")
Lines = dict[tuple[str, int, str], int]


def load_recipe(path: str | Path) -> Recipe:
    """Read a recipe file; raises `ConfigError` with all its mistakes, each with its line."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); give a recipe in TOML") from error
    return parse_recipe(text, str(path))


def parse_recipe(text: str, source: str = "recipe") -> Recipe:
    """Read a recipe from its text."""
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source}: {error}; see examples/ for recipes") from error
    lines = _lines_of_keys(text)
    mistakes: list[tuple[int, str]] = []
    parts: dict[str, list[dict[str, Any]]] = {}
    for table, value in content.items():
        entries = value if isinstance(value, list) else [value]
        if table not in TABLES:
            mistakes.append((_line(lines, table), f"[{table}] is unknown; expected {', '.join(TABLES)}"))
        elif (table == "edit") != isinstance(value, list) or not all(isinstance(entry, dict) for entry in entries):
            mistakes.append((_line(lines, table), f"write it as {'[[edit]]' if table == 'edit' else f'[{table}]'}"))
        else:
            entries = [_new_names(entry) for entry in entries]
            parts[table] = entries
            for index, entry in enumerate(entries):
                mistakes += [(_line(lines, table, index, key), reason) for key, reason in _mistakes(table, entry)]
    if mistakes:
        raise ConfigError(f"{source}: " + "; ".join(f"line {line}: {reason}" for line, reason in sorted(mistakes)))
    invert = dict(parts.get("invert", [{}])[0])
    invert.setdefault("steps", default_steps(invert.get("method", "auto")))
    return Recipe(
        invert=_make(InvertConfig, invert),
        projection=_make(ProjectionConfig, invert),
        edits=tuple(_make(EditStep, entry) for entry in parts.get("edit", [])),
        output=_make(OutputConfig, parts.get("output", [{}])[0]),
        limits=_make(Limits, parts.get("limits", [{}])[0]),
        tune=_make(TuneConfig, invert),
    )


def format_recipe(recipe: Recipe) -> str:
    """Write a recipe as TOML that `parse_recipe` reads back; what is as the defaults have it is left out.

    The generator, the method and the steps are always named, since their defaults may change."""
    named = ("generator", "method", "steps", "seed")
    invert = {**_changed(recipe.invert, named), **_changed(recipe.projection, named), **_changed(recipe.tune)}
    invert = {key: value for key, value in invert.items() if key not in ELSEWHERE}
    tables = [("[invert]", invert)]
    tables += [("[[edit]]", _changed(step, ("strength",) if step.transfer else ())) for step in recipe.edits]
    tables += [("[output]", _changed(recipe.output)), ("[limits]", _changed(recipe.limits))]
    written = [
        "\n".join([header, *(f"{key} = {_toml(value)}" for key, value in table.items())])
        for header, table in tables
        if table
    ]
    return "\n\n".join(written) + "\n"


def _changed(part: Any, named: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the fields of a config that differ from their defaults, and those in `named`."""
    values = {item.name: getattr(part, item.name) for item in fields(part)}
    return {name: value for name, value in values.items() if name in named or value != getattr(type(part)(), name)}


def _toml(value: Any) -> str:
    """Write a string, number or truth value as TOML, whose strings are those of JSON but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _mistakes(table: str, entry: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (key, reason) of everything wrong in a table."""
    known = {item.name: item for kind in TABLES[table] for item in fields(kind) if item.name not in ELSEWHERE}
    found = []
    for key, value in entry.items():
        if key not in known:
            expected = ELSEWHERE.get(key, f"expected {', '.join(known)}")
            found.append((key, f"{key} is unknown in [{table}]; {expected}"))
        elif reason := _type_mistake(known[key], value) or _value_mistake(known[key], value):
            found.append((key, reason))
    return found + _edit_mistakes(entry) if table == "edit" else found


def _type_mistake(item: Any, value: Any) -> str:
    default = item.default
    if isinstance(default, tuple):
        fits = isinstance(value, list) and len(value) == 2 and all(isinstance(text, str) for text in value)
        return "" if fits else f"{item.name} = {value!r} should be two texts in brackets"
    automatic = "type" in item.metadata  # a number, or auto
    if automatic and value == "auto":
        return ""
    if type(value) is type(default) or (isinstance(default, float) and type(value) is int):
        return ""
    return f"{item.name} = {value!r} should be of type {type(default).__name__}" + " or 'auto'" * automatic


def _value_mistake(item: Any, value: Any) -> str:
    """Say what is wrong with a value of the right type."""
    key, number = item.name, isinstance(value, int | float) and not isinstance(value, bool)
    if (choices := item.metadata.get("choices")) and value not in choices:
        return f"{key} = {value!r} is none of {', '.join(choices)}"
    if number and not math.isfinite(value):
        return f"{key} = {value} is not a finite number"
    if number and key in ABOVE_ZERO and value <= 0:
        return f"{key} = {value} should be above 0"
    if number and key not in (*ABOVE_ZERO, *ANY_SIGN) and value < 0:
        return f"{key} = {value} should be 0 or more"
    if key == "faces" and not FACES.fullmatch(value):
        return f"faces = {value!r} is neither all, a number, nor names such as face0,face2"
    try:
        if key == "strength":
            check_strength(value)
        elif key == "judge" and value:
            find_judge(value)
        elif key == "layers" and value:
            parse_layers(value, MAX_WS)
    except ConfigError as error:
        return str(error)
    return ""


def _edit_mistakes(entry: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what is wrong between the keys of an `[[edit]]`."""
    kinds = [kind for kind in KINDS if entry.get(kind) not in (None, "", [])]
    if len(kinds) != 1:
        return [("", f"an [[edit]] needs exactly one of {', '.join(KINDS)}")]
    (kind,) = kinds
    found = []
    for key in set(entry) & {item.name for item in fields(EditStep)} - {kind, *KINDS[kind]}:
        found.append((key, f"{key} means nothing beside {kind}"))
    for key in set(entry) & set(SEARCH_KEYS) & set(KINDS[kind]):
        if entry.get("strength") != "auto":
            found.append((key, f'{key} is for strength = "auto"'))
    if kind == "transfer_from" and entry.get("strength") == "auto" and not entry.get("judge"):
        found.append(("strength", 'strength = "auto" needs a judge beside transfer_from'))
    return found


def _make(kind: type, entry: dict[str, Any]) -> Any:
    """Make a config of the entries that belong to it, whole numbers as floats where those are due."""
    chosen: dict[str, Any] = {}
    for item in fields(kind):
        if item.name in entry:
            value = entry[item.name]
            value = float(value) if isinstance(item.default, float) and isinstance(value, int) else value
            chosen[item.name] = tuple(value) if isinstance(value, list) else value
    return kind(**chosen)


def _line(lines: Lines, table: str, index: int = 0, key: str = "") -> int:
    """Return the line of a key, else that of its table, however that is written."""
    places = ((table, index, key), ("", 0, f"{table}.{key}"), (table, index, ""), ("", 0, table))
    return next((lines[place] for place in places if place in lines), 1)


def _new_names(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the entries of a table with the present names of options that had another."""
    return {RENAMED.get(key, key): value for key, value in entry.items()}


def _lines_of_keys(text: str) -> Lines:
    """Find the line of every (table, index, key); key '' is the table's header."""
    found: Lines = {}
    table, counts = "", {"": 1}
    for number, line in enumerate(text.split("\n"), start=1):
        stripped = line.strip()
        if stripped.startswith("["):
            table = stripped.strip("[] \t").split("]")[0].strip()
            counts[table] = counts.get(table, 0) + 1
            found[table, counts[table] - 1, ""] = number
        elif "=" in stripped and not stripped.startswith("#"):
            found.setdefault((table, counts[table] - 1, stripped.partition("=")[0].strip().strip("\"'")), number)
    return found
