"""A batch recipe: TOML, with every mistake named by its line."""

import hashlib
import json
import sys
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from editing.config import PASTE_MODES
from inversion.batch.items import Limits
from inversion.config import InvertConfig, ProjectionConfig
from stylegan_core.errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class EditStep:
    """One `[[edit]]` table: a transfer, a crossover, or a truncation."""

    transfer: str = ""  # a direction's name or file
    strength: float = 1.0
    layers: str = ""  # that the transfer moves or the crossover takes: coarse, 4-7, ...; empty: the direction's, or all
    crossover: str = ""  # a latent's file, or the number of a seed, whose layers are taken
    truncate: float = 1.0  # psi; 1 changes nothing

    @property
    def label(self) -> str:
        """Name the step, as pictures are labelled."""
        where = f" {self.layers}" if self.layers else ""
        if self.transfer:
            return f"{Path(self.transfer).stem} {self.strength:g}{where}"
        if self.crossover:
            other = f"seed {self.crossover}" if self.crossover.isdigit() else Path(self.crossover).stem
            return f"layers {self.layers or 'all'} of {other}"
        return f"psi {self.truncate:g}"

    def describe(self) -> str:
        """Say in words what it will do."""
        if self.transfer:
            where = f" in layers {self.layers}" if self.layers else ""
            return f"transfer {self.transfer} at {self.strength:g}{where}"
        return f"take {self.label}" if self.crossover else f"truncate to psi {self.truncate:g}"


@dataclass(frozen=True)
class OutputConfig:
    """The `[output]` table."""

    paste: str = "auto"  # how faces go back into the photo


@dataclass(frozen=True)
class Recipe:
    """What is done to every photo of a batch."""

    invert: InvertConfig = InvertConfig()
    projection: ProjectionConfig = ProjectionConfig()
    edits: tuple[EditStep, ...] = ()
    output: OutputConfig = OutputConfig()
    limits: Limits = field(default_factory=Limits)

    def digest(self) -> str:
        """Return the SHA-256 of everything in it that outputs depend on."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

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
        lines.append("write the faces only" if self.output.paste == "none" else f"paste back: {self.output.paste}")
        lines.append(f"refuse photos over {limits.max_pixels:,} pixels or {limits.max_bytes:,} bytes")
        lines.append(f"give up on a photo after {limits.max_seconds:g} s")
        return lines


TABLES: dict[str, tuple[type, ...]] = {
    "invert": (InvertConfig, ProjectionConfig),
    "edit": (EditStep,),
    "output": (OutputConfig,),
    "limits": (Limits,),
}


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
    mistakes: list[str] = []
    parts: dict[str, list[dict[str, Any]]] = {}
    for table, content_of in content.items():
        if table not in TABLES:
            where = lines.get((table, 0, ""), lines.get(("", 0, table), 1))
            mistakes.append(f"line {where}: [{table}] is unknown; expected {', '.join(TABLES)}")
            continue
        entries = content_of if isinstance(content_of, list) else [content_of]
        if (table == "edit") != isinstance(content_of, list) or not all(isinstance(entry, dict) for entry in entries):
            where = lines.get((table, 0, ""), lines.get(("", 0, table), 1))
            mistakes.append(f"line {where}: write it as {'[[edit]]' if table == 'edit' else f'[{table}]'}")
            continue
        parts[table] = entries
        for index, entry in enumerate(entries):
            mistakes += [
                f"line {lines.get((table, index, key), lines.get((table, index, ''), 1))}: {reason}"
                for key, reason in _mistakes(table, entry)
            ]
    if mistakes:
        raise ConfigError(f"{source}: " + "; ".join(mistakes))
    invert = parts.get("invert", [{}])[0]
    return Recipe(
        invert=_make(InvertConfig, invert),
        projection=_make(ProjectionConfig, invert),
        edits=tuple(_make(EditStep, entry) for entry in parts.get("edit", [])),
        output=_make(OutputConfig, parts.get("output", [{}])[0]),
        limits=_make(Limits, parts.get("limits", [{}])[0]),
    )


def format_recipe(recipe: Recipe) -> str:
    """Write a recipe as TOML that `parse_recipe` reads back; what is as the defaults have it is left out.

    The generator, the method and the steps are always named, since their defaults may change."""
    named = ("generator", "method", "steps", "seed")
    invert = {**_changed(recipe.invert, named), **_changed(recipe.projection, named)}
    tables = [("[invert]", invert), *(("[[edit]]", _changed(step)) for step in recipe.edits)]
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


def _mistakes(table: str, entry: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (key, reason) of everything wrong in a table."""
    known = {item.name: item for kind in TABLES[table] for item in fields(kind)}
    found = []
    for key, value in entry.items():
        if key not in known:
            found.append((key, f"{key} is unknown in [{table}]; expected {', '.join(known)}"))
            continue
        expected = type(known[key].default)
        fits = type(value) is expected or (expected is float and type(value) is int)
        if not fits:
            found.append((key, f"{key} = {value!r} should be of type {expected.__name__}"))
        elif (choices := known[key].metadata.get("choices")) and value not in choices:
            found.append((key, f"{key} = {value!r} is none of {', '.join(choices)}"))
        elif key == "paste" and value not in PASTE_MODES:
            found.append((key, f"{key} = {value!r} is none of {', '.join(PASTE_MODES)}"))
        elif isinstance(value, int | float) and value != value:
            found.append((key, f"{key} is not a number"))
    kinds = [bool(entry.get("transfer")), bool(entry.get("crossover")), "truncate" in entry]
    if table == "edit" and not found and sum(kinds) != 1:
        found.append(("", "an [[edit]] needs either transfer, crossover or truncate"))
    return found


def _make(kind: type, entry: dict[str, Any]) -> Any:
    """Make a config of the entries that belong to it, whole numbers as floats where it wants floats."""
    chosen = {}
    for item in fields(kind):
        if item.name in entry:
            value = entry[item.name]
            chosen[item.name] = float(value) if isinstance(item.default, float) else value
    return kind(**chosen)


def _lines_of_keys(text: str) -> dict[tuple[str, int, str], int]:
    """Find the line of every (table, index, key); key '' is the table's header."""
    found: dict[tuple[str, int, str], int] = {}
    table, counts = "", {"": 1}
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if stripped.startswith("["):
            table = stripped.strip("[] \t").split("]")[0].strip()
            counts[table] = counts.get(table, 0) + 1
            found[table, counts[table] - 1, ""] = number
        elif "=" in stripped and not stripped.startswith("#"):
            found.setdefault((table, counts[table] - 1, stripped.partition("=")[0].strip().strip("\"'")), number)
    return found
