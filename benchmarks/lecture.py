# ruff: noqa: E402
"""Run docs/gans.md: what it measures of theory, and every objective, preset and trick by the command line it prints.

    python benchmarks/lecture.py --out lecture [--part theory|objectives|presets|tricks|balance|configs|faces]
                                 [--faces SET.zip] [--kimg 20]

Each training is one `invertigo train`, printed with its processor seconds. On the ring of 8 modes (`sample-data ring`,
16 pixels) 1,000 samples are counted: a sample is good when it is as near to its mode's mean image as 99 % of the data
are to theirs, and a mode is found with 1 % of the samples, all good. Faces are measured by `fd-squeezenet`, 500
samples. Without --faces they are renders of the default generator. The parts can run side by side; what is finished is
not run again. Tables are printed as Markdown, pictures lie in OUT."""

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
from lecture_theory import mode_collapse, optimal_discriminator, transport
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from cli import main
from stylegan_core.checkpoints import load_generator
from stylegan_core.images import write_png
from stylegan_core.metrics.evaluate import collect, generated
from stylegan_core.metrics.extractors import get_extractor
from stylegan_core.metrics.frechet import FeatureStatistics, frechet_distance
from stylegan_core.metrics.frequency import HighFrequencies
from stylegan_core.objectives import OBJECTIVES
from stylegan_core.training.dataset import ImageDataset

Pixels = NDArray[np.uint8]
COMMON = ("--snapshot-kimg", "1000", "--device", "cpu")
RING = ("--batch", "32", "--no-mirror", *COMMON)
DCGAN = ("--preset", "dcgan", "--channel-base", "256")
RATES = {"--lr-g": "1e-3", "--lr-d": "1e-3"}  # five times the paper's, for some hundred steps
NARROW = ("--channel-base", "256", "--channel-max", "16", "--z-dim", "32", "--w-dim", "32")
QUICK = {
    "wgan": ("--lr-g", "5e-4", "--lr-d", "5e-4", "--n-critic", "2", "--clip", "0.05"),
    "wgan-gp": ("--n-critic", "2"),
    "dragan": ("--ema-kimg", "1", "--anneal", "0.5"),
    "ebgan": ("--margin", "0.1"),
    "began": ("--lr-g", "1e-4", "--gamma", "0.7"),
}
LONGER = {"dragan": 3.0}  # times --kimg: without batch norm D learns more slowly
PRESETS = {  # options, and times --kimg
    "dcgan": (("--channel-base", "256", "--lr-g", "1e-3", "--lr-d", "1e-3"), 1),
    "autoencoder": (("--width", "8"), 1),
    "vae": (("--width", "8", "--kl-weight", "0.2"), 1),
    "lapgan": (("--width", "16"), 2),
    "micro-stylegan": (NARROW, 1),
    "stylegan1-a": ((*NARROW, "--phase-kimg", "0"), 1),
    "stylegan2-ada": (NARROW, 1),
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


def dcgan(*options: str) -> tuple[str, ...]:
    """Options of a DCGAN on the ring: at RATES, where `options` do not give others."""
    rates = [word for name, rate in RATES.items() if name not in options for word in (name, rate)]
    return (*DCGAN, *rates, *options)


def ring_set(out: Path) -> Path:
    """The ring's images, made once."""
    data = out / "ring.zip"
    if not data.exists():
        invertigo("sample-data", "ring", "--resolution", "16", "--out", str(data))
    return data


def face_set(out: Path, given: str | None) -> Path:
    """The faces of the user, or renders of the default generator, made once."""
    data = Path(given) if given else out / "faces.zip"
    if not data.exists():
        renders = out / "renders"
        invertigo("generate", "--seeds", "0-999", "--psi", "1", "--out", str(renders), "--device", "cpu")
        (renders / "grid.png").unlink(missing_ok=True)
        invertigo("dataset", "make", str(renders), str(data), "--resolution", "64")
    return data


class RingJudge:
    """Knows the ring's modes by their mean images, and how far the data are from them."""

    def __init__(self, data: Path) -> None:
        ring = ImageDataset(data, labels=True)
        images, labels = ring.batch(range(len(ring)))
        self.means = (labels.T @ _light(images)) / labels.sum(0)[:, None]  # [8, pixels]
        self.limit = float(torch.quantile(self.errors(images)[0], 0.99))
        self.sharpness = sharpness(images)

    def errors(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Distance of images [N, 1, R, R] to the nearest mode in units of its length, and which it is: [N], [N]."""
        nearest = (torch.cdist(_light(images), self.means) / self.means.norm(dim=1)).min(1)
        return nearest.values, nearest.indices

    def count(self, run: Run, num: int = 1000) -> tuple[int, float, float]:
        """Modes found, the share of good samples, and the samples' high frequencies in units of the data's."""
        generator = load_generator(run.snapshot)
        images = torch.cat(list(generated(generator, num, seed=1, batch=100))).clamp(-1, 1)
        errors, modes = self.errors(images)
        found = torch.bincount(modes[errors <= self.limit], minlength=len(self.means))
        return int((found >= num / 100).sum()), float(found.sum()) / num, sharpness(images) / self.sharpness


def sharpness(images: Tensor) -> float:
    """The energy of images [N, 1, R, R] beyond a quarter cycle a pixel."""
    frequencies = HighFrequencies()
    frequencies.update(images)
    return frequencies.mean


def _light(images: Tensor) -> Tensor:
    return (images / 2 + 0.5).flatten(1)


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


def on_the_ring(
    out: Path, part: str, variants: dict[str, tuple[str, ...]], kimg: float, longer: dict[str, float] | None = None
) -> list[Run]:
    """Train variants on the ring, some of them `longer`, print their table, write their samples."""
    data = ring_set(out)
    judge, runs = RingJudge(data), []
    for name, options in variants.items():
        times = (longer or {}).get(name, 1.0)
        runs.append(train(out, f"{part}-{name}", data, times * kimg, *RING, *options))
    counted = [judge.count(run) for run in runs]
    rows = [
        (name, f"{modes} of 8", f"{good:.0%}", f"{sharp:.2f}", f"{run.seconds:.0f}")
        for name, run, (modes, good, sharp) in zip(variants, runs, counted, strict=True)
    ]
    table((part, "modes", "good samples", "high frequencies", "seconds"), rows)
    samples = dict(zip(variants, (run.samples() for run in runs), strict=True))
    sheet(out / f"{part}.png", samples, columns=5, side=192)
    return runs


def tricks(out: Path, kimg: float, seeds: int = 2) -> None:
    """Each trick alone on top of one DCGAN, over several seeds."""
    data = ring_set(out)
    judge, rows = RingJudge(data), []
    for name, options in TRICKS.items():
        runs = [
            train(out, f"trick-{name}-{seed}", data, kimg, *RING, *dcgan(*options), "--seed", str(seed))
            for seed in range(seeds)
        ]
        modes, good, _ = zip(*(judge.count(run) for run in runs), strict=True)
        shares = ", ".join(f"{share:.0%}" for share in good)
        shown = f"`{' '.join(options)}`" if options else "the DCGAN of the loss table"
        rows.append((name, shown, min(modes), f"{np.mean(good):.0%} ({shares})"))
    table(("trick", "option", "fewest modes", "good samples (each seed)"), rows)


def balance(out: Path, kimg: float) -> None:
    """A weak, a good and a bad training side by side: curves over samples."""
    runs = on_the_ring(out, "balance", {name: dcgan(*options) for name, options in BALANCE.items()}, kimg)
    cells = {}
    for name, run in zip(BALANCE, runs, strict=True):
        curve = Image.open(run.folder / "training-curve.png").convert("RGB")
        samples = Image.fromarray(run.samples(8)).resize((720, 360), Image.Resampling.NEAREST)
        both = Image.new("RGB", (720, curve.height + 370), "white")
        both.paste(curve, (0, 0))
        both.paste(samples, (0, curve.height + 10))
        cells[name] = np.asarray(both)
    sheet(out / "balance.png", cells, columns=3, side=480)


class FaceJudge:
    """Fréchet distances of samples to the first 1,000 faces of a set at a resolution."""

    def __init__(self, data: Path, resolution: int) -> None:
        self.extractor = get_extractor("fd-squeezenet")
        faces = ImageDataset(data, resolution)
        batches = (faces.batch(range(start, start + 50))[0] for start in range(0, min(len(faces), 1000) - 49, 50))
        self.real: FeatureStatistics = collect(batches, self.extractor).statistics

    def distance(self, run: Run, num: int = 500) -> float:
        """The Fréchet distance of `num` samples."""
        samples = generated(load_generator(run.snapshot), num, seed=1)
        return frechet_distance(collect(samples, self.extractor).statistics, self.real)


def configs(out: Path, data: Path, kimg: float) -> None:
    """Configs A to F of StyleGAN's table 1, trained alike on faces of 32 pixels."""
    runs = [train(out, f"config-{c}", data, kimg, "--preset", f"stylegan1-{c}", *CONFIGS) for c in "abcdef"]
    judge = FaceJudge(data, 32)
    rows = [(run.name[-1].upper(), f"{judge.distance(run):.0f}", f"{run.seconds:.0f}") for run in runs]
    table(("config", "fd-squeezenet", "seconds"), rows)
    sheet(out / "configs.png", {run.name[-1].upper(): run.samples() for run in runs}, columns=3, side=256)


def faces(out: Path, data: Path, kimg: float) -> None:
    """A DCGAN of 64 pixels: after a first command, and after the same one with three times the images."""
    judge, cells, rows = FaceJudge(data, 64), {}, []
    for images in (kimg, 3 * kimg):
        run = train(out, "faces", data, images, *FACES)
        rows.append((f"{images:g}", f"{judge.distance(run):.0f}", f"{run.seconds:.0f}"))
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
        on_the_ring(out, "objectives", variants, kimg, LONGER)
    if "presets" in todo:
        variants = {name: ("--preset", name, *extra) for name, (extra, _) in PRESETS.items()}
        on_the_ring(out, "presets", variants, kimg, {name: times for name, (_, times) in PRESETS.items()})
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
