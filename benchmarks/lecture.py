# ruff: noqa: E402
"""Run docs/gans.md: what it measures of theory, and every objective, preset and trick by the command line it prints.

    python benchmarks/lecture.py --out lecture [--part theory|objectives|presets|tricks|balance|configs|faces]
                                 [--faces SET.zip] [--kimg 20]

Each training is one `invertigo train`, printed with its processor seconds. On the ring of 8 modes and on digits
(`sample-data`, 16 pixels) 1,000 samples are counted as `lecture_judges.py` says: a mode is found with 1 % of the
samples, all good. Presets are trained on digits, configs A to F of StyleGAN's table on faces too. Faces are measured by
`fd-squeezenet`, 500 samples. Without --faces they are renders of the default generator. The parts can run side by side;
what is finished is not run again. Tables are printed as Markdown, pictures lie in OUT."""

import sys
from pathlib import Path

sys.path[:1] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

import argparse
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from lecture_judges import DigitsJudge, FaceJudge, Judge, RingJudge, count
from lecture_theory import mode_collapse, optimal_discriminator, transport
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont, ImageSequence

from cli import main
from stylegan_core.images import write_png
from stylegan_core.objectives import OBJECTIVES

Pixels = NDArray[np.uint8]
COMMON = ("--snapshot-kimg", "1000", "--device", "cpu")
SMALL = ("--no-mirror", *COMMON)
BATCH = {"--batch": "32"}
DCGAN = ("--preset", "dcgan", "--channel-base", "256")
RATES = {"--lr-g": "1e-3", "--lr-d": "1e-3"}  # five times the paper's, for some hundred steps


def with_defaults(defaults: dict[str, str], *options: str) -> tuple[str, ...]:
    """`options`, after those `defaults` that they do not give."""
    missing = [word for name, value in defaults.items() if name not in options for word in (name, value)]
    return (*missing, *options)


def dcgan(*options: str) -> tuple[str, ...]:
    """Options of a DCGAN of 16 pixels: at RATES, where `options` do not give others."""
    return (*DCGAN, *with_defaults(RATES, *options))


NARROW = ("--channel-base", "256", "--channel-max", "16", "--z-dim", "32", "--w-dim", "32")
QUICK = {
    "wgan": ("--lr-g", "5e-4", "--lr-d", "5e-4", "--n-critic", "2", "--clip", "0.05"),
    "wgan-gp": ("--n-critic", "2"),
    "dragan": ("--ema-kimg", "1", "--anneal", "0.5"),
    "ebgan": ("--margin", "0.1"),
    "began": ("--lr-g", "5e-4", "--gamma", "1", "--lambda-k", "10", "--critic-code", "16"),
}
LONGER = {"dragan": 3.0}  # times --kimg: without batch norm D learns more slowly
STEADY = ("--r1-gamma", "0.2", "--ema-kimg", "1")
STYLES = ("--batch", "16", *NARROW, *STEADY)
SLOWEST = ("--batch", "8", *STEADY, "--channel-base", "256", "--channel-max", "8", "--z-dim", "32", "--w-dim", "32")
PRESETS = {  # options, and times --kimg
    "dcgan": (dcgan(), 3.0),
    "dcgan-began": (dcgan("--objective", "began", *QUICK["began"]), 3.0),
    "autoencoder": (("--preset", "autoencoder", "--width", "16"), 3.0),
    "vae": (("--preset", "vae", "--width", "16", "--lr-g", "2e-3"), 2.0),
    "lapgan": (("--preset", "lapgan", "--r1-gamma", "1", "--r1-every", "1", "--ema-kimg", "1", "--anneal", "0.5"), 3.0),
    "micro-stylegan": (("--preset", "micro-stylegan", *STYLES), 1.5),
    "stylegan1-a": (("--preset", "stylegan1-a", *STYLES, "--phase-kimg", "0"), 1.5),
    "stylegan1-f": (("--preset", "stylegan1-f", *STYLES, "--phase-kimg", "0"), 1.5),
    "stylegan2": (("--preset", "stylegan2", *STYLES), 1.0),
    "stylegan2-ada": (("--preset", "stylegan2-ada", *STYLES), 1.0),
    "stylegan2-small": (("--preset", "stylegan2-small", *STYLES), 1.0),
    "stylegan2-cifar": (("--preset", "stylegan2-cifar", *STYLES), 1.0),
    "stylegan3-t": (("--preset", "stylegan3-t", *SLOWEST), 0.2),
    "stylegan3-r": (("--preset", "stylegan3-r", *SLOWEST), 0.2),
}
TRICKS = {
    "none": (),
    "one-sided labels": ("--real-label", "0.9"),
    "history": ("--history", "500"),
    "two rates": ("--lr-g", "2.5e-4"),
    "average": ("--ema-kimg", "1"),
    "minibatch std": ("--minibatch-std",),
    "spectral norm": ("--spectral-norm",),
    "R1": ("--r1-gamma", "0.1", "--r1-every", "1"),
    "consistency": ("--bcr", "10"),
}
BALANCE = {
    "weak D": ("--lr-d", "1e-5"),
    "good": ("--minibatch-std", "--real-label", "0.9"),
    "bad G": ("--lr-d", "2e-3", "--lr-g", "2e-5"),
}
CONFIGS = (
    *("--resolution", "32", "--batch", "16", "--phase-kimg", "1", "--first-resolution", "8"),
    *("--channel-base", "512", "--channel-max", "64", "--z-dim", "64", "--w-dim", "64", *COMMON),
)
FACES = (
    *("--preset", "dcgan", "--resolution", "64", "--channel-base", "1024", "--batch", "32", "--minibatch-std"),
    *("--real-label", "0.9", "--ema-kimg", "1", *COMMON),
)


@dataclass(frozen=True)
class Run:
    """A training by the command line, finished."""

    name: str
    folder: Path
    command: str
    seconds: float  # of one core

    @property
    def snapshot(self) -> Path:
        """The newest snapshot."""
        return sorted(self.folder.glob("snapshot-*.safetensors"))[-1]

    def samples(self, columns: int = 4) -> Pixels:
        """The first columns of the newest sheet of samples, which has 4 rows and 8 columns."""
        sheet = np.asarray(Image.open(sorted(self.folder.glob("samples-*.png"))[-1]).convert("RGB"))
        return sheet[:, : sheet.shape[1] * columns // 8]


def invertigo(*arguments: str) -> float:
    """Run a command as the shell would, but in this process, which has imported torch; return its processor seconds."""
    start = time.process_time()
    main([*arguments, "--quiet"], prog_name="invertigo", standalone_mode=False)
    return time.process_time() - start


def train(out: Path, name: str, data: Path, kimg: float, *options: str) -> Run:
    """Train by the command line, or find it done; print the command."""
    folder = out / name.replace(" ", "-")
    arguments = ("train", "--data", str(data), "--kimg", f"{kimg:g}", *options, "--out", str(folder))
    command, note = f"invertigo {' '.join(arguments)}", folder / "lecture.json"
    if note.exists() and json.loads(note.read_text())["command"] == command:
        return Run(name, folder, command, json.loads(note.read_text())["seconds"])
    seconds = invertigo(*arguments)
    note.write_text(json.dumps({"command": command, "seconds": seconds}))
    print(f"{command}    # {seconds:.0f} s of one core", flush=True)
    return Run(name, folder, command, seconds)


@dataclass(frozen=True)
class Task:
    """A labelled set of `sample-data` and its judge."""

    kind: str
    data: Path
    judge: Judge


def task(out: Path, kind: str) -> Task:
    """The ring or the digits at 16 pixels, made once."""
    data = out / f"{kind}.zip"
    if not data.exists():
        invertigo("sample-data", kind, "--resolution", "16", "--out", str(data))
    return Task(kind, data, RingJudge(data) if kind == "ring" else DigitsJudge(data))


def face_set(out: Path, given: str | None) -> Path:
    """The faces of the user, or renders of the default generator, made once."""
    data = Path(given) if given else out / "faces.zip"
    if not data.exists():
        renders = out / "renders"
        invertigo("generate", "--seeds", "0-999", "--psi", "1", "--out", str(renders), "--device", "cpu")
        (renders / "grid.png").unlink(missing_ok=True)
        invertigo("dataset", "make", str(renders), str(data), "--resolution", "64")
    return data


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print a Markdown table."""
    head = list(head)
    for row in (head, ["---"] * len(head), *rows):
        print(f"| {' | '.join(map(str, row))} |", flush=True)


def sheet(path: Path, cells: dict[str, Pixels], columns: int, side: int) -> None:
    """Write pictures under their titles, each `side` pixels wide."""
    height = max(side * picture.shape[0] // picture.shape[1] for picture in cells.values())
    rows = -(-len(cells) // columns)
    canvas = Image.new("RGB", (columns * (side + 10) + 10, rows * (height + 30) + 10), "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=14)
    for index, (title, picture) in enumerate(cells.items()):
        x, y = 10 + index % columns * (side + 10), 5 + index // columns * (height + 30)
        draw.text((x, y), title, fill="black", font=font)
        scaled = (side, side * picture.shape[0] // picture.shape[1])
        enlarges = picture.shape[1] <= side
        how = Image.Resampling.NEAREST if enlarges else Image.Resampling.LANCZOS
        canvas.paste(Image.fromarray(picture).resize(scaled, how), (x, y + 22))
    write_png(path, np.asarray(canvas), note="Samples are synthetic images by generators in training")


def train_and_count(
    out: Path,
    part: str,
    given: Task,
    variants: dict[str, tuple[str, ...]],
    kimg: float,
    longer: dict[str, float] | None = None,
) -> list[Run]:
    """Train variants, some of them `longer`, print their table, write their samples."""
    longer, judge = longer or {}, given.judge
    runs = [
        train(out, f"{part}-{name}", given.data, longer.get(name, 1.0) * kimg, *SMALL, *with_defaults(BATCH, *options))
        for name, options in variants.items()
    ]
    rows = []
    for name, run in zip(variants, runs, strict=True):
        modes, good, sharp = count(judge, run.snapshot)
        shown = f"{longer.get(name, 1.0) * kimg:g}"
        rows.append((name, shown, f"{modes} of {judge.num_modes}", f"{good:.0%}", f"{sharp:.2f}", f"{run.seconds:.0f}"))
    table((f"{part}, {given.kind}", "kimg", "modes", "good samples", "high frequencies", "seconds"), rows)
    samples = dict(zip(variants, (run.samples() for run in runs), strict=True))
    sheet(out / f"{part}.png", samples, columns=5, side=192)
    return runs


def between(out: Path, runs: dict[str, Run], pairs: int = 3) -> None:
    """Straight lines between codes of two seeds, 8 pictures each, a row a pair, for each of `runs`."""
    cells = {}
    for name, run in runs.items():
        rows = []
        for pair in range(pairs):
            folder = out / f"between-{name}-{pair}"
            ends = (str(2 * pair), str(2 * pair + 1))
            command = ("interpolate", *ends, "--generator", str(run.snapshot), "--frames", "8", "--device", "cpu")
            if not folder.exists():
                invertigo(*command, "--out", str(folder))
                print(f"invertigo {' '.join(command)} --out {folder}", flush=True)
            with Image.open(folder / "interpolation.gif") as film:
                frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(film)]
            rows.append(np.concatenate(frames, axis=1))
        cells[name] = np.concatenate(rows, axis=0)
    sheet(out / "between.png", cells, columns=3, side=320)


def tricks(out: Path, kimg: float, seeds: int = 2) -> None:
    """Each trick alone on top of one DCGAN, over several seeds."""
    ring, rows = task(out, "ring"), []
    for name, options in TRICKS.items():
        runs = [
            train(
                out,
                f"trick-{name}-{seed}",
                ring.data,
                kimg,
                *SMALL,
                *with_defaults(BATCH, *dcgan(*options)),
                "--seed",
                str(seed),
            )
            for seed in range(seeds)
        ]
        modes, good, _ = zip(*(count(ring.judge, run.snapshot) for run in runs), strict=True)
        shares = ", ".join(f"{share:.0%}" for share in good)
        shown = f"`{' '.join(options)}`" if options else "the DCGAN of the loss table"
        rows.append((name, shown, min(modes), f"{np.mean(good):.0%} ({shares})"))
    table(("trick", "option", "fewest modes", "good samples (each seed)"), rows)


def balance(out: Path, kimg: float) -> None:
    """A weak, a good and a bad training side by side: curves over samples."""
    variants = {name: dcgan(*options) for name, options in BALANCE.items()}
    runs = train_and_count(out, "balance", task(out, "ring"), variants, kimg)
    cells = {}
    for name, run in zip(BALANCE, runs, strict=True):
        curve = Image.open(run.folder / "training-curve.png").convert("RGB")
        samples = Image.fromarray(run.samples(8)).resize((720, 360), Image.Resampling.NEAREST)
        both = Image.new("RGB", (720, curve.height + 370), "white")
        both.paste(curve, (0, 0))
        both.paste(samples, (0, curve.height + 10))
        cells[name] = np.asarray(both)
    sheet(out / "balance.png", cells, columns=3, side=480)


def configs(out: Path, data: Path, kimg: float) -> None:
    """Configs A to F of StyleGAN's table 1, trained alike on faces of 32 pixels."""
    runs = [train(out, f"config-{c}", data, kimg, "--preset", f"stylegan1-{c}", *CONFIGS) for c in "abcdef"]
    judge = FaceJudge(data, 32)
    rows = [(run.name[-1].upper(), f"{judge.distance(run.snapshot):.0f}", f"{run.seconds:.0f}") for run in runs]
    table(("config", "fd-squeezenet", "seconds"), rows)
    sheet(out / "configs.png", {run.name[-1].upper(): run.samples() for run in runs}, columns=3, side=256)


def faces(out: Path, data: Path, kimg: float) -> None:
    """A DCGAN of 64 pixels: after a first command, and after the same one with three times the images."""
    judge, cells, rows = FaceJudge(data, 64), {}, []
    for images in (kimg, 3 * kimg):
        run = train(out, "faces", data, images, *FACES)
        rows.append((f"{images:g}", f"{judge.distance(run.snapshot):.0f}", f"{run.seconds:.0f}"))
        cells[f"{images:g} kimg"] = run.samples()
    table(("kimg", "fd-squeezenet", "seconds of this command"), rows)
    sheet(out / "faces.png", cells, columns=2, side=384)


def run_parts() -> None:
    """Run the parts that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = ("theory", "objectives", "presets", "tricks", "balance", "configs", "faces")
    parser.add_argument("--out", default="lecture")
    parser.add_argument("--part", choices=parts)
    parser.add_argument("--faces", help="square face images, folder or zip, 64 pixels or more")
    parser.add_argument("--kimg", type=float, default=20.0, help="thousands of images a training on the ring sees")
    options = parser.parse_args()
    torch.set_num_threads(1)
    out, kimg = Path(options.out), options.kimg
    out.mkdir(parents=True, exist_ok=True)
    todo = parts if options.part is None else (options.part,)
    if "theory" in todo:
        optimal_discriminator()
        transport()
        mode_collapse()
    if "objectives" in todo:
        variants = {name: dcgan("--objective", name, *QUICK.get(name, ())) for name in OBJECTIVES}
        train_and_count(out, "objectives", task(out, "ring"), variants, kimg, LONGER)
    if "presets" in todo:
        variants = {name: extra for name, (extra, _) in PRESETS.items()}
        longer = {name: times for name, (_, times) in PRESETS.items()}
        runs = train_and_count(out, "presets", task(out, "digits"), variants, kimg, longer)
        trained = dict(zip(variants, runs, strict=True))
        between(out, {name: trained[name] for name in ("autoencoder", "vae", "dcgan")})
    if "tricks" in todo:
        tricks(out, kimg)
    if "balance" in todo:
        balance(out, kimg)
    if "configs" in todo:
        configs(out, face_set(out, options.faces), kimg / 2)
    if "faces" in todo:
        faces(out, face_set(out, options.faces), kimg / 5)


if __name__ == "__main__":
    run_parts()
