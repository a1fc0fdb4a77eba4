"""How well covered mouths and eyes are told from uncovered ones by `inversion/faces/doubts.py`.

    python benchmarks/covered.py --data faces256.zip

Boxes are painted over mouths and eyes of aligned faces; the render is that of the encoder's guess. Prints quantiles of
the landmarks' distance between face and render, and of the contrast there, and the share of faces that is warned of."""

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # a script's own folder comes first, and holds namesakes

from inversion.encoder import guess_codes  # noqa: E402
from inversion.faces.doubts import contrast, doubts_of_inversion  # noqa: E402
from inversion.faces.landmarks import EYES, MOUTH, find_landmarks  # noqa: E402
from stylegan_core.assets import DEFAULT_GENERATOR  # noqa: E402
from stylegan_core.checkpoints.load import load_generator  # noqa: E402
from stylegan_core.networks.protocol import Generator  # noqa: E402
from stylegan_core.training.dataset import ImageDataset  # noqa: E402

COVERS = {"blue mask": (0.2, 0.5, 0.8), "black mask": (-0.9, -0.9, -0.9), "hand": None}  # None: the colour of the nose
QUANTILES = torch.tensor([0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99])
CHUNK = 16  # faces at a time
MARGIN = {"mouth": (0.10, 0.06), "eyes": (0.04, 0.03)}


def main() -> None:
    """Paint, render, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True, help="zip of aligned faces")
    parser.add_argument("--images", type=int, default=160)
    parser.add_argument("--generator", default=DEFAULT_GENERATOR)
    arguments = parser.parse_args()
    generator = load_generator(arguments.generator)
    data = ImageDataset(arguments.data, generator.img_resolution)
    every = data.num_images // arguments.images
    faces = data.batch(range(0, every * arguments.images, every))[0]
    points = torch.cat([find_landmarks(part, generator.meta.alignment) for part in faces.split(CHUNK)])
    print("quantiles 1 5 25 50 75 95 99 %")
    report(generator, faces, "uncovered")
    for name, part in (("mouth", MOUTH), ("eyes", EYES)):
        for label, colour in COVERS.items():
            report(generator, painted(faces, points[:, part], points[:, 30], MARGIN[name], colour), f"{name}: {label}")


def painted(
    faces: Tensor, points: Tensor, nose: Tensor, margin: tuple[float, float], colour: tuple[float, ...] | None
) -> Tensor:
    """Paint a box around points [N, P, 2] of each face [N, 3, R, R]; without a colour, in that of its nose [N, 2]."""
    result, side = faces.clone(), faces.shape[-1]
    low, high = points.amin(dim=1) - torch.tensor(margin), points.amax(dim=1) + torch.tensor(margin)
    for index in range(len(faces)):
        (left, top), (right, bottom) = (
            ((edge[index] * side).round().int().clamp(0, side)).tolist() for edge in (low, high)
        )
        x, y = (nose[index] * side).int().clamp(3, side - 4).tolist()
        skin = faces[index, :, y - 3 : y + 3, x - 3 : x + 3].mean(dim=(1, 2))
        result[index, :, top:bottom, left:right] = (skin if colour is None else torch.tensor(colour))[:, None, None]
    return result


@torch.no_grad()
def report(generator: Generator, faces: Tensor, label: str) -> None:
    """Print quantiles of what is looked at, and how many faces are warned of."""
    alignment, warned = generator.meta.alignment, 0
    places = []
    for part in faces.split(CHUNK):
        render = generator.synthesis(guess_codes(generator, part), noise_mode="const").clamp(-1, 1)
        places.append((find_landmarks(part, alignment), find_landmarks(render, alignment)))
        pairs = zip(part.split(1), render.split(1), strict=True)
        warned += sum("in front" in " ".join(doubts_of_inversion(*pair, {}, alignment)) for pair in pairs)
    seen, shown = (torch.cat(points) for points in zip(*places, strict=True))
    print(f"{label}: {warned / len(faces):.0%} warned of")
    for name, part in (("mouth", MOUTH), ("eyes", EYES)):
        apart = (seen - shown)[:, part].norm(dim=-1).mean(dim=1)
        flat = torch.tensor([contrast(face[None], place) for face, place in zip(faces, seen[:, part], strict=True)])
        for what, values in (("apart", apart), ("contrast", flat)):
            print(f"  {name} {what}: " + " ".join(f"{value:.3f}" for value in values.quantile(QUANTILES).tolist()))


if __name__ == "__main__":
    main()
