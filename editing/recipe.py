"""A batch recipe: TOML, with every mistake named by its line."""

import hashlib
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from editing.config import RESTORE_HELP, region_option
from editing.operations.base import Operation
from editing.operations.registry import OPERATIONS
from inversion.config import PASTE_MODES, InvertConfig, ProjectionConfig, TuneConfig
from inversion.limits import Limits
from stylegan_core.assets import DEFAULT_GENERATOR
from stylegan_core.catalogue import check_direction_name
from stylegan_core.errors import ConfigError
from stylegan_core.options import build, changed_values, mistake, option, options_of, renamed, type_mistake, values_of
from stylegan_core.spelling import suggestion

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True)
class OutputConfig:
    """The `[output]` table."""

    paste: str = option("auto", "how faces go back into the photo", choices=PASTE_MODES)
    region: str = region_option()
    restore: str = option("auto", RESTORE_HELP)


@dataclass(frozen=True)
class Recipe:
    """What is done to every photo of a batch."""

    invert: InvertConfig = InvertConfig()
    projection: ProjectionConfig = ProjectionConfig()
    edits: tuple[Operation, ...] = ()
    output: OutputConfig = OutputConfig()
    limits: Limits = field(default_factory=Limits)
    tune: TuneConfig = TuneConfig()
    notices: tuple[str, ...] = field(default=(), compare=False)  # what its author should know of its words

    def digests(self) -> tuple[str, str]:
        """Return the SHA-256 of what the inversions depend on, and of what the edits depend on beside them."""
        inversion = [_as_first_named(part) for part in (replace(self.invert, strict=False), self.projection, self.tune)]
        return _digest(inversion), _digest([[_digested(edit) for edit in self.edits], _output(self.output)])

    def describe(self) -> list[str]:
        """Say in words what it will do."""
        invert, limits = self.invert, self.limits
        chosen = "find all faces" if invert.faces == "all" else f"find faces: {invert.faces}"
        steps = f"{self.projection.steps} steps at most" if self.projection.steps >= 0 else "its own number of steps"
        lines = [
            chosen if invert.align else "take each picture as an aligned face",
            f"invert with {invert.generator} by {invert.method}: space {self.projection.space}, {steps}",
        ]
        lines += [operation.describe() for operation in self.edits]
        if self.edits:
            lines.append("write the faces only" if self.output.paste == "none" else f"paste back: {self.output.paste}")
        if self.edits and self.output.region:
            lines.append(f"change {self.output.region} only")
        lines.append(f"refuse photos over {limits.max_pixels:,} pixels or {limits.max_bytes:,} bytes")
        lines.append(f"give up on a photo after {limits.max_seconds:g} s")
        return lines


TABLES: dict[str, tuple[type, ...]] = {
    "invert": (InvertConfig, ProjectionConfig, TuneConfig),
    "output": (OutputConfig,),
    "limits": (Limits,),
}
ELSEWHERE = {"batch": "; the photos that share a search are --batch-size"}  # options that a recipe does not take
# What a digest of an edit is made of beside its own options, so that batches begun by an earlier version go on.
DIGESTED = {
    "transfer": "", "strength": 1.0, "layers": "", "crossover": "", "truncate": 1.0, "cutoff": -1, "transfer_from": [],
    "keep": "", "target": 0.8, "identity_floor": 0.35, "leak": 0.05, "judge": "", "max_strength": 4.0,
}  # fmt: skip
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
    notices: list[str] = []
    parts: dict[str, list[dict[str, Any]]] = {}
    for table, value in content.items():
        entries = value if isinstance(value, list) else [value]
        if table not in (*TABLES, "edit"):
            mistakes.append((_line(lines, table), f"[{table}] is unknown{_expected(table, ('edit', *TABLES))}"))
        elif (table == "edit") != isinstance(value, list) or not all(isinstance(entry, dict) for entry in entries):
            mistakes.append((_line(lines, table), f"write it as {'[[edit]]' if table == 'edit' else f'[{table}]'}"))
        else:
            parts[table] = [_renamed(table, entry, notices) for entry in entries]
            for index, entry in enumerate(parts[table]):
                found = _edit_mistakes(entry) if table == "edit" else _mistakes(table, entry)
                mistakes += [(_line(lines, table, index, key), reason) for key, reason in found]
    if not mistakes:
        mistakes = _unknown_directions(parts, lines)
    if mistakes:
        raise ConfigError(f"{source}: " + "; ".join(f"line {line}: {reason}" for line, reason in sorted(mistakes)))
    invert = dict(parts.get("invert", [{}])[0])
    if "edit" in parts and not {"method", "steps", "space"} & invert.keys():
        invert["method"] = "guess"  # as the command `edit` does
    return Recipe(
        invert=build(InvertConfig, invert),
        projection=build(ProjectionConfig, invert),
        edits=tuple(build(OPERATIONS[_kinds(entry)[0]], entry) for entry in parts.get("edit", [])),
        output=build(OutputConfig, parts.get("output", [{}])[0]),
        limits=build(Limits, parts.get("limits", [{}])[0]),
        tune=build(TuneConfig, invert),
        notices=tuple(notices),
    )


def format_recipe(recipe: Recipe) -> str:
    """Write a recipe as TOML that `parse_recipe` reads back; what is as the defaults have it is left out.

    The generator, the method and the steps are always named, since their defaults may change."""
    named = ("generator", "method", "steps", "seed")
    invert = {
        **changed_values(recipe.invert, named), **changed_values(recipe.projection, named),
        **changed_values(recipe.tune),
    }  # fmt: skip
    invert = {key: value for key, value in invert.items() if key not in ELSEWHERE}
    tables = [("[invert]", invert)]
    tables += [("[[edit]]", changed_values(edit, (edit.key, "strength"))) for edit in recipe.edits]
    tables += [("[output]", changed_values(recipe.output)), ("[limits]", changed_values(recipe.limits))]
    written = [
        "\n".join([header, *(f"{key} = {_toml(value)}" for key, value in table.items())])
        for header, table in tables
        if table
    ]
    return "\n\n".join(written) + "\n"


def _toml(value: Any) -> str:
    """Write a string, number or truth value as TOML, whose strings are those of JSON but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _output(output: OutputConfig) -> dict[str, Any]:
    """Return what a digest is made of; what batches begun by an earlier version did not have counts where it is set."""
    later = {"region": "", "restore": "auto"}
    return {name: value for name, value in asdict(output).items() if name not in later or value != later[name]}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _digested(operation: Operation) -> dict[str, Any]:
    changed, named = changed_values(operation), _as_first_named(operation)
    earlier = {name: old for old, name in renamed([type(operation)]).items()}
    return DIGESTED | {earlier.get(name, name): named[earlier.get(name, name)] for name in changed}


def _as_first_named(config: Any) -> dict[str, Any]:
    """Return an instance's values, those of renamed options under the name they had at first."""
    earlier = {name: old for old, name in renamed([type(config)]).items()}
    return {earlier.get(name, name): value for name, value in values_of(config).items()}


def _renamed(table: str, entry: dict[str, Any], notices: list[str]) -> dict[str, Any]:
    """Return a table with the names that its keys have now, and note what was renamed."""
    names = _new_names(table)
    notices += [f"{old} is now called {names[old]}; the old name still works" for old in entry if old in names]
    return {names.get(key, key): value for key, value in entry.items()}


def _new_names(table: str) -> dict[str, str]:
    return renamed(OPERATIONS.values() if table == "edit" else TABLES.get(table, ()))


def _unknown_directions(parts: dict[str, list[dict[str, Any]]], lines: Lines) -> list[tuple[int, str]]:
    """Return (line, reason) of every direction that is no file and does not ship for an embedded generator."""
    generator, found = parts.get("invert", [{}])[0].get("generator", DEFAULT_GENERATOR), []
    for index, entry in enumerate(parts.get("edit", [])):
        name = entry.get("transfer", "")
        if name and not name.endswith(".npz"):  # whether a file is there is asked where the recipe is run
            try:
                check_direction_name(name, generator)
            except ConfigError as error:
                found.append((_line(lines, "edit", index, "transfer"), str(error)))
    return found


def _mistakes(table: str, entry: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (key, reason) of everything wrong in a table."""
    known = {name: item for kind in TABLES[table] for name, item in options_of(kind).items() if name not in ELSEWHERE}
    found = []
    for key, value in entry.items():
        if key not in known:
            found.append((key, f"{key} is unknown in [{table}]{ELSEWHERE.get(key, '') or _expected(key, known)}"))
        elif reason := type_mistake(known[key], value, f"{key} =") or mistake(known[key], value, f"{key} ="):
            found.append((key, reason))
    return found


def _expected(key: str, known: Iterable[str]) -> str:
    """Name what a key was probably meant to be, else all that there are."""
    return suggestion(key, known) or f"; expected {', '.join(known)}"


def _kinds(entry: dict[str, Any]) -> list[str]:
    """Return the keys of `OPERATIONS` that an `[[edit]]` has."""
    return [key for key in OPERATIONS if entry.get(key) not in (None, "", [])]


def _edit_mistakes(entry: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (key, reason) of everything wrong in an `[[edit]]`."""
    everything = list(dict.fromkeys(name for kind in OPERATIONS.values() for name in options_of(kind)))
    kinds = _kinds(entry)
    if len(kinds) != 1:
        return [("", f"an [[edit]] needs exactly one of {', '.join(OPERATIONS)}")]
    kind = OPERATIONS[kinds[0]]
    own = options_of(kind)
    found = kind.mistakes({key: value for key, value in entry.items() if key in own})
    for key in (key for key in entry if key not in own):
        if key in everything:
            found.append((key, f"{key} means nothing beside {kind.key}"))
        else:
            found.append((key, f"{key} is unknown in [edit]{_expected(key, everything)}"))
    for part in (item for item in fields(kind) if "beside" in item.metadata):
        name, value = part.metadata["beside"]
        for key in set(entry) & set(options_of(type(part.default))) if entry.get(name) != value else ():
            found.append((key, f'{key} is for {name} = "{value}"'))
    return found


def _line(lines: Lines, table: str, index: int = 0, key: str = "") -> int:
    """Return the line of a key, else that of its table, however that is written."""
    earlier = next((old for old, new in _new_names(table).items() if new == key), key)
    named = [((table, index, name), ("", 0, f"{table}.{name}")) for name in (key, earlier)]
    places = (*named[0], *named[1], (table, index, ""), ("", 0, table))
    return next((lines[place] for place in places if place in lines), 1)


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
