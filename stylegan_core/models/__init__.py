"""Getting models: what is public, where it is kept, and how it comes here."""

from pathlib import Path

from stylegan_core.models.registry import MODELS


def is_remote(text: str) -> bool:
    """Tell whether a text names a file that lies elsewhere (https://..., hf:...), or a public model by name."""
    return "://" in text or text.startswith("hf:") or text in MODELS


def local_file(text: str) -> Path:
    """Return the file that NAME|FILE|URL|hf:OWNER/REPO/FILE[@REVISION] names, fetched and checked where it is remote.

    A file of that very name on this machine goes before a public model."""
    path = Path(text).expanduser()
    if not is_remote(text) or path.is_file():
        return path
    from stylegan_core.models.resolve import resolve

    return resolve(text)
