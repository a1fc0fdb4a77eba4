"""Figures of editing with the default generator: what each shipped direction moves, and what --strength auto reaches.

    python benchmarks/editing.py --data faces256.zip [--held] [--out docs/images] [--auto smile age] [--group photo.jpg]

With --held the faces are those of the set that nothing was trained on (every tenth without a person). Otherwise they
are the neutral photos of the last 20 people of the set (no direction was fitted to them), as the encoder's codes, or
with --codes project as W+ inversions; directions that lower their starting point (neutral) are measured on the smiling
photos of the same people. Judges look at renders. Writes a strip a direction and the leak matrix."""

# ruff: noqa: E402
import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)  # this script has the name of a package beside it

import argparse
import subprocess
import tempfile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from editing.config import SearchConfig
from editing.discover.named import fitted_judge, named_faces
from editing.discover.pairs import read_pairs
from editing.editor import Editor
from editing.expression import move
from editing.judging import effect, find_judge
from editing.operations.transfer import Transfer
from editing.render import EditedFace, paste_into_photo
from editing.strength import search_line
from inversion.config import InvertConfig, ProjectionConfig
from inversion.encoder import guess_codes, guess_w
from inversion.faces.align import align_face
from inversion.faces.attributes import EXPRESSIONS
from inversion.faces.judges import JUDGES, Judge, expression_probabilities
from inversion.invert import Inverter
from inversion.latents import Latent, load_latent
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.directions import Direction, load_direction, shipped_directions
from stylegan_core.generate import generate_ws, render
from stylegan_core.images import labelled_grid, read_photo, to_uint8, write_png
from stylegan_core.training.dataset import ImageDataset, left_out

NOTE = "Made by a generative network (Invertigo); not a photograph."
HELD = 10  # every tenth face was left out of training
STRIP = (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5)
CELL = 64
STRIP_SEEDS = (18, 12)


def validation_codes(data: str, num: int, codes: str) -> tuple[Any, Tensor, Tensor]:
    """Return the generator and codes of the neutral and the smiling faces of the last `num` people."""
    inverter = Inverter(InvertConfig(align=False, device="cpu"), ProjectionConfig(steps=150))
    sides: list[list[Tensor]] = [[], []]
    for pair in read_pairs(Path(data))[-num:]:
        for side, photo in zip(sides, (pair.neutral, pair.expression), strict=True):
            face = inverter.align(photo)[0]
            guess = guess_codes(inverter.generator, face.target)
            project = codes == "project" or guess is None
            side.append(inverter.invert_face(photo, face).latent.ws if project else guess)
    return inverter.generator, torch.cat(sides[0]), torch.cat(sides[1])


def held_codes(data: str) -> tuple[Any, Tensor]:
    """Return the generator and the encoder's codes of the faces that were left out of all training."""
    generator = load_generator(InvertConfig().generator)
    images = ImageDataset(data, generator.img_resolution)
    rows, names = images.attributes(), images.files.names
    held = [i for i, name in enumerate(names) if left_out(rows.get(name, {}), i, (), HELD)]
    codes = [guess_w(generator, images.batch([index])[0]) for index in held]
    return generator, torch.cat(codes)[:, None].repeat(1, generator.num_ws, 1)


def own_judge(generator: Any, direction: Direction, data: str) -> Judge | None:
    """Return what tells of a direction's attribute: a judge, a scale, or a classifier fitted to the named photos."""
    if direction.attribute:
        return find_judge(direction.attribute)
    if words := direction.report.get("condition"):
        return fitted_judge(named_faces(generator, data, words, holdout=HELD), generator.w_avg.device)[0]
    return None


def direction_row(
    generator: Any, direction: Direction, judge: Judge | None, neutral: Tensor, smiling: Tensor
) -> Tensor:
    """Print what strength 1 does and return every judge's mean change in clear changes, [len(JUDGES)]."""
    attribute = direction.attribute
    ws = smiling if attribute == "neutral" else neutral
    changes, identity = effect(generator, ws, direction.vector, 1.0, direction.layers)
    if judge is not None:
        own, _ = effect(generator, ws, direction.vector, 1.0, direction.layers, judge)
        moved = f"{100 * float((own > 0).float().mean()):5.0f} % {float(own.mean()):+9.3f}"
    else:
        moved = f"{'-':>7} {'-':>9}"
    print(
        f"{direction.name:14} {attribute or '-':10} {moved} {float(identity.mean()):9.3f} {float(identity.max()):8.3f}"
    )
    return changes.mean(dim=0) / torch.tensor([judge.clear for judge in JUDGES.values()])


def heat_map(rows: list[str], columns: list[str], values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Draw a matrix: red is up, blue is down, full colour one clear change (half a probability, or ten years)."""
    left, top = 110, 90
    canvas = Image.new("RGB", (left + CELL * len(columns), top + CELL // 2 * len(rows) + 8), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=12)
    for column, name in enumerate(columns):
        label = Image.new("RGB", (80, 16), "white")
        ImageDraw.Draw(label).text((0, 0), name, fill="black", font=font)
        canvas.paste(label.rotate(90, expand=True), (left + CELL * column + CELL // 2 - 8, 6))
    for row, name in enumerate(rows):
        y = top + CELL // 2 * row
        draw.text((left - 6, y + CELL // 4), name, fill="black", font=font, anchor="rm")
        for column, value in enumerate(values[row]):
            x, depth = left + CELL * column, min(abs(float(value)), 1.0)
            fade = round(255 * (1 - depth))
            colour = (255, fade, fade) if value > 0 else (fade, fade, 255)
            draw.rectangle((x, y, x + CELL - 2, y + CELL // 2 - 2), fill=colour)
            ink = "white" if depth > 0.6 else "black"
            draw.text((x + CELL // 2, y + CELL // 4), f"{value:+.2f}", fill=ink, font=font, anchor="mm")
    return np.asarray(canvas)


def write_strip(generator: Any, direction: Direction, path: Path) -> None:
    """Write two of the generator's own faces (nobody's) at the strengths of `STRIP`."""
    rows = []
    for w in generate_ws(generator, STRIP_SEEDS, psi=0.8):
        codes = torch.cat([move(w[None], direction.vector, strength, direction.layers) for strength in STRIP])
        rows.append([*to_uint8(render(generator, codes))])
    write_png(path, labelled_grid(rows, column_labels=[f"{s:+.1f}" for s in STRIP], side=96), NOTE)


def auto_rows(generator: Any, names: list[str], ws: Tensor) -> None:
    """Print how close --strength auto gets, and that no budget is broken."""
    meta = generator.meta
    for name in names:
        search = SearchConfig(target=35.0 if name == "age" else 0.8)
        reports = []
        for w in ws:
            latent = Latent(w[None], w[None], generator=meta.fingerprint)
            found = Editor(generator, latent).apply(Transfer(name, "auto", search=search)).latent
            reports.append(found.report["strength_search"])
        reached = [report for report in reports if report["reached"]]
        gaps = [abs(report["best"]["value"] - search.target) for report in reached]
        worst = max(report["best"]["identity"] for report in reports)
        leak = max(report["best"]["leak"] for report in reports)
        print(
            f"{name:10} target {search.target:g}: reached {len(reached)} of {len(reports)}, gap at most "
            f"{max(gaps, default=0):.3f}; identity at most {worst:.3f} (ceiling {search.identity_ceiling:g}), "
            f"change outside the face at most {leak:.3f} (budget {search.leak:g})"
        )
        missed = next((report for report in reports if not report["reached"]), None)
        if missed is not None:
            print(f"           for example: {search_line(missed)}")


def group_rows(generator: Any, path: str, faces: str, strength: float) -> None:
    """Let several faces of one photo smile with one command; print each one's judge, and what else changed."""
    cli = Path(__file__).resolve().parent.parent / "cli.py"
    with tempfile.TemporaryDirectory() as out:
        words = ["edit", path, "--transfer", f"smile:{strength:g}", "--faces", faces, "--out", out]
        subprocess.run([sys.executable, str(cli), *words], check=True, capture_output=True)
        whole = next(Path(out).glob("*/photo_edited.png"))
        edited = read_photo(whole).rgb
        latents = [load_latent(file) for file in sorted(whole.parent.glob("face*/latent.npz"))]
    photo = read_photo(path)
    again, results = paste_into_photo(photo, [EditedFace(generator, latent) for latent in latents], "auto")
    print(f"\n{Path(path).name}, faces {faces}: happy before and after, in the photos themselves")
    alignment, size = generator.meta.alignment, 128
    for index, latent in enumerate(latents):
        assert latent.quad is not None
        crops = torch.cat([align_face(rgb, latent.quad, size) for rgb in (photo.rgb, edited)])
        before, after = expression_probabilities(crops, alignment)[:, EXPRESSIONS.index("happy")].tolist()
        print(f"face {index}: {before:.3f} -> {after:.3f}")
    outside = np.stack([result.mask for result in results]).max(axis=0) == 0
    same = bool((edited[outside] == photo.rgb[outside]).all()) and bool((again == edited).all())
    print(f"outside the {len(latents)} masks: {outside.mean():.0%} of the photo, bit-identical: {same}")


def main() -> None:
    """Print the tables and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="zip or folder with attributes.csv (faces128.zip)")
    parser.add_argument("--pairs", type=int, default=20, help="validation people, from the end")
    parser.add_argument("--held", action="store_true", help="measure on every tenth face without a person instead")
    parser.add_argument("--codes", default="encoder", choices=("encoder", "project"))
    parser.add_argument("--directions", default="", help="folder of directions to measure instead of the shipped ones")
    parser.add_argument("--auto", nargs="*", default=["smile", "age"], help="directions for --strength auto")
    parser.add_argument("--auto-faces", type=int, default=8)
    parser.add_argument("--group", default="", help="photo of several faces that are to smile")
    parser.add_argument("--group-faces", default="4", help="which of them: 4 is the four largest")
    parser.add_argument("--group-strength", type=float, default=1.0)
    parser.add_argument("--out", default="", help="folder for the pictures")
    options = parser.parse_args()
    if options.held:
        generator, neutral = held_codes(options.data)
        smiling = neutral
    else:
        generator, neutral, smiling = validation_codes(options.data, options.pairs, options.codes)
    if options.directions:
        found = [load_direction(path) for path in sorted(Path(options.directions).glob("*.npz"))]
    else:
        found = list(shipped_directions(generator.meta.fingerprint).values())
    whose = "held-out faces" if options.held else "validation people"
    print(f"{generator.meta.name}, {len(neutral)} {whose}, codes: {options.codes}; strength 1")
    print(f"{'direction':14} {'judge':10} {'moved so':>7} {'change':>9} {'identity':>9} {'highest':>8}")
    judges = [own_judge(generator, item, options.data) for item in found]
    rows = [direction_row(generator, item, judge, neutral, smiling) for item, judge in zip(found, judges, strict=True)]
    matrix = torch.stack(rows)
    print(f"\nleak matrix, in clear changes (half a probability, ten years)\n{'':14}", *(f"{n[:9]:>9}" for n in JUDGES))
    for item, row in zip(found, matrix, strict=True):
        print(f"{item.name:14}", *(f"{value:+9.2f}" for value in row))
    print()
    auto_rows(generator, options.auto, neutral[: options.auto_faces])
    if options.group:
        group_rows(generator, options.group, options.group_faces, options.group_strength)
    if options.out:
        out = Path(options.out)
        write_png(out / "leak-matrix.png", heat_map([item.name for item in found], list(JUDGES), matrix.numpy()))
        for item in found:
            write_strip(generator, item, out / f"direction-{item.name}.png")


if __name__ == "__main__":
    main()
