"""The files that ship with the package; MODEL_CARD.md says what each is and under which licence."""

from pathlib import Path

DEFAULT_GENERATOR = "faces128"


def asset_path(name: str) -> Path:
    """Return the path of the shipped file `name`."""
    return Path(__file__).parent / name
