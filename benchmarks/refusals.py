"""Time to the error: processor and wall time from a mistake in a command to the sentence that names it.

    python benchmarks/refusals.py [--repeats 3]

Each command is run as a process of its own; the least of the repeats counts, since other programs only add. What is
wanted is a second of wall time on an idle machine."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from skimage import data

ROOT = Path(__file__).resolve().parent.parent
MISTAKES = (
    "edit me.png --transfer smil",
    "edit me.png --transfer smile=0.5",
    "edit me.png --transfer smile 0.5",
    "edit me.png --transfer smile:auto --target 80",
    "edit me.png --transfer smile --generator faces25",
    "edit me.png --transfer smile --region noze",
    "edit me.png --set smyle=1",
    "edit gone.png --transfer smile",
    "edit empty.jpg --transfer smile",
    "invert folder",
    "invert me.png --steps -1",
    "batch folder --recipe recipe.toml",
    "video gone.mp4 --transfer smile",
    "scorecard --methods projekt",
    "generate --seeds 5-",
    "directions show smil",
    "train --data folder --preset stylegan5",
    "smile me.png",
)


def main() -> None:
    """Print a line for each mistake."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    repeats = parser.parse_args().repeats
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Image.fromarray(data.astronaut()).save(folder / "me.png")
        (folder / "folder").mkdir()
        (folder / "empty.jpg").touch()
        (folder / "recipe.toml").write_text('[[edit]]\ntransfer = "smil"\n')
        print(f"{'processor':>10}{'wall':>8}  command: what is said")
        for words in MISTAKES:
            runs = [refuse(words, folder) for _ in range(repeats)]
            processor, wall = (min(times) for times in zip(*(run[:2] for run in runs), strict=True))
            print(f"{processor:8.2f} s{wall:6.2f} s  {words}: {runs[0][2]}")


def refuse(words: str, folder: Path) -> tuple[float, float, str]:
    """Run a command that is to fail; return its processor and wall time in seconds, and the last line it wrote."""
    began = time.perf_counter()
    command = [sys.executable, str(ROOT / "cli.py"), *words.split()]
    with (folder / "said.txt").open("w+") as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - began
        said.seek(0)
        lines = said.read().strip().splitlines()
    if process.returncode not in (1, 2):
        raise SystemExit(f"{words} ended with {process.returncode}: {lines[-1] if lines else 'nothing said'}")
    return usage.ru_utime + usage.ru_stime, wall, lines[-1]


if __name__ == "__main__":
    main()
