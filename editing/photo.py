"""The whole way in one call: a photo in, an edited photo out."""

from pathlib import Path

from editing.editor import Editor
from editing.operations.base import Operation
from editing.operations.transfer import Transfer
from editing.pasted import EditedPhoto, paste_photo
from inversion.config import InvertConfig
from inversion.invert import Inverter
from stylegan_core.errors import ConfigError
from stylegan_core.images import Photo, read_photo


def edit_photo(
    source: str | Path | Photo, target: str | Path = "", *operations: Operation, inverter: Inverter | None = None,
    paste: str = "auto", **directions: float | str,
) -> EditedPhoto:  # fmt: skip
    """Invert a photo, edit its face, put it back, and write it to `target` (.png, .jpg or .webp) where one is named.

    `directions` are strengths by name, as smile=0.6 or age="auto"; `operations` come before them. All faces that the
    `inverter` picks are edited alike; without one, the largest face by the default generator and its encoder's code,
    without a search, as the command `edit` does. Give your own for several photos, so that it is loaded once. Raises
    `ToolkitError`."""
    edits = [*operations, *(Transfer(name, strength) for name, strength in directions.items())]
    if not edits:
        raise ConfigError("nothing to do: give operations, or strengths of directions, as smile=0.6")
    photo = source if isinstance(source, Photo) else read_photo(source)
    inverter = inverter or Inverter(InvertConfig(method="guess"))
    generator = inverter.generator
    faces = [
        Editor(generator, found.latent, str(photo.path), photo, paste).apply(*edits) for found in inverter.invert(photo)
    ]
    edited = paste_photo(photo, faces, paste)
    if target:
        edited.save(target)
    return edited
