"""The files that ship with the package; MODEL_CARD.md says what each is and under which licence."""

import json
from functools import lru_cache
from pathlib import Path

from stylegan_core.spelling import suggestion

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


def no_such_generator(text: str) -> str:
    """Say that `text` is no checkpoint: neither a file, nor the name of a generator that ships."""
    if (successor := RETIRED.get(text)) is not None:
        return (
            f"{text} does not ship any more: {successor} took its place; use --generator {successor}, and "
            "invert photos again, since a latent fits the generator it was made with alone"
        )
    names = embedded_generators()
    return (
        f"no file {text}, and no embedded generator of that name{suggestion(text, names)}; embedded: "
        f"{', '.join(names)}; public ones: invertigo models list"
    )
