"""Processor time of short commands, as multiples of that of `python -c "import torch"` in the same run.

    python benchmarks/startup.py [--repeats 7] [--generator faces64]

Prints medians and minima. The ratios wanted are start-up's, hence the small generator: another one's renders are work.
`generate` without words draws 16 faces; `--seeds 0` shows what of that is start-up. Processor time counts user and
system time of all threads, so that other programs hardly disturb it. The modules' bytecode is kept between runs, as it
is where nothing forbids it (`PYTHONDONTWRITEBYTECODE`): else each run compiles them again."""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from skimage import data

ROOT = Path(__file__).resolve().parent.parent
TORCH = [sys.executable, "-c", "import torch"]
COMMANDS = {  # what is run on {latent} or {photo}, and the ratio that it should stay under
    "edit {latent} --transfer smile --generator {generator}": 1.4,
    "invert {photo} --steps 0 --generator {generator}": 1.9,
    "info {latent}": 1.15,
    "generate --generator {generator}": 1.3,
    "generate --seeds 0 --generator {generator}": 1.3,
}


def processor_seconds(command: list[str], folder: str) -> float:
    """Run a command in `folder` and return its user and system time."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--generator", default="faces64")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"  # a thread that waits for work counts as well
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as folder:
        photo = Path(folder) / "astronaut.png"
        Image.fromarray(data.astronaut()).save(photo)
        latent = Path(folder) / "out/astronaut/face0/latent.npz"
        files = {"photo": str(photo), "latent": str(latent), "generator": options.generator}
        cli = [sys.executable, str(ROOT / "cli.py")]
        processor_seconds([*cli, "invert", files["photo"], "--steps", "0", "--generator", options.generator], folder)
        for line in COMMANDS:  # once beforehand, for the bytecode
            processor_seconds([*cli, *line.format(**files).split()], folder)
        runs: dict[str, list[float]] = {"": []} | {line: [] for line in COMMANDS}
        for _ in range(options.repeats):  # in turn, so that a slow minute slows all of them
            for line, seconds in runs.items():
                words = line.format(**files).split()
                seconds.append(processor_seconds([*cli, *words] if words else TORCH, folder))
    torch = runs.pop("")
    base, least = statistics.median(torch), min(torch)
    print(f"{'python -c import torch':58}{base:6.2f} s, at least {least:.2f} s")
    for line, seconds in runs.items():
        ratios = f"{statistics.median(seconds) / base:8.2f} times, of the least {min(seconds) / least:.2f}"
        print(f"{line:58}{statistics.median(seconds):6.2f} s{ratios} (wanted: {COMMANDS[line]})")


if __name__ == "__main__":
    main()
