"""Options that several operations have."""

from pathlib import Path
from typing import Any

from editing.config import DEFAULT_SEARCH
from editing.operations.base import AUTO
from stylegan_core.errors import ConfigError
from stylegan_core.options import option

MAX_STRENGTH = 100.0
EXPRESSION = 0.0  # light and colour that a pasted expression brings beside its motion


def strength_option() -> Any:
    """How far an edit goes."""
    text = "strength of the edits that name none; negative: the other way; auto: as little as a classifier sees"
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


def check_code(text: str, wanted: str) -> None:
    """Refuse what is neither a seed's number nor a file or folder that is there; raises `ConfigError`."""
    if not text.isdigit() and not Path(text).exists():
        what = "is an option" if text.startswith("--") else "is no file or folder"
        raise ConfigError(f"'{text}' {what}; {wanted}")


def told_strength(strength: float | str) -> str:
    """Return a strength as labels have it."""
    return strength if isinstance(strength, str) else f"{strength:g}"


def told_code(code: Any) -> str:
    """Name a code (a latent's file, a photo, a seed's number, or a `Latent`) as labels have it."""
    if not isinstance(code, str):
        return "latent"
    path = Path(code)
    if path.name == "latent.npz" and path.resolve().parent.name.startswith("face"):
        return path.resolve().parent.parent.name  # as the photo was called that it is of
    return f"seed {code}" if code.isdigit() else path.stem


def is_latent(value: Any) -> bool:
    """Tell whether a value is a `Latent`, which may stand where its file may."""
    return hasattr(value, "ws")


def files_of(*codes: Any) -> list[Path]:
    """Return those of the codes that are files or folders."""
    return [Path(code) for code in codes if isinstance(code, str) and not code.isdigit()]
