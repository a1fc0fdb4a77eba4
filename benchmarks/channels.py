"""Directions of a few style channels beside those in W, on faces of the generator to which neither was fitted.

    python benchmarks/channels.py [--table FILE] [--moves mouth-open,yaw,...] [--num 8] [--channels 8] [--picture FILE]

After `invertigo channels fit`. Each trait is moved by the direction that `directions find` finds at strength 1 (and by
its negative), and in W by the direction that ships for it, else by its dial, as far as gives the same change. Printed:
that change in standard deviations of the trait, and the attribute dependency (Wu et al. 2021): the mean change of all
other traits for each of its own. 0 is an edit of nothing else. The picture has a line a person and trait."""

# ruff: noqa: E402
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # a script's own folder comes first, and holds namesakes

import argparse
import time

import numpy as np
import torch
from torch import Tensor

from editing.codes import latent_of_code
from editing.dials import find_dials
from editing.discover.channels import IDENTITY, found_table
from editing.discover.find_channels import find_channels
from editing.editor import Editor
from editing.judging import as_face
from editing.operations.transfer import Transfer
from editing.reach import layers_of_shape
from inversion.faces.attributes import DEGREES, UNITS
from inversion.faces.judges import identity_distance
from inversion.faces.traits import TRAITS, dependency, traits
from inversion.statistics import random_ws
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.directions import Direction, find_direction
from stylegan_core.errors import ToolkitError
from stylegan_core.images import labelled_grid, to_uint8, write_png
from stylegan_core.networks.protocol import Generator
from stylegan_core.seeds import generator_for

MOVES = (
    "mouth-open", "mouth-width", "mouth-corners", "eyes-open", "brows", "yaw", "pitch", "roll", "happy", "surprised",
    "age", "gender", "light",
)  # fmt: skip
FRESH = 2_000_000  # seeds of the faces
SHOWN = 3  # of them in the picture
STEPS = 5  # towards the strength in W that gives the same change
FARTHEST = 2.0  # of one of them
HEADINGS = f"{'channels':>9} {'depends':>8} {'person':>7}"
SPARED = (IDENTITY, "yaw")


class Faces:
    """Some faces, and what edits change of them in standard deviations of the traits."""

    def __init__(self, generator: Generator, num: int, spread: Tensor) -> None:
        self.alignment, self.spread = generator.meta.alignment, spread
        codes = [random_ws(generator, 1, generator_for(FRESH + index)) for index in range(num)]
        self.editors = [Editor(generator, latent_of_code(generator, ws, {})) for ws in codes]
        self.before = [as_face(editor.apply().edited) for editor in self.editors]
        self.traits = torch.cat([traits(face, self.alignment) for face in self.before])

    def edited(self, direction: Direction, strength: float) -> list[Tensor]:
        """Return the faces [1, 3, R, R] in [-1, 1] with a direction added."""
        return [as_face(editor.apply(Transfer(direction, strength)).edited) for editor in self.editors]

    def changed(self, faces: list[Tensor]) -> Tensor:
        """Return how far all traits have gone [N, len(TRAITS)]."""
        return (torch.cat([traits(face, self.alignment) for face in faces]) - self.traits).cpu() / self.spread

    def mean_change(self, faces: list[Tensor], name: str) -> float:
        """Return how far one trait has gone on average."""
        return float(self.changed(faces)[:, TRAITS.index(name)].mean())

    def moved_so(self, direction: Direction, name: str, wanted: float) -> list[Tensor]:
        """Return the faces at the strength where a trait has gone as far as wanted on average, found by the secant."""
        tried = [(0.0, 0.0, self.before)]
        strength = 1.0
        for _ in range(STEPS):
            faces = self.edited(direction, strength)
            tried.append((strength, self.mean_change(faces, name), faces))
            (s0, c0, _), (s1, c1, _) = tried[-2:]
            step = (wanted - c1) * (s1 - s0) / (c1 - c0) if abs(c1 - c0) > 1e-3 else FARTHEST
            strength = s1 + min(max(step, -FARTHEST), FARTHEST)
        return min(tried, key=lambda item: abs(item[1] - wanted))[2]

    def figures(self, faces: list[Tensor], name: str) -> str:
        """Say how far a trait has gone, what depends on it, and how far the person has."""
        pairs = zip(faces, self.before, strict=True)
        person = np.mean([float(identity_distance(face, before, self.alignment)) for face, before in pairs])
        return f"{self.mean_change(faces, name):+9.2f} {dependency(self.changed(faces), name):8.2f} {person:7.2f}"


def direction_in_w(generator: Generator, name: str) -> Direction:
    """Return the direction that ships for a trait, else its dial in the layers that `edit --set` moves, a degree or a
    tenth long."""
    try:
        return find_direction(name, generator)
    except ToolkitError:
        dials = find_dials(generator)
        row = dials.names.index(name)
        length = (1.0 if UNITS[name] == DEGREES else 0.1) / float(dials.response[row, row])
        vector, meta = length * dials.directions[row][None, None], generator.meta
        return Direction(name, vector, meta.fingerprint, meta.name, layers=tuple(layers_of_shape(generator)))


@torch.no_grad()
def measure(generator: Generator, options: argparse.Namespace) -> None:
    """Print a line a trait and draw the picture."""
    table, began = found_table(generator, options.table), time.process_time()
    faces, lines, names = Faces(generator, options.num, table.spread), [], []
    made_of = f"a table of {table.samples} faces, {options.num} fresh ones, {options.channels} channels"
    print(f"{generator.meta.name}, {made_of}")
    print(f"{'trait':14} {HEADINGS} {'back':>7} {HEADINGS.replace('channels', '    in W')}")
    for name in options.moves.split(","):
        spared = [trait for trait in SPARED if trait != name]
        few = find_channels(generator, table, name, name, spared, options.channels)
        up, down = (faces.edited(few, strength) for strength in (1.0, -1.0))
        in_w = faces.moved_so(direction_in_w(generator, name), name, faces.mean_change(up, name))
        back = f"{faces.mean_change(down, name):+7.2f}"
        print(f"{name:14}", faces.figures(up, name), back, faces.figures(in_w, name), flush=True)
        for shown in zip(down[:SHOWN], faces.before, up, in_w, strict=False):
            lines.append([to_uint8(face)[0] for face in shown])
            names.append(name)
    print(f"{time.process_time() - began:.0f} s of processor time")
    if options.picture:
        write_png(Path(options.picture), labelled_grid(lines, ["channels -1", "before", "channels +1", "in W"], names))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", default="", help="of `invertigo channels fit`; empty: where that left it")
    parser.add_argument("--moves", default=",".join(MOVES), help="traits")
    parser.add_argument("--num", type=int, default=8, help="faces")
    parser.add_argument("--channels", type=int, default=8)
    parser.add_argument("--picture", default="")
    options = parser.parse_args()
    torch.set_num_threads(1)
    measure(load_generator("faces256"), options)


if __name__ == "__main__":
    main()
