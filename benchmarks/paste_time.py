"""How long pasting one edit takes, by the size of photo and face, and where the time goes.

    python -m benchmarks.paste_time [--threads 2] [--profile] [--photo FILE --strength 1.4]

The sample photo, or one of closed lips that a broad smile parts, is enlarged to a face of the wanted size and set into
a canvas of the wanted pixels; its motion is a smile of the default generator's. Prints seconds and processor seconds,
the best of `--times`, and the ratio to a copy of the photo."""

import argparse
import cProfile
import pstats
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage.data import astronaut

from editing.editor import Editor
from editing.operations.render import face_edit
from editing.operations.transfer import Transfer
from inversion.config import InvertConfig
from inversion.faces.align import quad_side
from inversion.faces.paste import FaceEdit, paste_faces
from inversion.invert import Inverter
from stylegan_core.images import Photo, read_photo

CASES = {"512 x 512, its own face": (512, 512, 0), "24 megapixels, a face of 1,500": (6000, 4000, 1500)}


def enlarged(
    edit: FaceEdit, rgb: NDArray[np.uint8], width: int, height: int, side: int
) -> tuple[NDArray[np.uint8], FaceEdit]:
    """Return a photo [height, width, 3] with the face `side` pixels large (0: as it is), and its edit."""
    scale = side / quad_side(edit.quad) if side else 1.0
    size = (round(rgb.shape[1] * scale), round(rgb.shape[0] * scale))
    large = np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BICUBIC))
    quad = edit.quad * scale
    left, top = (max(0, int(quad[:, axis].mean() - length / 2)) for axis, length in ((0, width), (1, height)))
    part = large[top : top + height, left : left + width]
    photo = np.full((height, width, 3), 127, np.uint8)
    photo[: part.shape[0], : part.shape[1]] = part
    return photo, replace(edit, quad=quad - [left, top])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--photo", type=Path, help="a photo of one face; else the sample photo")
    parser.add_argument("--direction", default="smile")
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    inverter = Inverter(InvertConfig(method="guess"))
    photo = read_photo(args.photo) if args.photo else Photo(astronaut(), Path("astronaut.png"), "")
    latent = inverter.invert(photo)[0].latent
    face = Editor(inverter.generator, latent, photo=photo).apply(Transfer(args.direction, args.strength))
    edit = face_edit(inverter.generator, face.latent, face.inverted, face.edited)
    for name, (width, height, side) in CASES.items():
        rgb, own = enlarged(edit, photo.rgb, width, height, side)
        took = []
        for _ in range(args.times):
            began, used = time.perf_counter(), time.process_time()
            paste_faces(rgb, [own], "auto")
            took.append((time.perf_counter() - began, time.process_time() - used))
        began = time.process_time()
        rgb.copy()
        copying = max(time.process_time() - began, 1e-6)
        seconds, processor = (min(column) for column in zip(*took, strict=True))
        print(
            f"{name}: {seconds:.2f} s, {processor:.2f} processor seconds, {processor / copying:.0f} copies of the photo"
        )
        if args.profile:
            profile = cProfile.Profile()
            profile.runcall(paste_faces, rgb, [own], "auto")
            pstats.Stats(profile).sort_stats("tottime").print_stats(18)


if __name__ == "__main__":
    main()
