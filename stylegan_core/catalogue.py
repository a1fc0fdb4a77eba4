"""What ships to edit by, as far as it is told without torch: names, what a person sees, what judges them."""

import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from stylegan_core.assets import asset_path, embedded_generators
from stylegan_core.errors import ConfigError
from stylegan_core.models import is_remote
from stylegan_core.spelling import nearest

MAX_TEXT = 1 << 22  # bytes of a text that is looked at

# What a person sees of a direction: towards plus, and towards minus.
SEEN = {
    "smile": ("a smile that shows teeth", "closed, serious lips"),
    "happy": ("a happier face, mouth and eyes", "a face that is not amused"),
    "age": ("older", "younger"),
    "gender": ("more masculine", "more feminine"),
    "surprised": ("wider eyes and no smile", "a broad smile"),
    "sad": ("a sad face", "a brighter one"),
    "angry": ("an angry face", "a milder one"),
    "neutral": ("an expressionless face", "a livelier one"),
    "disgusted": ("a disgusted face", "a friendlier one"),
    "fearful": ("a frightened face", "a calmer one"),
    "makeup": ("red lips and marked eyes", "a face without makeup"),
    "light": ("light from the left of the picture", "light from the right"),
    "child": ("a child's face", "a grown-up's"),
    "yaw": ("a head turned to the right of the picture", "to the left"),
    "pitch": ("a head that looks up", "down"),
}

# Strengths beyond which faces break, as seen on the sheets that benchmarks/strengths.py draws (docs/strengths.md).
ANY_BELIEVABLE = (-2.0, 2.0)
BELIEVABLE = {
    "smile": (-1.0, 1.5), "happy": (-1.0, 1.5), "surprised": (-1.0, 1.0), "age": (-1.0, 2.0), "gender": (-1.0, 1.0),
    "makeup": (-1.0, 1.0), "child": (-1.0, 1.0), "yaw": (-1.0, 1.0), "pitch": (-1.0, 1.0),
}  # fmt: skip
BELIEVABLE_OF = ("faces64", "faces128", "faces256")  # the generators of which the table was seen
FIRST = ("smile", "happy", "surprised", "age", "gender")  # on a page and in a list


@dataclass(frozen=True)
class Known:
    """What a direction's file says of itself."""

    name: str
    generator: str  # fingerprint
    generator_name: str
    unit: str
    report: dict[str, Any]

    @property
    def believable(self) -> tuple[float, float]:
        """The strengths between which faces stay believable: the file's own, else the table's, else a guess."""
        return self.known_ends or ANY_BELIEVABLE

    @property
    def known_ends(self) -> tuple[float, float] | None:
        """As `believable`, but None where nobody has looked."""
        own = self.report.get("believable")
        if isinstance(own, list) and len(own) == 2 and all(isinstance(value, int | float) for value in own):
            return float(own[0]), float(own[1])
        return BELIEVABLE.get(self.name, ANY_BELIEVABLE) if self.generator_name in BELIEVABLE_OF else None

    @property
    def attribute(self) -> str:
        """The judge of what it moves; empty where that is not known."""
        value = self.report.get("attribute", "")
        return value if isinstance(value, str) else ""


def shipped_names(generator: str) -> list[str]:
    """Return the names of the directions that ship for an embedded generator; none for any other."""
    if generator not in embedded_generators():
        return []
    files = sorted(asset_path("directions").glob(f"{generator}-*.npz"))
    return [file.stem.removeprefix(f"{generator}-") for file in files]


def look_up(name_or_file: str, generator: str) -> Known | None:
    """Return what is known of a direction before it is loaded; None where it is no file and does not ship."""
    path = Path(name_or_file)
    if not path.is_file():
        path = asset_path("directions") / f"{generator}-{name_or_file}.npz"
    return read_known(path) if path.is_file() else None


@lru_cache(maxsize=64)
def read_known(path: Path) -> Known | None:
    """Read what a direction's file says of itself; None for another or a damaged file, which loading it will name."""
    try:
        about = json.loads(read_texts(path)["about"])
        names = str(about["name"]), str(about["generator"]), str(about["generator_name"])
        return Known(*names, str(about.get("unit", "")), dict(about.get("report", {})))
    except (KeyError, ValueError, TypeError, RecursionError):
        return None


def read_texts(path: Path) -> dict[str, str]:
    """Return the texts (arrays of one string) in an .npz; none where it is no such file. Reads no other array."""
    import numpy as np

    texts = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist()[:256]:
                if not member.filename.endswith(".npy") or member.file_size > MAX_TEXT:
                    continue
                with archive.open(member) as file:
                    if np.lib.format.read_magic(file) != (1, 0):
                        continue
                    shape, _, dtype = np.lib.format.read_array_header_1_0(file)
                    if dtype.kind == "U" and shape == () and dtype.itemsize <= MAX_TEXT:
                        text = file.read(dtype.itemsize).decode("utf-32-le" if dtype.str[0] != ">" else "utf-32-be")
                        texts[member.filename.removesuffix(".npy")] = text.rstrip("\0")
    except (OSError, ValueError, EOFError, KeyError, RuntimeError, NotImplementedError, zipfile.BadZipFile):
        return {}
    return texts


def believable(report: Mapping[str, Any], name: str, generator_name: str) -> tuple[float, float]:
    """Return the strengths between which a direction's faces stay believable."""
    return known_ends(report, name, generator_name) or ANY_BELIEVABLE


def known_ends(report: Mapping[str, Any], name: str, generator_name: str) -> tuple[float, float] | None:
    """Return the strengths between which a direction's faces stay believable; None where nobody has looked."""
    return Known(name, "", generator_name, "", dict(report)).known_ends


def list_directions(generator: str) -> list[str]:
    """Return a line for each direction that ships for a generator, what people ask for most first."""
    names = sorted(
        shipped_names(generator), key=lambda name: (FIRST.index(name) if name in FIRST else len(FIRST), name)
    )
    lines = []
    for name in names:
        known = look_up(name, generator)
        lines.append(f"{name}: {told(name, f'strength 1 is {known.unit}' if known else '')}")
    return lines or [f"none for {generator}; fit one with `invertigo directions fit`"]


def order(name: str) -> tuple[int, str]:
    """Return what sorts names of directions: those in `FIRST`, then the others by the alphabet."""
    return (FIRST.index(name) if name in FIRST else len(FIRST), name)


def told(name: str, unit: str = "") -> str:
    """Say what a person sees of a direction, as `+ older, - younger`; of one that is not known, what its unit says."""
    if name in SEEN:
        plus, minus = SEEN[name]
        return f"+ {plus}, - {minus}"
    return unit


def check_direction_name(text: str, generator: str) -> None:
    """Refuse what is neither a direction's file nor ships for an embedded generator; raises `ConfigError`."""
    if is_remote(text) or Path(text).is_file():
        return
    if Path(text).suffix == ".npz":
        raise ConfigError(f"{text}: no such file; give a direction file, or a name of `invertigo directions list`")
    known = shipped_names(generator)
    if text in known or not known:
        return
    name, equals, strength = text.partition("=")
    if equals and name in known:
        raise ConfigError(f"'{text}': a strength is written {name}:{strength}")
    raise ConfigError(unknown_direction(text, generator, known))


def unknown_direction(text: str, generator: str, known: Iterable[str]) -> str:
    """Say that a direction is not known, and what was probably meant."""
    if name := nearest(text, known):
        return f"no direction '{text}' for {generator}; did you mean {name}? `invertigo directions list` shows all"
    names = ", ".join(known) or "none"
    return (
        f"no direction '{text}' for {generator}; shipped for it: {names}; fit one with `invertigo directions fit`, "
        "or give a direction file"
    )
