"""The same edit for every frame of a film."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from editing.config import EditConfig
from editing.early import tell_strengths
from editing.edit import Workshop
from editing.editor import Editor
from editing.operations.base import Edit, OpenCode, Operation, Report
from editing.operations.render import Render, three_channels
from editing.region_names import check_regions
from editing.render import paste_into_photo
from inversion.config import InvertConfig, ProjectionConfig, VideoConfig
from inversion.invert import Inverter
from inversion.latents import Latent
from inversion.video import Change, invert_video
from stylegan_core.console import Console
from stylegan_core.credentials import Done, Seal, Signature
from stylegan_core.errors import ConfigError
from stylegan_core.files import read_bytes
from stylegan_core.films import can_write_mp4, open_film
from stylegan_core.images import Photo, encode_png, to_uint8
from stylegan_core.networks.protocol import Generator
from stylegan_core.photo_files import pictures_in


def edit_video(
    film: str, out: str, operations: Sequence[Operation], config: VideoConfig, invert: InvertConfig,
    projection: ProjectionConfig, console: Console, signature: Signature | None = None,
) -> None:  # fmt: skip
    """Invert the face in a film (a video, or a folder of frames), edit every frame alike, and put it back.

    `signature` signs the MP4."""
    check_regions(config.region)
    tell_strengths(operations, invert, console)

    def find_change(inverter: Inverter) -> tuple[Change, Seal | None]:
        open_code = Workshop(inverter, EditConfig(), Path(out), console).open_code
        edits = resolve_steady(operations, inverter.generator, open_code)

        def change(latent: Latent, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
            photo = Photo(frame, Path(film), latent.photo_sha256)
            editor = Editor(inverter.generator, latent, film, photo, config.paste, config.region, config.restore)
            face = editor.apply(*edits)
            if config.paste == "none":
                return to_uint8(three_channels(face.edited))[0]
            return paste_into_photo(photo, [face], config.paste, config.restore)[0]

        label = " + ".join(edit.label for edit in edits) or "inversion"
        return change, sealing_film(signature, Path(film), label, inverter.generator)

    invert_video(film, out, config, invert, projection, find_change, console)


def sealing_film(signature: Signature | None, source: Path, label: str, generator: Generator) -> Seal | None:
    """Return what signs an MP4 as the film `source` (or a folder of frames: its first) edited by `generator`; None
    without a signature."""
    if signature is None:
        return None
    if not can_write_mp4():
        raise ConfigError("--sign signs the MP4, which needs imageio-ffmpeg: pip install 'invertigo[video]'")
    first = encode_png(next(open_film(source).frames()))
    file = pictures_in(source)[0] if source.is_dir() else source
    done = Done(label, generator.meta.name, generator.meta.fingerprint, read_bytes(file), file.name, first)
    return partial(signature.seal, done=done)


def resolve_steady(operations: Sequence[Operation], generator: Generator, open_code: OpenCode) -> list[Edit]:
    """Resolve operations for a film; raises `ConfigError` for one that would do something else to every frame."""
    edits = [repeat_first(operation.resolve(generator, open_code)) for operation in operations]
    for edit in edits:
        if not edit.steady:
            raise ConfigError(
                f"'{edit.label}' is looked for on every picture anew, and would flicker in a film; give a number "
                "for its strength, and keep no identity (and no border, but with --transfer, --set and the like)"
            )
    return edits


def repeat_first(edit: Edit) -> Edit:
    """Return an edit for a film: one whose step is looked for does to every frame what it found for the first."""
    if edit.steady or not edit.repeats:
        return edit
    found: list[tuple[Tensor, Report]] = []

    def apply(ws: Tensor, render: Render) -> tuple[Tensor, Report]:
        if found:
            step, again = found[0]
            return ws + step, again
        moved, report = edit.apply(ws, render)
        found.append((moved - ws, {key: report[key] for key in ("styles", "edits") if key in report}))
        return moved, report

    return Edit(edit.label, apply)
