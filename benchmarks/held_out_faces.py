# ruff: noqa: E402
"""How well the default generator draws faces that nobody trained on, by group.

    python benchmarks/held_out_faces.py --data faces256.zip [--faces 24] [--turned 10] [--sheet FILE]

The faces are every tenth of those without a person (what `invertigo encoder cotrain` leaves out), of one source:
sfhq-t2i, which no earlier generator saw either. PSNR is at 128 px, larger renders shrunk; identity is the distance of
the recognition descriptors (two photos of one person: .25); sharpness is the mean vertical gradient of the render over
the photo's, at the generator's own size; cpu s is processor seconds a face. Groups are by `condition`, a text search's
answer, not a label by hand. `--sheet` draws what was found: the photo, the code alone and with all that was found
beside it, then both after edits of strength 1. `--turned 10` takes faces whose landmarks are turned so many degrees."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # a script's own folder comes first, and holds namesakes

import argparse
import time
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from inversion.config import InvertConfig, ProjectionConfig
from inversion.faces.judges import identity_distance
from inversion.faces.landmarks import find_landmarks
from inversion.faces.measures import yaw
from inversion.invert import InvertedFace, Inverter
from inversion.render import renderer
from inversion.scores import psnr
from stylegan_core.directions import find_direction
from stylegan_core.images import decode_photo, to_uint8, write_png
from stylegan_core.networks.protocol import Alignment, Generator
from stylegan_core.training.dataset import ImageDataset

EDITS = ("smile", "age", "yaw")
SIDE = 128  # pixels at which PSNR is taken
GROUPS = {
    "children": ("baby", "child", "toddler"),
    "dark skin": ("african",),
    "glasses": ("glasses",),
    "hats": ("hat", "beanie", "fedora", "cap"),
    "expressions": ("expression",),
    "beards": ("beard", "goatee", "mustache"),
    "turned or tilted": ("three-quarter", "tilted"),
}


@torch.no_grad()
def sheet_row(generator: Generator, inverted: InvertedFace) -> NDArray[np.uint8]:
    """Return the photo, the code's render and the inversion's, and both after each edit, side by side."""
    latent = inverted.latent
    renders = [renderer(generator, latent if whole else replace(latent, correction=None)) for whole in (False, True)]
    steps = [0.0, *(find_direction(name, generator).vector for name in EDITS)]
    images = [inverted.face.target, *(render(latent.ws + step) for step in steps for render in renders)]
    return np.concatenate([to_uint8(image)[0] for image in images], axis=1)


def vertical_gradient(images: Tensor) -> Tensor:
    """Return the mean absolute difference of neighbouring rows, [N]."""
    return (images[:, :, 1:] - images[:, :, :-1]).abs().mean(dim=(1, 2, 3))


def degrees(inverter: Inverter, data: ImageDataset, name: str) -> float:
    """Return how far a face is turned to either side, by its landmarks."""
    face = inverter.align(decode_photo(data.files.read(name), Path(name)))[0].target
    return abs(float(yaw(find_landmarks(face, inverter.generator.meta.alignment))))


def a_pass(generator: Generator) -> float:
    """Return the processor seconds of drawing a code and following its gradient back, at best of five."""
    seconds = []
    for _ in range(5):
        ws = generator.w_avg.expand(1, generator.num_ws, -1).clone().requires_grad_(True)
        began = time.process_time()
        generator.synthesis(ws, noise_mode="const").square().mean().backward()
        seconds.append(time.process_time() - began)
    return min(seconds)


def shrunk(images: Tensor) -> Tensor:
    """Return images at SIDE pixels, or as they are where they are smaller."""
    return interpolate(images, size=(SIDE, SIDE), mode="area") if images.shape[-1] > SIDE else images


def main() -> None:
    """Print a row for each search, and the default's by group."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="faces256.zip, or the like with attributes.csv")
    parser.add_argument("--source", default="sfhq-t2i")
    parser.add_argument("--every", type=int, default=10, help="which faces were held out")
    parser.add_argument("--faces", type=int, default=24, help="faces at most, evenly chosen; 0: all")
    parser.add_argument("--turned", type=float, default=0.0, help="degrees that faces are turned, at least")
    parser.add_argument("--sheet", default="", help="PNG for the faces of the last search, and their edits")
    parser.add_argument("--searches", default="encoder alone,w+ 200 steps,default search")
    parser.add_argument("--generator", default=InvertConfig().generator)
    options = parser.parse_args()
    data = ImageDataset(options.data)
    rows = data.attributes()
    held = [
        name
        for index, name in enumerate(data.files.names)
        if index % options.every == options.every - 1 and rows[name]["source"] == options.source
    ]
    inverter = Inverter(InvertConfig(generator=options.generator, align=False, device="cpu"))
    if options.turned:
        held = [name for name in held if degrees(inverter, data, name) >= options.turned]
    step = max(1, len(held) // options.faces) if options.faces else 1
    names = held[::step][: options.faces or None]
    conditions = [rows[name].get("condition", "") for name in names]
    photos = [decode_photo(data.files.read(name), Path(name)) for name in names]
    print(f"one forward and backward of {inverter.generator.img_resolution} px: {a_pass(inverter.generator):.3f} cpu s")
    found = {}
    searches = {
        "encoder alone": ProjectionConfig(steps=0),
        "w+ 200 steps": ProjectionConfig(steps=200, space="w+"),
        "default search": ProjectionConfig(),
    }
    for label in options.searches.split(","):
        inverter.projection, scores, rows = searches[label], [], []
        for photo in photos:
            face = inverter.align(photo)[0]
            began = time.process_time()
            inverted = inverter.invert_face(photo, face)
            image = inverted.image.clamp(-1, 1)
            scores.append([*score(image, face.target, inverter.generator.meta.alignment), time.process_time() - began])
            if options.sheet:
                rows.append(sheet_row(inverter.generator, inverted))
                write_png(options.sheet, np.concatenate(rows))
        found[label] = torch.tensor(scores)
    print(f"{len(names)} faces of {options.source}, {inverter.generator.meta.name}, {torch.get_num_threads()} threads")
    print(f"{'':18} {'faces':>5} {'PSNR':>6} {'lowest':>6} {'identity':>8} {'sharpness':>9} {'cpu s':>7}")
    for label, scores in found.items():
        tell(label, scores)
    for group, words in GROUPS.items():
        picked = [any(word in text for word in words) for text in conditions]
        if any(picked) and "default search" in found:
            tell(group, found["default search"][torch.tensor(picked)])


def score(drawn: Tensor, target: Tensor, alignment: Alignment) -> list[float]:
    """Return PSNR, identity distance and sharpness of a render beside its photo, both [1, 3, R, R] in [-1, 1]."""
    sharpness = vertical_gradient(drawn) / vertical_gradient(target)
    identity = identity_distance(drawn, target, alignment)
    return [float(psnr(shrunk(drawn), shrunk(target))), float(identity), float(sharpness)]


def tell(label: str, scores: Tensor) -> None:
    """Print one row."""
    quality, identity, sharpness, seconds = scores.mean(0).tolist()
    lowest = float(scores[:, 0].min())
    print(
        f"{label:18} {len(scores):5} {quality:6.2f} {lowest:6.2f} {identity:8.3f} {sharpness:9.2f} {seconds:7.2f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
