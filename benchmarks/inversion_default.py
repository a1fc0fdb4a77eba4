# ruff: noqa: E402
"""Figures of the default generator on validation faces: inversion quality, smile transfer, wall time.

    python benchmarks/inversion_default.py --data faces128.zip --photo photo.jpg

The last 20 pairs of the set (by person) are the validation faces: kept out of the smile direction's fit, though the
generator has seen them. `--photo` gives photos of people it has not seen; their faces are scored the same way."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # a script's own folder comes first, and holds namesakes

import argparse
import subprocess
import tempfile
import time
from dataclasses import replace

import torch
from torch import Tensor

from editing.discover.pairs import read_pairs
from editing.expression import move
from inversion.config import InvertConfig, ProjectionConfig
from inversion.encoder import find_encoder, guess_codes
from inversion.faces.attributes import EXPRESSIONS
from inversion.faces.judges import expression_probabilities, identity_distance
from inversion.invert import Inverter
from inversion.project import project_task
from inversion.render import face_renderer
from inversion.scores import psnr
from inversion.task import Task
from stylegan_core.directions import find_direction
from stylegan_core.images import read_photo

HAPPY = EXPRESSIONS.index("happy")


def happy(inverter: Inverter, images: Tensor) -> Tensor:
    """The judge's probability of `happy`, [N]."""
    return expression_probabilities(images.clamp(-1, 1), inverter.generator.meta.alignment)[:, HAPPY]


def invert_rows(inverter: Inverter, targets: Tensor, what: str) -> Tensor:
    """Print PSNR, identity distance and seconds of the guess, W, W+ and the default; return the W+ codes."""
    generator, alignment = inverter.generator, inverter.generator.meta.alignment
    encoder, guess = find_encoder(generator), guess_codes(generator, targets)
    whole = Task(generator, targets, inverter.perceptual, curvature=encoder and encoder.curvature)
    for name, config in (
        ("guess alone", replace(inverter.settled, steps=0, space="w+")),
        ("W", replace(inverter.settled, space="w")),
        ("W+", replace(inverter.settled, space="w+")),
        ("default", inverter.settled),
    ):
        began = time.perf_counter()
        tasks = [
            replace(whole, targets=targets[i : i + 1], config=config, start=guess[i : i + 1])
            for i in range(len(targets))
        ]
        found = [project_task(task) for task in tasks]
        seconds = (time.perf_counter() - began) / len(targets)
        codes = torch.cat([item.ws for item in found])
        with torch.no_grad():
            images = torch.cat([
                face_renderer(generator, item.ws, {}, None, item.corrections[0] if item.corrections else None)(item.ws)
                for item in found
            ])  # fmt: skip
            identity = identity_distance(images.clamp(-1, 1), targets, alignment)
        values, steps = psnr(images, targets), sum(item.num_steps[0] for item in found) / len(found)
        print(
            f"{what:12} {name:12} {values.mean():6.2f} {values.min():6.2f} {identity.mean():9.3f} {steps:6.0f} "
            f"{seconds:8.2f}",
            flush=True,
        )
    return codes


def smile_row(inverter: Inverter, codes: Tensor, strength: float, what: str) -> None:
    """Print what the shipped smile does to codes."""
    generator = inverter.generator
    direction = find_direction("smile", generator)
    with torch.no_grad():
        before, after = generator.synthesis(codes), generator.synthesis(move(codes, direction.vector, strength))
    change = happy(inverter, after) - happy(inverter, before)
    wanted = (change * (1 if strength > 0 else -1) > 0).float().mean()
    renders = after.clamp(-1, 1), before.clamp(-1, 1)
    identity = identity_distance(*renders, generator.meta.alignment).mean()
    print(f"{what:24} {strength:8.1f} {100 * wanted:9.0f} % {change.mean():+10.3f} {identity:9.3f}", flush=True)


def time_command() -> None:
    """Print the wall time of the command line on the photo that scikit-image ships."""
    from PIL import Image
    from skimage import data

    root = Path(__file__).resolve().parent.parent
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "astronaut.png"
        Image.fromarray(data.astronaut()).save(photo)
        for name, words in (
            ("--help", ["--help"]),
            ("invert, 0 steps (start-up)", ["invert", str(photo), "--out", folder, "--steps", "0"]),
            ("invert, defaults", ["invert", str(photo), "--out", folder]),
        ):
            began = time.perf_counter()
            subprocess.run([sys.executable, str(root / "cli.py"), *words], check=True, capture_output=True)
            print(f"{name:28} {time.perf_counter() - began:6.2f} s")


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="zip or folder with attributes.csv (faces128.zip)")
    parser.add_argument("--photo", nargs="*", default=[], help="photos of people the generator has not seen")
    parser.add_argument("--pairs", type=int, default=20, help="validation pairs, from the end")
    options = parser.parse_args()
    inverter = Inverter(InvertConfig(align=False, device="cpu"), ProjectionConfig())
    pairs = read_pairs(Path(options.data))[-options.pairs :]
    neutral = torch.cat([inverter.align(pair.neutral)[0].target for pair in pairs])
    smiling = torch.cat([inverter.align(pair.expression)[0].target for pair in pairs])
    print(f"{'faces':12} {'code':12} {'PSNR':>6} {'lowest':>6} {'identity':>9} {'steps':>6} {'s/image':>8}")
    codes = invert_rows(inverter, torch.cat([neutral, smiling]), "validation")
    unseen = None
    if options.photo:
        inverter.config = replace(inverter.config, align=True, faces="all")
        faces = [face.target for path in options.photo for face in inverter.align(read_photo(path))]
        unseen = invert_rows(inverter, torch.cat(faces), "unseen")
    print(f"\n{'smile transfer':24} {'strength':>8} {'moved so':>11} {'happy':>10} {'identity':>9}")
    smile_row(inverter, codes[: len(pairs)], 1.0, "validation, neutral")
    smile_row(inverter, codes[len(pairs) :], -1.0, "validation, smiling")
    if unseen is not None:
        smile_row(inverter, unseen, 1.0, "unseen")
    print()
    time_command()


if __name__ == "__main__":
    main()
