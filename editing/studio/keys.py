"""The page's keyboard: which key presses what, as the page listens for it and as it tells of it."""

import json
from html import escape

# key -> (selector of what it presses, what that does); capitals with Shift
PRESSES = {
    "z": ("#undo", "undo (also Ctrl+Z)"),
    "Z": ("#redo", "redo (also Ctrl+Shift+Z, Ctrl+Y)"),
    "c": ("#zoom input", "close-up"),
    "p": ("#placing input", "set points"),
    "a": ("#keep-a", "keep the edit as A"),
    "b": ("#keep-b", "keep the edit as B"),
    "x": ("#compare input", "compare A with B"),
    "n": ("#neutral", "neutral expression"),
    "r": ("#reset", "reset all"),
}
HOLD = "h"  # shows the photo before, for as long as it is held
OTHERS = {
    HOLD: "hold: the photo before",
    "Esc": "forget the point that was begun",
    "arrows": "move the slider that has the focus",
}


def listening() -> str:
    """Return the script that makes the page listen."""
    return f"invertigo.listen({json.dumps({key: selector for key, (selector, _) in PRESSES.items()})}, '{HOLD}');"


def told_keys() -> str:
    """Return the keys as the page tells of them."""
    keys = {key: what for key, (_, what) in PRESSES.items()} | OTHERS
    rows = "".join(f"<div><kbd>{escape(key)}</kbd> {escape(what)}</div>" for key, what in keys.items())
    return f'<details class="keys"><summary>Keyboard</summary>{rows}</details>'
