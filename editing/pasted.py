"""A whole photo with edited faces in it, and what is measured on it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from editing.render import NOTE, EditedFace, paste_into_photo
from inversion.faces.align import align_face, quad_side
from inversion.faces.attributes import UNITS
from inversion.faces.doubts import doubts_of_edit
from inversion.faces.looks import PhotoScores, score_photo
from inversion.faces.measure_table import MEASURES, POSES
from inversion.faces.paste import PasteResult, changed_pixels, shows_face
from inversion.latents import Latent, edits_of
from stylegan_core.devices import fitting_threads
from stylegan_core.files import write_atomic
from stylegan_core.images import Photo, encode_picture, to_uint8

CLOSE_UP = 512  # pixels at most of a face in a comparison
HARDLY = 0.1  # strength of a turn that need not be seen, but is told where the head stays as it is


@dataclass(frozen=True)
class EditedPhoto:
    """A whole photo with edited faces in it."""

    photo: Photo  # as it was
    rgb: NDArray[np.uint8]  # [H, W, 3]
    faces: tuple[PasteResult, ...]  # what pasting did, a face
    sources: tuple[EditedFace, ...] = ()  # what was pasted, a face

    @cached_property
    def scores(self) -> tuple[PhotoScores, ...]:
        """What the edits did to each face, measured on the photo before and after them."""
        found = []
        for face in self.sources:
            assert face.latent.quad is not None
            alignment = face.generator.meta.alignment
            found.append(score_photo(self.photo.rgb, self.rgb, face.latent.quad, alignment))
        return tuple(found)

    @cached_property
    def doubts(self) -> tuple[tuple[str, ...], ...]:
        """What does not look believable, as sentences, a face; nothing of what no detector takes for a face."""
        found = []
        for face, result, scores in zip(self.sources, self.faces, self.scores, strict=True):
            assert face.latent.quad is not None
            looked_at = result.pixels_changed and shows_face(self.photo.rgb, face.latent.quad)
            towards = {**turned(face.latent, scores), **judged(face.latent)}
            found.append(tuple(doubts_of_edit(scores, towards, result.mode) if looked_at else ()))
        return tuple(found)

    def close_ups(self, index: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return one face of the photo before and after, [S, S, 3] with S its own size, up to `CLOSE_UP` pixels."""
        face = self.sources[index]
        assert face.latent.quad is not None
        side = int(min(CLOSE_UP, max(face.generator.img_resolution, quad_side(face.latent.quad))))
        before, after = (to_uint8(align_face(rgb, face.latent.quad, side))[0] for rgb in (self.photo.rgb, self.rgb))
        return before, after

    @cached_property
    def pixels_changed(self) -> int:
        """How many of the photo's pixels are not what they were."""
        return int(changed_pixels(self.photo.rgb, self.rgb).sum())

    def describe(self) -> str:
        """Say how much pasting changed."""
        changed, pixels = self.pixels_changed, self.rgb.shape[0] * self.rgb.shape[1]
        seams = ", ".join(f"{result.seam_ratio:.2f}" for result in self.faces)
        mode = self.faces[-1].mode
        return f"{changed:,} of {pixels:,} pixels changed ({mode}; seam gradient {seams} of the photo's)"

    def report(self, index: int) -> dict[str, Any]:
        """Return what a report says of how a face was pasted."""
        result = self.faces[index]
        return {
            "mode": result.mode,
            "pixels_changed": self.pixels_changed,
            "pixels": self.rgb.shape[0] * self.rgb.shape[1],
            "pixels_changed_by_this_face": result.pixels_changed,
            "seam_gradient_ratio": round(result.seam_ratio, 4),
            "colour_shift": [round(value, 4) for value in result.colour_shift],
        }

    def save(self, path: str | Path) -> None:
        """Write it as .png, .jpg or .webp with the photo's colour profile; its metadata says that it is edited."""
        photo = self.photo
        content = encode_picture(Path(path).suffix, self.rgb, NOTE, photo.alpha, photo.icc_profile, photo.grayscale)
        write_atomic(path, lambda file: file.write(content))


def paste_photo(photo: Photo, faces: Sequence[EditedFace], mode: str = "auto", restore: str = "auto") -> EditedPhoto:
    """Paste faces of one photo into it, all at once; `restore` as in `paste_into_photo`."""
    with fitting_threads(max((face.generator.img_resolution for face in faces), default=0)):
        rgb, results = paste_into_photo(photo, faces, mode, restore)
    return EditedPhoto(photo, rgb, tuple(results), tuple(faces))


def judged(latent: Latent) -> dict[str, float]:
    """Return the judges of a latent's edits, and the sum of the strengths; a stranger's report may hold anything."""
    found: dict[str, float] = {}
    for edit in edits_of(latent.report):
        judge, strength = edit.get("judge"), edit.get("strength")
        if isinstance(judge, str) and judge in UNITS and isinstance(strength, int | float):
            found[judge] = found.get(judge, 0.0) + float(strength)
    return found


def measures_set(latent: Latent) -> dict[str, float]:
    """Return what a latent's edits set of what is measured, and the values; a stranger's report may hold anything."""
    found = [edit.get("set") for edit in edits_of(latent.report)]
    pairs = ((name, value) for values in found if isinstance(values, dict) for name, value in values.items())
    return {name: float(value) for name, value in pairs if name in MEASURES and isinstance(value, int | float)}


def turned(latent: Latent, scores: PhotoScores) -> dict[str, float]:
    """Return the angles of the head that were set to something else than the photo's, each with a small strength."""
    ways = {name: value - scores.before[name] for name, value in measures_set(latent).items() if name in POSES}
    return {name: math.copysign(HARDLY, way) for name, way in ways.items() if abs(way) > MEASURES[name].tolerance}


def told_scores(photo: EditedPhoto | None, index: int) -> str:
    """Say in a line what is measured of a face in the edited photo; nothing where there is no photo."""
    if photo is None:
        return ""
    scores = photo.scores[index]
    latent = photo.sources[index].latent
    names = dict.fromkeys([*judged(latent), *measures_set(latent)])
    said = [f"{name} {scores.before[name]:.2f} -> {scores.after[name]:.2f}" for name in names]
    said += [f"identity distance to the photo {scores.identity_distance:.2f}"]
    said += [f"sharpness of the mouth {scores.mouth_sharpness:.2f}", f"foreign colour {scores.foreign_colour:.2f}"]
    return f" ({', '.join(said)})"


def mean_scores(photo: EditedPhoto) -> dict[str, float]:
    """Return what a batch's table has of an edited photo, as means over its faces: the judges of the edits before and
    after, how far each measure of an expression moved, and `PhotoScores`' other numbers."""
    rows = []
    for face, scores in zip(photo.sources, photo.scores, strict=True):
        row = {
            "edit_identity_distance": scores.identity_distance,
            "mouth_sharpness": scores.mouth_sharpness,
            "foreign_colour": scores.foreign_colour,
        }
        for name in judged(face.latent):
            row |= {f"{name}_before": scores.before[name], f"{name}_after": scores.after[name]}
        for name in (name for name, measure in MEASURES.items() if measure.expression):
            row[f"{name}_change"] = scores.after[name] - scores.before[name]
        rows.append(row)
    names = sorted({name for row in rows for name in row})
    found = {name: [row[name] for row in rows if name in row] for name in names}
    return {name: round(sum(values) / len(values), 4) for name, values in found.items()}
