"""Options that several operations have."""

from pathlib import Path
from typing import Any

from editing.config import DEFAULT_SEARCH
from editing.operations.base import AUTO
from stylegan_core.options import option

MAX_STRENGTH = 100.0
EXPRESSION = 0.0  # light and colour that a pasted expression brings beside its motion


def strength_option() -> Any:
    """How far an edit goes."""
    text = "strength of the edits that do not name their own; negative goes the other way; auto: till a judge sees it"
    return option(1.0, text, words=(AUTO,), least=-MAX_STRENGTH, most=MAX_STRENGTH)


def ceiling_option() -> Any:
    """How far the person may change."""
    text = "identity distance to the unedited render that is not exceeded"
    return option(DEFAULT_SEARCH.identity_ceiling, text, least=0, was="identity_floor")


def layers_option() -> Any:
    """The layers of the code that an edit moves or takes."""
    text = "layers that the edits move or take: coarse, middle, fine, 4-7, ...; empty: the direction's own, or all"
    return option("", text, check=check_layers)


def check_layers(text: str) -> None:
    """Refuse what no generator could read as layers; raises `ConfigError`."""
    from editing.layers import MAX_LAYERS, parse_layers

    if text:
        parse_layers(text, MAX_LAYERS)


def told_strength(strength: float | str) -> str:
    """Return a strength as labels have it."""
    return strength if isinstance(strength, str) else f"{strength:g}"


def told_code(code: Any) -> str:
    """Name a code (a latent's file, a photo, a seed's number, or a `Latent`) as labels have it."""
    if not isinstance(code, str):
        return "latent"
    return f"seed {code}" if code.isdigit() else Path(code).stem


def is_latent(value: Any) -> bool:
    """Tell whether a value is a `Latent`, which may stand where its file may."""
    return hasattr(value, "ws")


def files_of(*codes: Any) -> list[Path]:
    """Return those of the codes that are files or folders."""
    return [Path(code) for code in codes if isinstance(code, str) and not code.isdigit()]
