"""Figures of dials, points and regions on faces to which nothing was fitted.

    python benchmarks/dials.py --photos FOLDER [--num 6] [--data faces256.zip] [--method hybrid --steps 60]
        [--parts dials,points,regions,border] [--picture OUT.png]

FOLDER holds NAME_neutral.jpg and NAME_smiling.jpg; of `--data` every tenth face is taken. Each face is inverted by
`--method` (guess: the encoder alone, as `edit photo.jpg` does). Dials: every measure is set to a quarter and three
quarters of the way between the ends of its range. Points: the mouth's landmarks of the neutral photo are dragged to
those of the smiling one (brought onto the neutral face by the eyes); 1.00 is as far as not editing leaves them.
Regions: photo pixels that change outside the mouth. Border: how much an edit changes the render's rim with and
without `--keep border` (mean absolute change, of the range of pixel values), and how much of what the judge gained is
kept."""

# ruff: noqa: E402
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # a script's own folder comes first, and holds namesakes

import argparse
import csv
import io
import time
import zipfile

import numpy as np
import torch

from editing.border import rim_change
from editing.dials import find_dials
from editing.drag import drag
from editing.editor import Editor
from editing.judging import as_face, find_judge
from editing.operations.render import Render
from editing.operations.transfer import Transfer
from editing.reach import reach
from editing.regions import photo_mask
from editing.render import paste_into_photo
from inversion.config import InvertConfig, ProjectionConfig
from inversion.faces.landmarks import EYES, find_landmarks
from inversion.faces.measures import MEASURES
from inversion.invert import InvertedFace, Inverter
from stylegan_core.images import Photo, decode_photo, labelled_grid, read_photo, to_uint8, write_png

CEILING = 0.35  # identity distance
DRAGGED = (48, 51, 54, 57)  # corners and middles of the lips
MAX_BYTES = 20_000_000
PARTS = ("dials", "points", "regions", "border")
HELD = {"smile": "happy", "age": "age"}  # the edits of the border's part, and their judges


def held_out(data: str, num: int) -> list[Photo]:
    """Return `num` faces, spread over every tenth of a set."""
    with zipfile.ZipFile(data) as archive:
        rows = list(csv.DictReader(io.TextIOWrapper(archive.open("attributes.csv"))))[::10]
        chosen = [rows[index]["file"] for index in np.linspace(0, len(rows) - 1, num).astype(int)]
        return [decode_photo(archive.read(name), Path(name), MAX_BYTES) for name in chosen]


def measure_dials(render: Render, ws: torch.Tensor, rows: dict[str, list[tuple[float, float, float, float]]]) -> list:
    """Set every measure twice; add (miss in tolerances, identity, seconds, asked) to `rows`; return the renders."""
    table, pictures = find_dials(render.generator), []
    for name in table.names:
        low, high = table.range_of(name)
        for share in (0.25, 0.75):
            wanted, began = low + share * (high - low), time.process_time()
            found = reach(render, ws, {name: wanted}, CEILING)
            miss = abs(found.values[name] - wanted) / MEASURES[name].tolerance
            rows.setdefault(name, []).append((miss, found.identity, time.process_time() - began, wanted))
            with torch.no_grad():
                pictures.append(to_uint8(render(found.ws))[0])
    return pictures


def measure_points(inverter: Inverter, neutral: InvertedFace, smiling: torch.Tensor) -> tuple[list, np.ndarray]:
    """Drag the mouth to where it is when smiling; return (rest of the way, seconds of one point) and the picture."""
    render, alignment = Render(inverter.generator, neutral.latent), inverter.generator.meta.alignment
    begin = find_landmarks(neutral.image.clamp(-1, 1), alignment)[0].double().numpy()
    target = find_landmarks(smiling, alignment)[0].double().numpy()
    target = target + begin[EYES].mean(axis=0) - target[EYES].mean(axis=0)
    chosen = list(DRAGGED)
    found = drag(render, neutral.latent.ws, begin[chosen], target[chosen])
    with torch.no_grad():
        image = render(found.ws)
    ends = find_landmarks(image.clamp(-1, 1), alignment)[0].double().numpy()
    before, after = (np.linalg.norm(points[chosen] - target[chosen], axis=1).mean() for points in (begin, ends))
    began = time.process_time()
    drag(render, neutral.latent.ws, begin[chosen[:1]], target[chosen[:1]])
    return [after / before, time.process_time() - began], to_uint8(image)[0]


def measure_regions(editor: Editor, photo: Photo) -> int:
    """Return how many pixels of a photo a smile changes outside the mouth, which it is confined to."""
    edited = editor.apply(Transfer("smile", 1.0))
    rgb, _ = paste_into_photo(photo, [edited], "auto")
    shown, alignment = [edited.inverted, edited.rendered], editor.generator.meta.alignment
    mask = photo_mask("mouth", editor.latent.quad, shown, alignment, *photo.rgb.shape[:2])
    return int((rgb != photo.rgb).any(axis=-1)[mask == 0].sum())


def measure_border(editor: Editor, rows: dict[str, list[tuple[float, float, float, float]]]) -> None:
    """Add what edits at 1 do to the rim, without and with the border kept, the share of the judge's gain that is kept,
    and seconds to `rows`."""
    alignment = editor.generator.meta.alignment
    for name, attribute in HELD.items():
        free, began = editor.apply(Transfer(name, 1.0)), time.process_time()
        held, judge = editor.apply(Transfer(name, 1.0, keep="border")), find_judge(attribute)
        seconds = time.process_time() - began
        before, plain, kept = (as_face(image) for image in (free.inverted, free.edited, held.edited))
        gained, left = (
            float(judge.score(image, alignment) - judge.score(before, alignment)) for image in (plain, kept)
        )
        rows.setdefault(name, []).append((rim_change(before, plain), rim_change(before, kept), left / gained, seconds))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", required=True)
    parser.add_argument("--num", type=int, default=6, help="people of --photos, and faces of --data")
    parser.add_argument("--data", default="")
    parser.add_argument("--method", default="hybrid")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--picture", default="")
    options = parser.parse_args()
    torch.set_num_threads(1)
    parts, steps = options.parts.split(","), 0 if options.method == "guess" else options.steps
    found = Inverter(InvertConfig(device="cpu", method=options.method), ProjectionConfig(steps=steps))
    aligned = Inverter(
        InvertConfig(device="cpu", method=options.method, align=False), found.projection, found.generator,
        found.perceptual,
    )  # fmt: skip
    rows: dict[str, list[tuple[float, float, float, float]]] = {}
    borders: dict[str, list[tuple[float, float, float, float]]] = {}
    points, leaks, grid = [], [], []
    for path in sorted(Path(options.photos).glob("*_neutral.jpg"))[: options.num]:
        photo, other = read_photo(path), read_photo(str(path).replace("_neutral", "_smiling"))
        face = found.invert_face(photo, found.align(photo)[0])
        render = Render(found.generator, face.latent)
        pictures = [to_uint8(face.image)[0]]
        if "dials" in parts:
            pictures += measure_dials(render, face.latent.ws, rows)
        if "points" in parts:
            figures, picture = measure_points(found, face, found.align(other)[0].target)
            points.append(figures)
            pictures.append(picture)
        if "regions" in parts:
            leaks.append(measure_regions(Editor(found.generator, face.latent, photo=photo, region="mouth"), photo))
        if "border" in parts:
            measure_border(Editor(found.generator, face.latent, photo=photo), borders)
        grid.append(pictures)
    for photo in held_out(options.data, options.num) if options.data and "dials" in parts else []:
        face = aligned.invert_face(photo, aligned.align(photo)[0])
        pictures = measure_dials(Render(found.generator, face.latent), face.latent.ws, rows)
        grid.append([to_uint8(face.image)[0], *pictures, *pictures[-1:] * ("points" in parts)])
    print(f"{found.generator.meta.name}, {len(grid)} faces, {options.method}, {steps} steps; ceiling {CEILING}")
    if rows:
        print(f"{'dial':14} {'within':>7} {'median miss':>12} {'identity':>9} {'seconds':>8}")
    for name, figures in rows.items():
        miss, identity, seconds, _ = np.array(figures).T
        unit = np.median(miss) * MEASURES[name].tolerance
        print(f"{name:14} {(miss <= 1).mean():7.0%} {unit:12.3f} {identity.mean():9.2f} {seconds.mean():8.2f}")
    if points:
        rest, seconds = np.array(points).T
        print(f"points: {rest.mean():.2f} of the way left (median {np.median(rest):.2f}); one: {seconds.mean():.1f} s")
    if leaks:
        print(f"regions: {sum(leaks)} pixels changed outside the mouth in {len(leaks)} photos")
    for name, values in borders.items():
        plain, kept, share, seconds = np.array(values).T
        print(
            f"border, {name} 1: rim {plain.mean():.4f} -> {kept.mean():.4f} (highest {kept.max():.4f}) of the range; "
            f"judge keeps {share.mean():.0%} (lowest {share.min():.0%}); {seconds.mean():.1f} s"
        )
    if options.picture:
        names = ["inverted", *(f"{name} {end}" for name in rows for end in ("low", "high"))]
        names += ["dragged"] * bool(points)
        write_png(Path(options.picture), labelled_grid(grid, names, ["" for _ in grid]))


if __name__ == "__main__":
    main()
