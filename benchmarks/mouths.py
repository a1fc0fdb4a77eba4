# ruff: noqa: E402
"""Which mouths show teeth, and where: a sheet of the openings found, to be looked at; and how light those teeth are.

    python benchmarks/mouths.py --data faces256.zip --picture mouths.png [--faces 300] [--seed 3]

Draws the upper edge of each opening in green and the lower one in blue, for faces chosen by chance, and prints in how
many one was found, and the light of teeth (the median of each opening's lighter half) by that of cheeks, which
`inversion/faces/teeth.py` paints by. Mouths in which none was are left out of the sheet, unless `--all` is given."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # a script's own folder comes first, and holds namesakes

import argparse

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import HuberRegressor
from torch import Tensor

from inversion.faces.align import align_face, face_quad
from inversion.faces.detect import detect_faces
from inversion.faces.landmarks import MOUTH, find_landmarks
from inversion.faces.motion import Points
from inversion.faces.mouth import find_opening
from inversion.faces.mouth_frame import MouthFrame
from inversion.faces.teeth import PICTURE, cheek_colour, opening_mask
from stylegan_core.images import decode_photo, to_uint8, write_png
from stylegan_core.networks.protocol import Alignment
from stylegan_core.training.dataset import Files

ALIGNMENT = Alignment(0.8, 0.08)
SIDE = 512  # pixels of a face
CELL = (150, 190)  # height and width of a mouth, of those
COLUMNS = 10


def mouth_of(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], tuple[float, float] | None] | None:
    """Return the mouth of a picture's largest face, its opening drawn, and the light of cheek and teeth where it has
    one; None without a face."""
    faces = detect_faces(rgb)
    if not faces:
        return None
    quad = face_quad(faces[0].landmarks, ALIGNMENT)
    image = align_face(rgb, quad, SIDE // 2)
    points = find_landmarks(image, ALIGNMENT)[0].double().numpy()
    opening, drawn = find_opening(image, points), to_uint8(align_face(rgb, quad, SIDE))[0].copy()
    for edge, colour in zip(opening or (), ((0, 255, 0), (0, 160, 255)), strict=False):
        x = np.linspace(edge[0, 0], edge[-1, 0], SIDE)
        places = np.stack([np.interp(x, edge[:, 0], edge[:, 1]), x], axis=1)
        rows, columns = (places * SIDE).astype(int).clip(0, SIDE - 1).T
        drawn[rows, columns] = colour
    top, left = (points[MOUTH].mean(axis=0)[::-1] * SIDE).astype(int) - np.array(CELL) // 2
    top, left = np.clip([top, left], 0, SIDE - np.array(CELL))
    lights = (
        None if opening is None else (float(cheek_colour(image, points).mean()), tooth_light(image, points, opening))
    )
    return drawn[top : top + CELL[0], left : left + CELL[1]], lights


def tooth_light(image: Tensor, points: Points, opening: tuple[Points, Points]) -> float:
    """Return the median light, in [-1, 1], of the lighter half of an opening's pixels."""
    frame = MouthFrame.of(points)
    mask = opening_mask((frame.inside(opening[0]), frame.inside(opening[1])), 0.02)[0, 0] > 0.9
    light = PICTURE.of(image, frame)[0].mean(dim=0)[mask]
    return float(light[light >= light.median()].median()) if len(light) else float("nan")


def print_lights(lights: NDArray[np.float64]) -> None:
    """Print how light teeth are by how light cheeks are [N, 2]."""
    cheeks, teeth = lights[np.isfinite(lights).all(axis=1)].T
    fit = HuberRegressor().fit(cheeks[:, None], teeth)
    rest = np.percentile(teeth - fit.predict(cheeks[:, None]), [25, 50, 75])
    print(f"teeth, in -1..1: {fit.intercept_:.2f} + {fit.coef_[0]:.2f} of the cheeks' light", end="; ")
    print(f"quartiles of the rest {rest[0]:+.2f}, {rest[1]:+.2f}, {rest[2]:+.2f}")


def main() -> None:
    """Look for openings and draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder or zip of faces")
    parser.add_argument("--picture", type=Path, required=True)
    parser.add_argument("--faces", type=int, default=300)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--all", action="store_true", help="draw mouths without an opening as well")
    options = parser.parse_args()
    files = Files(options.data)
    names = np.random.default_rng(options.seed).permutation(files.names)[: options.faces]
    found = [mouth_of(decode_photo(files.read(name), Path(name)).rgb) for name in names]
    mouths = [mouth for mouth in found if mouth]
    lights = np.array([item for _, item in mouths if item])
    print(f"{len(mouths)} faces, {len(lights)} with an opening that shows teeth")
    print_lights(lights)
    shown = [picture for picture, item in mouths if item or options.all]
    shown += [np.zeros((*CELL, 3), np.uint8)] * (-len(shown) % COLUMNS)
    rows = [np.concatenate(shown[first : first + COLUMNS], axis=1) for first in range(0, len(shown), COLUMNS)]
    write_png(options.picture, np.concatenate(rows))


if __name__ == "__main__":
    main()
