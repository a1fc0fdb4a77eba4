"""Options that several operations have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from editing.config import DEFAULT_SEARCH
from editing.operations.base import AUTO, Edit, Report
from stylegan_core.errors import ConfigError
from stylegan_core.options import option

if TYPE_CHECKING:
    from torch import Tensor

    from editing.operations.render import Render

BORDER = "border"  # in `keep`: no direction, but the picture's rim
BORDER_HELP = "border leaves the picture's rim (neck, hair, shoulders) where it is"
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


def keep_option() -> Any:
    """What an edit leaves alone that is no step along a direction: nothing, or the picture's rim."""
    return option("", f"leave this alone: {BORDER_HELP}", choices=("", BORDER), part=kept_border)


def kept_border(keep: str) -> str:
    """Return what is meant for every edit of all that one command keeps."""
    return BORDER if BORDER in names_of(keep) else ""


def told_kept(keep: str) -> str:
    """Say what is kept, behind what an operation does; nothing where nothing is."""
    return f", keeping {keep}" if keep else ""


def names_of(text: str) -> list[str]:
    """Return names that are separated by commas."""
    return [name for name in (part.strip() for part in text.split(",")) if name]


def keeping(edit: Edit, keep: str, attribute: str = "", adds: bool = True) -> Edit:
    """Return the edit as it is, or one that leaves the picture's rim alone if `keep` names the border.

    `attribute` is the judge of what the edit does, empty where none is known; `adds` tells whether it takes the same
    step from every code, which a film may repeat."""
    if BORDER not in names_of(keep):
        return edit

    def apply(ws: Tensor, render: Render) -> tuple[Tensor, Report]:
        import torch

        from editing.border import BOUND, hold_border_of

        with torch.no_grad():
            before = render(ws)
        moved, report = edit.apply(ws, render)
        held = hold_border_of(render.after(report), moved, before, attribute)
        told = {"before": held.before, "code": held.after, "after": held.shown}
        border = {"border": {name: round(value, 5) for name, value in told.items()}}
        notes = report.get("notes", [])
        if held.after > BOUND:
            notes = [
                *notes,
                f"the code alone still changes the rim by {held.after:.4f} of the range (by {held.before:.4f} without "
                f"keep); in the picture it fades into the unedited one, which leaves {held.shown:.4f}",
            ]
        return held.ws, {**report, "edits": [{**said, **border} for said in report.get("edits", [])], "notes": notes}

    return Edit(edit.label, apply, steady=False, repeats=adds)


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
