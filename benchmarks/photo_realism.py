# ruff: noqa: E402
"""How real an edited photo looks at its own size, beside real photos of the same people.

    python benchmarks/photo_realism.py --photos FOLDER --work OUT [-- further options of `edit`]

FOLDER holds NAME_neutral.jpg and NAME_smiling.jpg. `edit` adds a smile to the neutral photos and takes it from the
smiling ones; each result is compared with the person's other photo. The mouth is a box of 1.5 x 1 eye distances around
MTCNN's mouth corners (.05 lower), resampled to 144 x 96.

sharpness   mean absolute Laplacian of the mouth's middle half, over that of the real photo
foreign     mean Lab distance of the middle two thirds' pixels to the nearest pixel in the person's own two mouths
features    SqueezeNet distance of the mouth to the real photo's, over that of the unedited mouth
geometry    how much wider and higher the corners got, in eye distances, beside those of the real photo; by a face mesh
            (`--mesh face_landmark.tflite` of mediapipe, with ai-edge-litert installed), else by MTCNN
identity    distance of the recognition descriptors to the real photo; in brackets that of the unedited photo"""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # a script's own folder comes first, and holds namesakes

import argparse
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy.ndimage import laplace
from scipy.spatial import cKDTree
from skimage.color import rgb2lab

from inversion.faces.align import align_face, face_quad, whole_image_quad
from inversion.faces.detect import Face, detect_faces
from inversion.faces.judges import identity_distance
from inversion.faces.landmarks import find_landmarks
from inversion.faces.looks import score_photo
from inversion.faces.mouth import find_opening
from stylegan_core.features.perceptual import load_perceptual
from stylegan_core.images import read_photo, to_tensor, to_uint8, write_png
from stylegan_core.networks.protocol import Alignment

ALIGNMENT = Alignment(0.8, 0.08)
MOUTH_SIZE = (144, 96)
COLUMNS = ("sharpness", "foreign", "features", "geometry", "identity")
HIGH_IS_GOOD = ("sharpness", "geometry")
MESH_CORNERS, MESH_LIPS, MESH_EYES = (61, 291), (0, 17, 13, 14), ((33, 133), (362, 263))


@dataclass(frozen=True)
class Look:
    """A photo and what is measured on it."""

    rgb: NDArray[np.uint8]
    face: Face
    mouth: NDArray[np.uint8]  # [96, 144, 3]
    shape: tuple[float, float]  # the mouth's width, and how high its corners are over its middle, in eye distances


def look_at(path: Path, mesh: Any) -> Look:
    """Read a photo of one person and find the mouth."""
    rgb = read_photo(path).rgb
    face = detect_faces(rgb)[0]
    return Look(rgb, face, cut_mouth(rgb, face), mesh(rgb, face) if mesh else mtcnn_shape(face))


def cut_mouth(rgb: NDArray[np.uint8], face: Face) -> NDArray[np.uint8]:
    """Cut out the box around the mouth."""
    left_eye, right_eye, _, left, right = face.landmarks
    unit = float(np.linalg.norm(right_eye - left_eye))
    x, y = (left + right) / 2 + [0, 0.05 * unit]
    box = (x - 0.75 * unit, y - 0.5 * unit, x + 0.75 * unit, y + 0.5 * unit)
    return np.asarray(Image.fromarray(rgb).resize(MOUTH_SIZE, Image.Resampling.BICUBIC, box=box))


def middle(image: NDArray[Any], share: float) -> NDArray[Any]:
    """Return the middle part of an image."""
    height, width = image.shape[:2]
    rows, columns = (round(side * (1 - share) / 2) for side in (height, width))
    return image[rows : height - rows, columns : width - columns]


def mtcnn_shape(face: Face) -> tuple[float, float]:
    """Return width and height of the mouth's corners by MTCNN: the height is that over the line of the nose's tip."""
    left_eye, right_eye, nose, left, right = face.landmarks
    unit = float(np.linalg.norm(right_eye - left_eye))
    return float(np.linalg.norm(right - left)) / unit, float(nose[1] - (left + right)[1] / 2) / unit


def mesh_shape(model: str) -> Callable[[NDArray[np.uint8], Face], tuple[float, float]]:
    """Return what measures a mouth by mediapipe's face mesh (468 points of an upright crop of 192 px)."""
    from ai_edge_litert.interpreter import Interpreter  # optional

    network = Interpreter(model, num_threads=1)
    network.allocate_tensors()
    places = network.get_input_details()[0]["index"], network.get_output_details()[0]["index"]

    def measure(rgb: NDArray[np.uint8], face: Face) -> tuple[float, float]:
        crop = align_face(rgb, face_quad(face.landmarks, Alignment(0.75, 0.1)), 192)
        network.set_tensor(places[0], crop.add(1).div(2).permute(0, 2, 3, 1).numpy())
        network.invoke()
        points = network.get_tensor(places[1]).reshape(468, 3)[:, :2]
        eyes = [points[list(pair)].mean(axis=0) for pair in MESH_EYES]
        unit = float(np.linalg.norm(eyes[1] - eyes[0]))
        left, right = points[list(MESH_CORNERS)]
        raised = points[list(MESH_LIPS), 1].mean() - (left[1] + right[1]) / 2
        return float(np.linalg.norm(right - left)) / unit, float(raised) / unit

    return measure


@cache
def squeezenet() -> Any:
    """The embedded features."""
    return load_perceptual("squeeze-uncalibrated")


@torch.no_grad()
def feature_distance(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    """Return the SqueezeNet distance of two pictures of one size."""
    return float(squeezenet()(to_tensor(one), to_tensor(other)))


def sharpness(look: Look) -> float:
    """Return the mean absolute Laplacian in the mouth's middle half."""
    return float(np.abs(laplace(middle(look.mouth, 0.5).astype(np.float64).mean(axis=-1))).mean())


def foreign_colour(look: Look, own: list[Look]) -> float:
    """Return the mean Lab distance of a mouth's pixels to the nearest of the person's own mouths."""
    pixels, known = (rgb2lab(middle(mouth, 2 / 3)).reshape(-1, 3) for mouth in (look.mouth, own[0].mouth))
    known = np.concatenate([known, *(rgb2lab(middle(item.mouth, 2 / 3)).reshape(-1, 3) for item in own[1:])])
    return float(cKDTree(known).query(pixels)[0].mean())


def identity(one: Look, other: Look) -> float:
    """Return the distance of the recognition descriptors."""
    crops = [align_face(look.rgb, face_quad(look.face.landmarks, ALIGNMENT), 256) for look in (one, other)]
    return float(identity_distance(*crops, ALIGNMENT))


def measure(before: Look, edited: Look, real: Look) -> dict[str, float]:
    """Return the row of one face."""
    moved, wanted = (sum(look.shape) - sum(before.shape) for look in (edited, real))
    return {
        "sharpness": sharpness(edited) / sharpness(real),
        "foreign": foreign_colour(edited, [before, real]),
        "features": feature_distance(edited.mouth, real.mouth) / feature_distance(before.mouth, real.mouth),
        "geometry": moved,
        "real": wanted,
        "identity": identity(edited, real),
        "unedited": identity(before, real),
        "unedited sharpness": sharpness(before) / sharpness(real),
    }


def shows_teeth(look: Look) -> bool:
    """Tell whether a mouth shows teeth."""
    face = align_face(look.rgb, face_quad(look.face.landmarks, ALIGNMENT), 256)
    return find_opening(face, find_landmarks(face, ALIGNMENT)[0].double().numpy()) is not None


def print_table(what: str, rows: dict[str, dict[str, float]]) -> None:
    """Print means and worst faces."""

    def mean(name: str) -> float:
        return float(np.mean([row[name] for row in rows.values()]))

    sign = 1 if mean("real") > 0 else -1
    print(f"{what}, {len(rows)} people")
    print(f"  {'':12}{'mean':>8}{'worst':>8}  of")
    for name in COLUMNS:
        values = {person: row[name] * (sign if name == "geometry" else 1) for person, row in rows.items()}
        worst = (min if name in HIGH_IS_GOOD else max)(values, key=lambda person: values[person])
        print(f"  {name:12}{mean(name):8.3f}{rows[worst][name]:8.3f}  {worst}", end="")
        if name == "geometry":
            right = np.mean([value > 0 for value in values.values()])
            print(f"  ({mean(name) / mean('real'):.0%} of the real {mean('real'):+.3f}; right way in {right:.0%})")
        elif name == "sharpness":
            print(f"  (unedited {mean('unedited sharpness'):.3f})")
        else:
            print(f"  (unedited {mean('unedited'):.3f})" if name == "identity" else "")


def print_limits(looks: list[tuple[str, list[Look]]]) -> None:
    """Print what `inversion/faces/looks.py` measures of the edited photos and of the real ones, beside those before."""
    for what, index in (("edited", 1), ("real", 2)):
        found = []
        for _, three in looks:
            faces = [align_face(look.rgb, face_quad(look.face.landmarks, ALIGNMENT), 384) for look in three]
            before, after = to_uint8(faces[0])[0], to_uint8(faces[index])[0]
            found.append(score_photo(before, after, whole_image_quad(384, 384), ALIGNMENT))
        for name in ("identity_distance", "mouth_sharpness", "foreign_colour"):
            values = [getattr(scores, name) for scores in found]
            low, tenth, median, ninetieth, high = np.percentile(values, [0, 10, 50, 90, 100])
            print(f"  {what:7}{name:18}{low:7.3f} to {high:.3f}, median {median:.3f}", end="")
            print(f", 80 % within {tenth:.3f} to {ninetieth:.3f}")


def contact_sheet(rows: list[tuple[str, list[Look]]], side: int, columns: int = 2) -> NDArray[np.uint8]:
    """Draw photos side by side, a row a person, the part around the face."""
    strips = []
    for name, looks in rows:
        cells = []
        for look in looks:
            quad = face_quad(look.face.landmarks, Alignment(0.72, 0.1))
            (left, top), (right, bottom) = quad.min(axis=0), quad.max(axis=0)
            box = (max(left, 0), max(top, 0), min(right, look.rgb.shape[1]), min(bottom, look.rgb.shape[0]))
            cells.append(Image.fromarray(look.rgb).resize((side, side), Image.Resampling.LANCZOS, box=box))
        strip = Image.fromarray(np.concatenate([np.asarray(cell) for cell in cells], axis=1))
        ImageDraw.Draw(strip).text((4, 2), name, fill="white", stroke_width=2, stroke_fill="black")
        strips.append(np.asarray(strip))
    while len(strips) % columns:
        strips.append(np.full_like(strips[0], 255))
    return np.concatenate([np.concatenate(strips[i : i + columns], axis=1) for i in range(0, len(strips), columns)])


def edit_photos(photos: list[Path], strength: float, out: Path, options: list[str]) -> None:
    """Run the product's own command on the photos that have no result yet."""
    left = [str(path) for path in photos if not result_of(out, path).is_file()]
    if left:
        how = ["--transfer", f"smile:{strength:g}", "--out", str(out), "--quiet", *options]
        subprocess.run([sys.executable, "-c", "from cli import edit_main; edit_main()", *left, *how], check=True)


def result_of(out: Path, photo: Path) -> Path:
    """Return where `edit` puts the edited photo."""
    return out / photo.stem / "face0" / "photo_edited.png"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", required=True, help="folder of NAME_neutral.jpg and NAME_smiling.jpg")
    parser.add_argument("--work", required=True, help="folder for edited photos and contact sheets; results are kept")
    parser.add_argument("--strength", type=float, default=1.0)
    parser.add_argument("--mesh", default="", help="face_landmark.tflite of mediapipe")
    parser.add_argument("--ways", default="more,less", help="adding a smile, taking it away, or both")
    parser.add_argument("--side", type=int, default=320, help="pixels of a face in the contact sheets")
    parser.add_argument("--each", action="store_true", help="print every face's row as well")
    parser.add_argument("--before", default="", help="--work of an earlier run, whose results are set beside these")
    parser.add_argument("--people", default="", help="of the contact sheet, separated by commas; empty: all")
    parser.add_argument("--teeth", action="store_true", help="only people whose real smile shows teeth")
    parser.add_argument("--limits", action="store_true", help="print what the product's own scores say as well")
    parser.add_argument("options", nargs="*", help="further options of `edit`, after --")
    args = parser.parse_args()
    mesh = mesh_shape(args.mesh) if args.mesh else None
    for way in args.ways.split(","):
        before, after = ("neutral", "smiling") if way == "more" else ("smiling", "neutral")
        photos = sorted(Path(args.photos).glob(f"*_{before}.jpg"))
        out = Path(args.work) / way
        edit_photos(photos, args.strength if way == "more" else -args.strength, out, args.options)
        rows, looks = {}, []
        for path in photos:
            name = path.stem.removesuffix(f"_{before}")
            real = path.with_name(f"{name}_{after}.jpg")
            three = [look_at(file, mesh) for file in (path, result_of(out, path), real)]
            if args.teeth and not shows_teeth(three[0 if way == "less" else 2]):
                continue
            rows[name] = measure(*three)
            looks.append((name, three))
            if args.each:
                print(name, {key: round(value, 3) for key, value in rows[name].items()})
        print_table("adding a smile" if way == "more" else "taking a smile away", rows)
        if args.limits:
            print_limits(looks)
        if args.before:
            earlier = Path(args.before) / way
            looks = [(name, [three[0], look_at(result_of(earlier, Path(f"{name}_{before}.jpg")), mesh), *three[1:]])
                     for name, three in looks]  # fmt: skip
        shown = [item for item in looks if not args.people or item[0] in args.people.split(",")]
        write_png(Path(args.work) / f"{way}.png", contact_sheet(shown, args.side))


if __name__ == "__main__":
    main()
