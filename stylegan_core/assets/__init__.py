"""The files that ship with the package; MODEL_CARD.md says what each is and under which licence."""

import json
from functools import lru_cache
from pathlib import Path

DEFAULT_GENERATOR = "faces256"
RETIRED = {"faces128": DEFAULT_GENERATOR}  # embedded generators that shipped once, and what took their place


def asset_path(name: str) -> Path:
    """Return the path of the shipped file `name`."""
    return Path(__file__).parent / name


@lru_cache(maxsize=1)
def embedded_generators() -> dict[str, str]:
    """Return the names of the generators that ship, and their fingerprints; reads no weights."""
    found = {}
    for path in sorted(asset_path("").glob("*.safetensors")):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little"))).get("__metadata__", {})
        if "config" in header:
            found[path.stem] = header["fingerprint"]
    return found
