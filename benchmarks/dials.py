"""Figures of dials, points and regions on faces to which nothing was fitted.

    python benchmarks/dials.py --photos FOLDER [--num 6] [--skip 0] [--data faces256.zip] [--method guess,auto]
        [--steps -1] [--parts dials,points,regions,border] [--picture OUT.png]

FOLDER holds NAME_neutral.jpg and NAME_smiling.jpg; of `--data` every tenth face is taken. All is measured for codes of
each `--method` (guess: the encoder alone, as `edit photo.jpg` does; auto: as `invert photo.jpg` does). Dials: every
measure is set to a quarter and three quarters of the way between the ends of its range. Points: the mouth's landmarks
of the neutral photo are dragged to those of the smiling one (brought onto the neutral face by the eyes); 1.00 is as far
as not editing leaves them. Three figures: the landmarks of the render, where the photo's own pixels went, and the
landmarks that their network sees in the edited photo. Regions: photo pixels that change outside the mouth. Border: how
much an edit changes the render's rim without and with `--keep border` (mean absolute change, of the range of pixel
values), what the code alone leaves of it, and how much of what the judge gained (of poses: the landmark measure) is
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
from functools import partial
from typing import Any

import numpy as np
import torch

from editing.border import rim_change
from editing.dials import find_dials
from editing.drag import drag
from editing.editor import Editor
from editing.judging import as_face, find_judge
from editing.operations.drag import Drag
from editing.operations.measures import SetMeasures
from editing.operations.render import Render
from editing.operations.transfer import Transfer
from editing.points import in_face, of_photo
from editing.reach import measures_of, reach
from editing.regions import photo_mask
from editing.render import paste_into_photo
from inversion.config import InvertConfig, ProjectionConfig
from inversion.faces.align import align_face
from inversion.faces.landmarks import EYES, find_landmarks
from inversion.faces.measures import MEASURES
from inversion.invert import InvertedFace, Inverter
from stylegan_core.images import Photo, decode_photo, labelled_grid, read_photo, to_uint8, write_png
from stylegan_core.networks.protocol import Alignment

CEILING = 0.35  # identity distance
DRAGGED = (48, 51, 54, 57)  # corners and middles of the lips
MAX_BYTES = 20_000_000
PARTS = ("dials", "points", "regions", "border")
HELD = {"smile": (1.0, "happy"), "age": (2.0, "age")}  # the edits of the border's part: strengths and judges
TURNED = {"yaw": 8.0, "pitch": -6.0}  # and degrees


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


def measure_points(inverter: Inverter, photo: Photo, neutral: InvertedFace, smiling: torch.Tensor) -> tuple[list, Any]:
    """Drag the mouth to where it is when smiling; return what is left of the way (of the render, of the photo's pixels,
    of the photo's landmarks), seconds of one point, and the picture."""
    generator, quad = inverter.generator, neutral.face.quad
    editor, alignment = Editor(generator, neutral.latent, photo=photo), generator.meta.alignment

    def look(image: torch.Tensor) -> np.ndarray:
        return find_landmarks(image.clamp(-1, 1), alignment)[0].double().numpy()

    target, chosen = look(smiling), list(DRAGGED)
    starts = {"render": look(neutral.image), "photo": look(align_face(photo.rgb, quad, 256))}
    ways = {
        name: target + begin[EYES].mean(axis=0) - target[EYES].mean(axis=0) - begin for name, begin in starts.items()
    }
    lengths = {name: np.linalg.norm(way[chosen], axis=1).mean() for name, way in ways.items()}
    begin = starts["render"][chosen]
    found = drag(Render(generator, neutral.latent), neutral.latent.ws, begin, begin + ways["render"][chosen])
    with torch.no_grad():
        image = Render(generator, neutral.latent)(found.ws)
    begin = starts["photo"][chosen]
    ends = [of_photo(quad, points) for points in (begin, begin + ways["photo"][chosen])]
    words = [f"{x:.2f},{y:.2f}:{to_x:.2f},{to_y:.2f}" for (x, y), (to_x, to_y) in zip(*ends, strict=True)]
    face = editor.apply(*Drag.parse_all(words))
    told = in_face(quad, [point["ended"] for point in face.latent.report["edits"][-1]["drag"]])
    moved = {
        "render": (look(image) - starts["render"])[chosen], "pixels": told - begin,
        "photo": (look(align_face(face.paste().rgb, quad, 256)) - starts["photo"])[chosen],
    }  # fmt: skip
    left = []
    for name, step in moved.items():
        start = "render" if name == "render" else "photo"
        left.append(np.linalg.norm(step - ways[start][chosen], axis=1).mean() / lengths[start])
    began = time.process_time()
    editor.apply(*Drag.parse_all(words[:1]))
    return [*left, time.process_time() - began], to_uint8(image)[0]


def measure_regions(editor: Editor, photo: Photo) -> int:
    """Return how many pixels of a photo a smile changes outside the mouth, which it is confined to."""
    edited = editor.apply(Transfer("smile", 1.0))
    rgb, _ = paste_into_photo(photo, [edited], "auto")
    shown, alignment = [edited.inverted, edited.rendered], editor.generator.meta.alignment
    mask = photo_mask("mouth", editor.latent.quad, shown, alignment, *photo.rgb.shape[:2])
    return int((rgb != photo.rgb).any(axis=-1)[mask == 0].sum())


def measure_border(editor: Editor, rows: dict[str, list[tuple[float, ...]]]) -> None:
    """Add what edits do to the rim, without and with the border kept, what the code alone leaves, the share of the
    judge's gain that is kept, and seconds to `rows`."""
    alignment, own = (
        editor.generator.meta.alignment,
        measures_of(editor.apply().inverted, editor.generator.meta.alignment),
    )
    judged = {
        name: (partial(Transfer, name, strength), partial(judge_score, attribute, alignment))
        for name, (strength, attribute) in HELD.items()
    }
    for name, step in TURNED.items():
        words = f"{name}={own[name] + step:.2f}"
        judged[f"{name} {step:+g} degrees"] = (partial(SetMeasures, words), partial(measured, name, alignment))
    for name, (make, score) in judged.items():
        free, began = editor.apply(make()), time.process_time()
        held = editor.apply(make(keep="border"))
        seconds = time.process_time() - began
        before, plain, kept, code = (
            as_face(image) for image in (free.inverted, free.edited, held.edited, held.rendered)
        )
        share = (score(kept) - score(before)) / (score(plain) - score(before))
        rim = (rim_change(before, plain), rim_change(before, code), rim_change(before, kept))
        rows.setdefault(name, []).append((*rim, share, seconds))


def judge_score(attribute: str, alignment: Alignment, face: torch.Tensor) -> float:
    """Return what the judge of an attribute says of a face [1, 3, R, R]."""
    return float(find_judge(attribute).score(face, alignment))


def measured(name: str, alignment: Alignment, face: torch.Tensor) -> float:
    """Return a measure of a face [1, 3, R, R]."""
    return measures_of(face, alignment)[name]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", required=True)
    parser.add_argument("--num", type=int, default=6, help="people of --photos, and faces of --data")
    parser.add_argument("--data", default="")
    parser.add_argument("--skip", type=int, default=0, help="people of --photos that are left out first")
    parser.add_argument("--method", default="guess,auto")
    parser.add_argument("--steps", type=int, default=-1, help="of the search; -1: the method's own")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--picture", default="")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for method in options.method.split(","):
        measure(method, options)


def measure(method: str, options: argparse.Namespace) -> None:
    """Measure codes of one method, and print."""
    parts, steps = options.parts.split(","), 0 if method == "guess" else options.steps
    found = Inverter(InvertConfig(device="cpu", method=method), ProjectionConfig(steps=steps))
    aligned = Inverter(
        InvertConfig(device="cpu", method=method, align=False), found.projection, found.generator, found.perceptual
    )
    rows: dict[str, list[tuple[float, float, float, float]]] = {}
    borders: dict[str, list[tuple[float, ...]]] = {}
    points, leaks, grid = [], [], []
    for path in sorted(Path(options.photos).glob("*_neutral.jpg"))[options.skip : options.skip + options.num]:
        photo, other = read_photo(path), read_photo(str(path).replace("_neutral", "_smiling"))
        face = found.invert_face(photo, found.align(photo)[0])
        render = Render(found.generator, face.latent)
        pictures = [to_uint8(face.image)[0]]
        if "dials" in parts:
            pictures += measure_dials(render, face.latent.ws, rows)
        if "points" in parts:
            figures, picture = measure_points(found, photo, face, found.align(other)[0].target)
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
    print(f"{found.generator.meta.name}, {len(grid)} faces, {method}; ceiling {CEILING}")
    if rows:
        print(f"{'dial':14} {'within':>7} {'median miss':>12} {'identity':>9} {'seconds':>8}")
    for name, figures in rows.items():
        miss, identity, seconds, _ = np.array(figures).T
        unit = np.median(miss) * MEASURES[name].tolerance
        print(f"{name:14} {(miss <= 1).mean():7.0%} {unit:12.3f} {identity.mean():9.2f} {seconds.mean():8.2f}")
    if points:
        render, pixels, seen, seconds = np.array(points).T
        print(
            f"points, {method}: {render.mean():.2f} of the way left (median {np.median(render):.2f}); in the photo "
            f"{pixels.mean():.2f} by its pixels, {seen.mean():.2f} by landmarks; one point: {seconds.mean():.1f} s"
        )
    if leaks:
        print(f"regions: {sum(leaks)} pixels changed outside the mouth in {len(leaks)} photos")
    for name, values in borders.items():
        plain, code, kept, share, seconds = np.array(values).T
        print(
            f"border, {name}: rim {plain.mean():.4f} -> {kept.mean():.4f} (highest {kept.max():.4f}; the code alone "
            f"{code.mean():.4f}) of the range; judge keeps {share.mean():.0%} (lowest {share.min():.0%}); "
            f"{seconds.mean():.1f} s"
        )
    if options.picture:
        names = ["inverted", *(f"{name} {end}" for name in rows for end in ("low", "high"))]
        names += ["dragged"] * bool(points)
        write_png(
            Path(options.picture).with_stem(f"{Path(options.picture).stem}-{method}"),
            labelled_grid(grid, names, ["" for _ in grid]),
        )


if __name__ == "__main__":
    main()
