"""What edits of an inversion do: to their attribute, the person, the photo, and the code when it is found again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from inversion.faces.align import whole_image_quad
from inversion.faces.attributes import PROBABILITY
from inversion.faces.judges import identity_distance
from inversion.faces.paste import FaceEdit, paste_faces
from inversion.faces.traits import dependency, judge_of, trait_spread, traits
from inversion.task import Projection
from stylegan_core.directions import Direction
from stylegan_core.errors import ConfigError
from stylegan_core.images import to_uint8
from stylegan_core.metrics.evaluate import collect
from stylegan_core.metrics.extractors import Extractor
from stylegan_core.metrics.frechet import frechet_distance
from stylegan_core.networks.protocol import Alignment, Generator
from stylegan_core.styles import Styles, added

FFHQ = Alignment()
FEWEST = 2  # images of a kind, of which a Frechet distance can be taken


@dataclass(frozen=True)
class Outcome:
    """What a method made of one image."""

    image: Tensor  # [1, C, R, R]
    render: Callable[
        [Tensor], Tensor
    ]  # ws [N, num_ws, w_dim] -> images, with all that the method found beside the code
    result: Projection
    seconds: float
    peak_mb: float
    # The same for codes to whose styles a step is added; None where a method's render knows of none.
    styled: Callable[[Styles], Callable[[Tensor], Tensor]] | None = None

    def edited(self, edit: Direction, strength: float) -> Tensor:
        """Render the inversion after an edit, [1, C, R, R] in [-1, 1]."""
        with torch.no_grad():
            ws = self.result.ws
            if edit.styles and self.styled is None:
                raise ConfigError(
                    f"{edit.name} moves single channels, of which this render knows nothing; take another method"
                )
            render = self.styled(added({}, edit.styles, strength)) if edit.styles and self.styled else self.render
            return render(ws + strength * edit.vector.to(ws)).clamp(-1, 1)


def edit_effect(outcome: Outcome, edit: Direction, strength: float, generator: Generator) -> dict[str, float]:
    """Return what an edit does to one inversion: the judge's change, the identity distance, the background's change.

    The background is the image's rim, a tenth of its side wide; its change is the mean absolute one in [0, 2]."""
    alignment, before, after = generator.meta.alignment, outcome.image.clamp(-1, 1), outcome.edited(edit, strength)
    rim = torch.ones(before.shape[2:], dtype=torch.bool, device=before.device)
    width = max(1, before.shape[-1] // 10)
    rim[width:-width, width:-width] = False
    effect = {"background": float((after - before).abs()[:, :, rim].mean())}
    if before.shape[1] == 3:
        effect["identity"] = float(identity_distance(after, before, alignment))
        if edit.attribute:
            score = judge_of(edit.attribute).score
            effect["change"] = float(score(after, alignment) - score(before, alignment))
    return effect


@torch.no_grad()
def attribute_dependency(outcomes: Sequence[Outcome], edit: Direction, strength: float, generator: Generator) -> float:
    """Return how much an edit changes other traits for each unit of its own (Wu et al. 2021), over inversions."""
    alignment, rows = generator.meta.alignment, []
    for outcome in outcomes:
        before, after = (
            traits(image, alignment) for image in (outcome.image.clamp(-1, 1), outcome.edited(edit, strength))
        )
        rows.append((after - before).cpu() / trait_spread(generator))
    return dependency(torch.cat(rows), edit.attribute)


def pasted_effect(photo: Tensor, before: Tensor, after: Tensor, alignment: Alignment = FFHQ) -> dict[str, float]:
    """Return what pasting an edit does to its photo, all [1, C, R, R] in [-1, 1], the photo being an aligned face.

    `shift` is how far the photo went as a whole, in pixels, by phase correlation (Kuglin & Hines 1975): an edit is to
    leave a photo where it is. `untouched` is the share of its pixels that are bit for bit what they were."""
    photo, before, after = (image.detach().cpu().expand(-1, 3, -1, -1) for image in (photo, before, after))
    rgb = to_uint8(photo)[0]
    pasted, _ = paste_faces(rgb, [FaceEdit(whole_image_quad(*rgb.shape[:2]), after, before, alignment=alignment)])
    grey = [image.astype(np.float32).mean(axis=2) for image in (rgb, pasted)]
    import cv2  # slow to import, and the libraries that its wheel needs are not on every machine

    window = cv2.createHanningWindow(grey[0].shape[::-1], cv2.CV_32F)
    (right, down), _ = cv2.phaseCorrelate(grey[0], grey[1], window)
    return {"shift": float(np.hypot(right, down)), "untouched": float((rgb == pasted).all(axis=2).mean())}


def edit_consistency(ws: Tensor, again: Tensor, edit: Tensor, w_std: Tensor) -> float:
    """Return LEC (Tov et al. 2021, section 4.2) of codes [N, num_ws, w_dim], as a root mean square in units of `w_std`.

    `again` are the codes found for the renders of ws + edit. Taking the edit back should give ws."""
    return float(((again - edit - ws) / w_std).square().mean().sqrt())


@torch.no_grad()
def attribute_distances(
    outcomes: Sequence[Outcome], real: Tensor, edit: Direction, strength: float, alignment: Alignment,
    extractor: Extractor,
) -> dict[str, float]:  # fmt: skip
    """Return the Frechet distance of edited faces to real ones that have the attribute, `added`, or lack it, `removed`.

    As StyleFeatureEditor (Bobkov et al. 2024) measures edits: faces without the attribute get it, and are compared with
    the real images [M, 3, R, R] that have it; and the other way round. The judge tells which have it: those above one
    half, or above the real images' median for numbers that are none. A distance of too few images is left out."""
    judge = judge_of(edit.attribute)
    scores = torch.cat([judge.score(part, alignment) for part in real.split(16)])
    threshold = 0.5 if judge.unit == PROBABILITY else float(scores.median())
    has = [bool(judge.score(outcome.image.clamp(-1, 1), alignment) > threshold) for outcome in outcomes]
    found = {}
    for name, wanted, sign in (("added", True, 1.0), ("removed", False, -1.0)):
        compared = real[(scores > threshold) == wanted]
        chosen = [outcome for outcome, own in zip(outcomes, has, strict=True) if own != wanted]
        if min(len(compared), len(chosen)) >= FEWEST:
            edited = torch.cat([outcome.edited(edit, sign * strength) for outcome in chosen])
            made, there = (collect(part.split(16), extractor).statistics for part in (edited, compared))
            found[name] = frechet_distance(made, there)
    return found
