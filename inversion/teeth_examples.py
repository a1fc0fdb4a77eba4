"""What teaches the painter of teeth: mouths that show theirs, in which a sketch stands in for them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from inversion.config import RestorerConfig
from inversion.faces.colours import lab
from inversion.faces.landmarks import LEFT_CORNER, RIGHT_CORNER, find_landmarks
from inversion.faces.motion import Points
from inversion.faces.mouth import find_opening
from inversion.faces.mouth_frame import MouthFrame
from inversion.faces.teeth import PICTURE, opening_mask, sketch
from stylegan_core.console import Console
from stylegan_core.errors import ConfigError
from stylegan_core.networks.protocol import Alignment
from stylegan_core.training.dataset import ImageDataset

FEWEST = 8  # mouths that training needs on each side
FEATHER = 0.02  # widths of the mouth over which the sketch goes over into the lips
JITTER = 0.03  # widths of the mouth by which its corners are moved, each by itself
GAIN, SHIFT = 0.08, 0.05  # deviations of light and of colour, in [-1, 1], that picture and sketch share
SKETCH_GAIN, SKETCH_SHIFT = 0.06, 0.04  # and that the sketch has beside
LIT = 0.5  # share of the opening's pixels, the lightest, that are taken for teeth


@dataclass(frozen=True)
class OpenMouth:
    """A face that shows teeth."""

    index: int  # of the image
    corners: Points  # [2, 2], in units of the face, as the edges
    edges: tuple[Points, Points]


class TeethExamples:
    """Mouths that show teeth, with a sketch of them in their place."""

    def __init__(self, data: ImageDataset, alignment: Alignment, config: RestorerConfig, console: Console) -> None:
        self.data = data
        first_held_out = data.num_images - config.holdout
        mouths = []
        with console.progress("mouths", data.num_images) as progress:
            for index in range(data.num_images):
                mouths += self._look_at(index, alignment)
                progress(index + 1, 0.0)
        self.mouths = [mouth for mouth in mouths if mouth.index < first_held_out]
        self.held_out = [mouth for mouth in mouths if mouth.index >= first_held_out]
        if min(len(self.mouths), len(self.held_out)) < FEWEST:
            raise ConfigError(
                f"{config.data}: {len(self.mouths)} mouths that show teeth to learn from, and {len(self.held_out)} in "
                f"the {config.holdout} images held out; expected at least {FEWEST} of each (--holdout)"
            )

    def draw(self, num: int, stream: torch.Generator, held_out: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """Return mouths [num, 3, h, w] with sketched teeth, masks [num, 1, h, w] of those, and the truth."""
        pool = self.held_out if held_out else self.mouths
        drawn = [self._example(pool[i], stream) for i in torch.randint(len(pool), (num,), generator=stream).tolist()]
        given, masks, truths = zip(*drawn, strict=True)
        return torch.cat(given), torch.cat(masks), torch.cat(truths)

    def _look_at(self, index: int, alignment: Alignment) -> list[OpenMouth]:
        face = self._face(index)
        points = find_landmarks(face, alignment)[0].double().numpy()
        opening = find_opening(face, points)
        return [] if opening is None else [OpenMouth(index, points[[LEFT_CORNER, RIGHT_CORNER]], opening)]

    def _face(self, index: int) -> Tensor:
        return self.data.batch([index])[0].expand(-1, 3, -1, -1)

    def _example(self, mouth: OpenMouth, stream: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        frame = MouthFrame.between(mouth.corners)
        moved = JITTER * frame.width * torch.randn(2, 2, generator=stream, dtype=torch.float64).numpy()
        frame = MouthFrame.between(mouth.corners + moved)
        upper, lower = (frame.inside(edge) for edge in mouth.edges)
        truth = PICTURE.of(self._face(mouth.index), frame).clamp(-1, 1)
        mask = opening_mask((upper, lower), FEATHER)
        drawn = sketch(upper, _lightest(truth, mask))
        gain, shift = 1 + GAIN * torch.randn((), generator=stream), SHIFT * torch.randn(1, 3, 1, 1, generator=stream)
        truth, drawn = (truth * gain + shift).clamp(-1, 1), drawn * gain + shift
        drawn = drawn * (1 + SKETCH_GAIN * torch.randn((), generator=stream))
        drawn = (drawn + SKETCH_SHIFT * torch.randn(1, 3, 1, 1, generator=stream)).clamp(-1, 1)
        example = truth + mask * (drawn - truth), mask, truth
        if float(torch.rand((), generator=stream)) < 0.5:
            return example
        given, mask, truth = (part.flip(3) for part in example)
        return given, mask, truth


def _lightest(picture: Tensor, mask: Tensor) -> Tensor:
    """Return the median colour [3] of the lightest pixels of a picture [1, 3, h, w] in a mask [1, 1, h, w]."""
    inside = picture[0, :, mask[0, 0] > 0.9]
    inside = inside if inside.shape[1] else picture[0].flatten(1)
    order = lab(inside[:, None])[:, 0].argsort(descending=True)
    return inside[:, order[: max(1, round(LIT * len(order)))]].median(dim=1).values
