"""What looks right at which strength: a sheet a direction, people made by seeds and the sample photo at many strengths.

    python -m benchmarks.strengths --out docs/images

Writes strengths-NAME.png for each direction, and prints for each strength how far recognition and classifier move."""

import argparse
from pathlib import Path

import torch

from editing.expression import move
from editing.judging import as_face
from inversion.encoder import guess_codes
from inversion.faces.align import align_face, face_quad
from inversion.faces.detect import detect_faces
from inversion.faces.judges import JUDGES, identity_distance
from inversion.sample import write_sample
from stylegan_core.assets import DEFAULT_GENERATOR
from stylegan_core.catalogue import FIRST, look_up, told
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.directions import find_direction
from stylegan_core.generate import generate_ws
from stylegan_core.images import labelled_grid, read_photo, to_uint8, write_png

STRENGTHS = (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0)
SEEDS = (1, 4, 6, 9)


def main() -> None:
    """Draw the sheets and print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--generator", default=DEFAULT_GENERATOR)
    parser.add_argument("--directions", default=",".join(FIRST))
    arguments = parser.parse_args()
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
