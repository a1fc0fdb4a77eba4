"""What looks right at which strength: a sheet a direction, people made by seeds and the sample photo at many strengths.

    python -m benchmarks.strengths --out docs/images [--photos FOLDER]

Writes strengths-NAME.png for each direction, and prints for each strength how far recognition and classifier move. With
a folder of photos it writes strengths-photo-NAME.jpg instead, the faces of the edited photos, and prints what is
measured on them."""

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from editing.editor import Editor
from editing.expression import move
from editing.judging import as_face
from editing.operations.transfer import Transfer
from editing.pasted import paste_photo, told_scores
from inversion.config import InvertConfig
from inversion.encoder import guess_codes
from inversion.faces.align import align_face, face_quad
from inversion.faces.detect import detect_faces
from inversion.faces.judges import JUDGES, identity_distance
from inversion.invert import Inverter
from inversion.sample import write_sample
from stylegan_core.assets import DEFAULT_GENERATOR
from stylegan_core.catalogue import FIRST, look_up, told
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.directions import find_direction
from stylegan_core.generate import generate_ws
from stylegan_core.images import labelled_grid, read_photo, to_uint8, write_png

STRENGTHS = (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)
SEEDS = (1, 4, 6, 9)


def draw_photos(folder: Path, out: Path, generator: str, directions: list[str]) -> None:
    """Draw the largest face of each photo of a folder as it is in the edited photo."""
    inverter = Inverter(InvertConfig(generator=generator, method="guess"))
    photos = [read_photo(path) for path in sorted(folder.iterdir()) if path.suffix in (".jpg", ".png")]
    latents = [inverter.invert(photo)[0].latent for photo in photos]
    for name in directions:
        rows = []
        for photo, latent in zip(photos, latents, strict=True):
            rows.append([])
            for strength in STRENGTHS:
                face = Editor(inverter.generator, latent, photo=photo).apply(Transfer(name, strength))
                pasted = paste_photo(photo, [face])
                rows[-1].append(pasted.close_ups(0)[1])
                print(f"{name} {strength:+.1f} {photo.path.stem}{told_scores(pasted, 0)} {' '.join(pasted.doubts[0])}")
        sheet = labelled_grid(rows, [f"{strength:+g}" if strength else "0" for strength in STRENGTHS], side=168)
        Image.fromarray(np.asarray(sheet)).save(out / f"strengths-photo-{name}.jpg", quality=88)


def main() -> None:
    """Draw the sheets and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--generator", default=DEFAULT_GENERATOR)
    parser.add_argument("--directions", default=",".join(FIRST))
    parser.add_argument("--photos", type=Path, help="folder of photos to draw instead")
    arguments = parser.parse_args()
    if arguments.photos:
        draw_photos(arguments.photos, arguments.out, arguments.generator, arguments.directions.split(","))
        return
    generator = load_generator(arguments.generator)
    alignment = generator.meta.alignment
    photo = read_photo(write_sample(arguments.out / "sample.png"))
    (arguments.out / "sample.png").unlink()
    quad = face_quad(detect_faces(photo.rgb)[0].landmarks, alignment)
    ws = generate_ws(generator, list(SEEDS), 0.7)
    guess = guess_codes(generator, align_face(photo.rgb, quad, generator.img_resolution))
    codes = ws if guess is None else torch.cat([ws, guess])
    for name in arguments.directions.split(","):
        direction, known = find_direction(name, generator), look_up(name, arguments.generator)
        rows, judge = [], JUDGES.get(known.attribute if known else "")
        print(f"{name}: {told(name)}")
        with torch.no_grad():
            still = as_face(generator.synthesis(codes, noise_mode="const"))
            columns = []
            for strength in STRENGTHS:
                moved = move(codes, direction.vector.to(codes), strength, direction.layers)
                faces = as_face(generator.synthesis(moved, noise_mode="const"))
                columns.append(to_uint8(faces))
                distance = float(identity_distance(faces, still, alignment).mean())
                told_judge = f", {known.attribute} {float(judge.score(faces, alignment).mean()):.2f}" if judge else ""
                print(f"  {strength:+.1f}: identity distance {distance:.2f}{told_judge}")
        rows = [[column[index] for column in columns] for index in range(len(codes))]
        labels = [f"{strength:+g}" if strength else "0" for strength in STRENGTHS]
        write_png(arguments.out / f"strengths-{name}.png", labelled_grid(rows, labels, side=96), "Synthetic images")


if __name__ == "__main__":
    main()
