"""Pictures and files of an edit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from editing.border import fade_rim, keeps_border
from editing.curve import draw_curve
from editing.operations.render import face_edit
from editing.regions import aligned_mask, confine, photo_mask
from inversion.faces.align import align_face
from inversion.faces.judges import identity_distance
from inversion.faces.paste import PasteResult, paste_faces
from inversion.invert_files import DIFFERENCE_GAIN, difference_picture
from inversion.latents import Latent, save_latent
from inversion.render import render_code
from stylegan_core.credentials import Seal
from stylegan_core.devices import fitting_threads
from stylegan_core.errors import ImageError
from stylegan_core.files import read_bytes, write_atomic, write_text
from stylegan_core.images import Photo, encode_picture, encode_png, labelled_row, read_photo, to_uint8, write_png
from stylegan_core.networks.protocol import Generator

if TYPE_CHECKING:
    from editing.pasted import EditedPhoto

COMPARED = 256  # pixels at least of a face in comparison.png
NOTE = "Edited by a generative network (Invertigo): not an unaltered photograph."


@dataclass(frozen=True)
class EditedFace:
    """One edited face: its code, and the renders with and without the edits."""

    generator: Generator
    latent: Latent
    photo: Photo | None = None  # that it is cut from, where it is at hand
    notes: tuple[str, ...] = ()  # what whoever asked for the edits should know
    region: str = ""  # where the edits may show, as `parse_regions` reads it; empty: everywhere

    @cached_property
    def edited(self) -> Tensor:
        """The render of the edited code, [1, C, R, R] in about [-1, 1]; outside the region it is the unedited one, and
        so is its rim where all edits keep it."""
        held = keeps_border(self.latent.report.get("edits"))
        shown = fade_rim(self.inverted, self.rendered) if held else self.rendered
        if not self.region:
            return shown
        mask = aligned_mask(self.region, [self.inverted, self.rendered], self.generator, self.latent.quad, self.photo)
        return self.inverted + mask.to(self.inverted) * (shown - self.inverted)

    @cached_property
    def rendered(self) -> Tensor:
        """The render of the edited code, without regard to a region."""
        with fitting_threads(self.generator.img_resolution):
            return render_code(self.generator, self.latent)

    @cached_property
    def inverted(self) -> Tensor:
        """The render of the inversion that the edits started from, [1, C, R, R] in about [-1, 1]."""
        with fitting_threads(self.generator.img_resolution):
            return render_code(self.generator, self.latent, origin=True)

    def paste(self, mode: str = "auto", photo: str | Path = "") -> EditedPhoto:
        """Put the face back into its photo: the one that `photo` names, the one at hand, or where the latent says.

        `mode` is auto, warp, delta, full or none (docs/editing.md). Raises `ImageError` where the photo is not to be
        found, or is another."""
        from editing.pasted import paste_photo  # which imports this module

        found = find_photo(self.latent, str(photo)) if photo or self.photo is None else self.photo
        if found is None:
            raise ImageError("the photo of this latent is not known or has moved; name it, as paste(photo='me.jpg')")
        return paste_photo(found, [self], mode)

    def save(self, path: str | Path) -> None:
        """Write the aligned face as .png, .jpg or .webp, which says that it is edited."""
        content = encode_picture(Path(path).suffix, to_uint8(self.edited)[0], NOTE)
        write_atomic(path, lambda file: file.write(content))


def find_photo(latent: Latent, given: str = "") -> Photo | None:
    """Return the photo a latent was made from: `given`, or where it was; None where it is gone.

    A file is only decoded if its SHA-256 is the one in the latent; another photo that was given is refused."""
    if not latent.photo_sha256 or latent.quad is None:
        return None
    recorded = latent.report.get("photo", {}) if isinstance(latent.report.get("photo", {}), dict) else {}
    path = Path(given or str(recorded.get("path", "")))
    if not given and not path.is_file():
        return None
    if hashlib.sha256(read_bytes(path)).hexdigest() != latent.photo_sha256:
        if given:
            raise ImageError(f"{path}: not the photo this latent was made from; give that one, or invert this one")
        return None
    return read_photo(path)


def paste_into_photo(
    photo: Photo, faces: Sequence[EditedFace], mode: str, restore: str = "auto"
) -> tuple[NDArray[np.uint8], list[PasteResult]]:
    """Paste every face into the photo [H, W, 3]; return it and a result for each face.

    `restore` names what brings detail back where pixels are pulled apart: auto, none, or a file."""
    edits = []
    for face in faces:
        edits.append(face_edit(face.generator, face.latent, face.inverted, face.edited, restore))
    rgb, results = paste_faces(photo.rgb, edits, mode)
    return (rgb, results) if not any(face.region for face in faces) else _confined(photo, faces, results)


def _confined(
    photo: Photo, faces: Sequence[EditedFace], results: Sequence[PasteResult]
) -> tuple[NDArray[np.uint8], list[PasteResult]]:
    """Take back what pasting changed outside the faces' regions."""
    height, width = photo.rgb.shape[:2]
    mask = np.zeros((height, width), np.float32)
    for face, result in zip(faces, results, strict=True):
        if face.region:
            assert face.latent.quad is not None
            renders, alignment = [face.inverted, face.rendered], face.generator.meta.alignment
            own = photo_mask(face.region, face.latent.quad, renders, alignment, height, width)
        else:
            own = (result.mask > 0).astype(np.float32)
        mask = np.maximum(mask, own)
    rgb = confine(photo.rgb, results[0].rgb, mask)
    changed = (rgb != photo.rgb).any(axis=-1)
    return rgb, [replace(item, rgb=rgb, pixels_changed=int((changed & (item.mask > 0)).sum())) for item in results]


def write_photo(path: Path, photo: Photo, rgb: NDArray[np.uint8], seal: Seal | None = None) -> None:
    """Write the edited photo as PNG, with the photo's alpha, colour profile and grayness; `seal` signs it."""
    content = encode_png(rgb, NOTE, photo.alpha, photo.icc_profile, photo.grayscale)
    content = seal(content, path.name) if seal else content
    write_atomic(path, lambda file: file.write(content))


def write_edit(
    folder: Path, face: EditedFace, pictures: Mapping[str, NDArray[np.uint8]], report: dict[str, Any],
    seal: Seal | None = None,
) -> None:  # fmt: skip
    """Write edited.png (which `seal` signs), comparison.png, latent.npz and report.json of one face into `folder`.

    `pictures` are what is compared, under their labels; the latent's report takes the warnings of `report`."""
    content = encode_png(to_uint8(face.edited)[0], NOTE)
    content = seal(content, "edited.png") if seal else content
    write_atomic(folder / "edited.png", lambda file: file.write(content))
    side = max(picture.shape[0] for picture in pictures.values())
    row = labelled_row(list(pictures.values()), list(pictures), max(COMPARED, side))
    write_png(folder / "comparison.png", row, NOTE)
    if "strength_search" in face.latent.report:
        write_png(folder / "strength.png", draw_curve(face.latent.report["strength_search"]))
    write_text(folder / "report.json", json.dumps(report, indent=2))
    warnings: dict[str, Any] = {name: report[name] for name in ("warnings", "edit_warnings") if name in report}
    save_latent(folder / "latent.npz", replace(face.latent, report={**face.latent.report, **warnings}))


def compared_renders(face: EditedFace, label: str) -> dict[str, NDArray[np.uint8]]:
    """Return the renders with and without the edit under their labels, after the photo where it is known."""
    edited, inverted = to_uint8(face.edited)[0], to_uint8(face.inverted)[0]
    if face.photo is None or face.latent.quad is None:
        return {"inversion": inverted, label: edited}
    target = to_uint8(align_face(face.photo.rgb, face.latent.quad, face.generator.img_resolution))[0]
    difference = difference_picture(target, inverted)
    return {"target": target, "inversion": inverted, f"difference x{DIFFERENCE_GAIN}": difference, label: edited}


def edit_scores(face: EditedFace) -> dict[str, float]:
    """Compare an edited render with the unedited one."""
    scores = {"mean_absolute_change": float((face.edited - face.inverted).abs().mean())}
    if face.edited.shape[1] == 3:
        renders = face.edited.clamp(-1, 1), face.inverted.clamp(-1, 1)
        scores["identity_distance_to_inversion"] = float(identity_distance(*renders, face.generator.meta.alignment))
    return scores
