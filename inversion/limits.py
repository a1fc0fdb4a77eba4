"""What one photo of a batch may cost; imports no torch, so that a recipe can be read at once."""

from dataclasses import dataclass

from stylegan_core.files import MAX_FILE_BYTES
from stylegan_core.options import option
from stylegan_core.photo_files import MAX_PIXELS


@dataclass(frozen=True)
class Limits:
    """What one photo may cost."""

    max_pixels: int = option(MAX_PIXELS, "decoded pixels", above=0)
    max_bytes: int = option(MAX_FILE_BYTES, "bytes of the file", above=0)
    max_seconds: float = option(600.0, "seconds of reading and aligning, and of its share of the search", above=0)
    max_faces: int = option(64, "faces searched at a time in one photo's batch", above=0)
