"""What an edit may look at while it is applied: renders of this face, and the photo that it goes back into."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from editing.operations.base import Report
from inversion.delta import tuned_synthesis
from inversion.faces.align import align_face, whole_image_quad
from inversion.faces.paste import FaceEdit, PasteResult, choose_mode, ellipse_mask, moved_by_paste, paste_faces
from inversion.faces.pins import Pins, joined
from inversion.faces.restore import find_restorer, find_teeth
from inversion.latents import Latent, edits_of
from inversion.render import render_code, renderer
from stylegan_core.images import Photo, to_tensor, to_uint8
from stylegan_core.networks.protocol import Alignment, Generator
from stylegan_core.styles import added

MAX_PINS, FARTHEST = 100, 1.0  # of one edit, and how far they may lie or go, in units of the face
FADED = 0.5  # of the paste's mask, which lets go of what moves towards its edge: so far it is made up for
SHOWN_SIDE = 256  # pixels of the photo's face in which searches paste: all that the judges look at


@dataclass(frozen=True)
class Render:
    """One face that is edited: how its codes are rendered, and where they are pasted."""

    generator: Generator
    latent: Latent  # before the edits: its noise inputs, tuned weights, correction, corners and origin
    photo: Photo | None = None  # that the face is cut from, where it is known
    paste: str = "auto"  # how the face goes back into it
    restore: str = "auto"  # what brings detail back there
    region: str = ""  # where edits may show, as `parse_regions` reads it; empty: everywhere

    def __call__(self, ws: Tensor) -> Tensor:
        """Render ws [N, num_ws, w_dim] as [N, C, R, R] in about [-1, 1], differentiably in `ws`."""
        return self._synthesis(ws)

    def after(self, report: Report) -> "Render":
        """Return how codes are rendered once an edit has been applied: with the styles that it moved."""
        step = report.get("styles")
        return replace(self, latent=replace(self.latent, styles=added(self.latent.styles, step))) if step else self

    def pasted(self, ws: Tensor) -> tuple[NDArray[np.uint8], PasteResult]:
        """Return the whole photo [H, W, 3] with the face as ws [1, num_ws, w_dim] has it, and where it changed.

        For a latent with a `photo` and corners only."""
        assert self.photo is not None and self.latent.quad is not None
        edit = face_edit(
            self.generator, replace(self.latent, ws=ws.detach().cpu()), self.inverted, restore=self.restore
        )
        rgb, results = paste_faces(self.photo.rgb, [edit], self.paste)
        return rgb, results[0]

    @torch.no_grad()
    def shown(self, ws: Tensor, edit: Mapping[str, Any] | None = None) -> Tensor:
        """Return the face as the edited photo will show it, [1, 3, r, r] in [-1, 1], for ws [1, num_ws, w_dim].

        `edit` is what the report will say of the edit that is looked for. Where the face goes back into no photo, the
        result is the render. Outside the `region` it is the photo, or the render of the inversion."""
        if self.photo is None or self.latent.quad is None or self.paste == "none":
            rendered = three_channels(self(ws))
            return self._within(rendered, three_channels(self.inverted), rendered) if self.region else rendered
        report = self.latent.report
        report = {**report, "edits": [*report.get("edits", []), edit]} if edit else report
        latent = replace(self.latent, ws=ws.detach().cpu(), report=report)
        rgb, mode = self._small_photo
        face = self._near_edit(latent) if mode == "motion" and self._near is not None else None
        face = face or face_edit(self.generator, latent, self.inverted, restore=self.restore)
        pasted, _ = paste_faces(rgb, [replace(face, quad=whole_image_quad(*rgb.shape[:2]))], mode)
        image = to_tensor(pasted)
        return self._within(image, to_tensor(rgb), face.edited) if self.region else image

    def _within(self, image: Tensor, before: Tensor, edited: Tensor) -> Tensor:
        """Return `image` [1, 3, r, r] in the region of a face whose render is `edited`, and `before` outside."""
        from editing.regions import aligned_mask  # which imports the judges

        renders = [three_channels(self.inverted), edited]
        mask = aligned_mask(self.region, renders, self.generator, self.latent.quad, self.photo)
        mask = F.interpolate(mask, size=image.shape[-2:], mode="bilinear", antialias=True, align_corners=False)
        return before + mask.to(image) * (image - before)

    def _near_edit(self, latent: Latent) -> FaceEdit:
        """Return what `motion` looks at, which is the code near W alone: one render instead of three."""
        assert latent.quad is not None and latent.near is not None and self._near is not None
        code = (latent.near + (latent.ws - latent.origin)).to(self.generator.w_avg.device)
        edited = three_channels(self.generator.synthesis(code, noise_mode="const"))
        networks = find_restorer(self.restore), find_teeth(self.restore)
        turned = turns(latent)
        return FaceEdit(
            latent.quad, edited, self._near, None, self.alignment, appearance(latent), *networks, turns=turned
        )

    @torch.no_grad()
    def farther(self, ws: Tensor, moved: Tensor, pins: Pins) -> Pins | None:
        """Return what `pins` have to add in the photo so that their places go as far as their `rest` says, where the
        step from ws to `moved`, both [1, num_ws, w_dim], takes landmarks along.

        None where the face does not go back by `motion`, whose pixels can be taken anywhere."""
        if self.photo is None or self.latent.quad is None:
            return None
        rgb, mode = self._small_photo
        if mode != "motion":
            return None
        fading = ellipse_mask(torch.from_numpy(pins.places + pins.rest)).numpy()[:, None]
        rest = pins.rest / np.maximum(fading, FADED)
        for code, share in ((moved, -1.0), (ws, 1.0)):
            latent = replace(self.latent, ws=code.detach().cpu(), report={})
            if not torch.equal(latent.ws, latent.origin) or latent.styles:
                edit = face_edit(self.generator, latent, self.inverted, restore="none")
                edit = replace(edit, quad=whole_image_quad(*rgb.shape[:2]))
                rest = rest + share * moved_by_paste(rgb, edit, pins.places)
        return Pins(pins.places, rest)

    @cached_property
    def _near(self) -> Tensor | None:
        """The render of the code near W without the edit; None where there is none beside the code itself."""
        latent = self.latent
        if latent.near is None or torch.equal(latent.near, latent.origin):
            return None
        return three_channels(self.generator.synthesis(latent.near.to(self.generator.w_avg.device), noise_mode="const"))

    @cached_property
    def _small_photo(self) -> tuple[NDArray[np.uint8], str]:
        """The photo's face by itself, and how it is pasted."""
        assert self.photo is not None and self.latent.quad is not None
        mode = choose_mode(self.paste, self.photo.rgb, self.latent.quad, self.generator.img_resolution)
        return to_uint8(align_face(self.photo.rgb, self.latent.quad, SHOWN_SIDE))[0], mode

    @property
    def alignment(self) -> Alignment:
        """How the generator's faces are cropped."""
        return self.generator.meta.alignment

    @cached_property
    def inverted(self) -> Tensor:
        """The render [1, C, R, R] of the inversion that the edits started from."""
        return render_code(self.generator, self.latent, origin=True)

    @cached_property
    def _synthesis(self) -> Callable[[Tensor], Tensor]:
        return renderer(self.generator, self.latent)


def face_edit(
    generator: Generator, latent: Latent, inverted: Tensor, edited: Tensor | None = None, restore: str = "auto"
) -> FaceEdit:
    """Return what pasting an edited latent needs: its own renders [1, C, R, R], and those of its code near W.

    `restore` names the restorer: auto, none, or a file. `near` takes the same step as the code did."""
    assert latent.quad is not None
    near = None
    if latent.near is not None and not torch.equal(latent.near, latent.origin):
        codes = torch.cat([latent.near + (latent.ws - latent.origin), latent.near]).to(generator.w_avg.device)
        with torch.no_grad():
            moved = tuned_synthesis(generator, None, latent.styles)(codes[:1], noise_mode="const")
            still = generator.synthesis(codes[1:], noise_mode="const")
        near = (three_channels(moved), three_channels(still))
    return FaceEdit(
        latent.quad,
        three_channels(render_code(generator, latent) if edited is None else edited),
        three_channels(inverted),
        near,
        generator.meta.alignment,
        appearance(latent),
        find_restorer(restore),
        find_teeth(restore),
        pins=pins_of(latent),
        turns=turns(latent),
    )


def pins_of(latent: Latent) -> Pins | None:
    """Return the places that a latent's edits take farther in the photo than its landmarks go; None without any."""
    found = []
    for edit in edits_of(latent.report):
        with suppress(ValueError, TypeError):  # a stranger's file may hold anything there
            rows = np.array(edit.get("pins", []), np.float64)
            if rows.shape[1:] == (4,) and len(rows) <= MAX_PINS and bool((np.abs(rows) <= FARTHEST).all()):
                found.append(Pins(rows[:, :2], rows[:, 2:]))
    return joined(found)


def turns(latent: Latent) -> bool:
    """Tell whether any of a latent's edits is to turn the head."""
    return any(edit.get("turns") is True for edit in edits_of(latent.report))


def appearance(latent: Latent) -> float:
    """Return how much light and colour a latent's edits bring beside their motion: the most that any of them does."""
    given = [edit.get("appearance", 1.0) for edit in edits_of(latent.report)]
    shares = [min(max(float(share), 0.0), 1.0) if isinstance(share, int | float) else 1.0 for share in given]
    return max(shares, default=1.0)


def three_channels(image: Tensor) -> Tensor:
    """Return a render [1, 1 or 3, R, R] as RGB, clipped to [-1, 1]."""
    image = image.clamp(-1, 1)
    return image.expand(-1, 3, -1, -1) if image.shape[1] == 1 else image
