"""Photos a minute: `invertigo batch` beside a shell loop over `invert`, and Ray beside the local engine, in turns.

On a machine that does other work too, the best of several rounds counts, and the processor seconds beside it, which
other work hardly changes (Ray's are spent by its own daemons and not seen from here).

python benchmarks/batch.py --photo photo.jpg --copies 24 --loop 3 --rounds 2"""

import argparse
import importlib.util
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def command(*words: object) -> tuple[float, float]:
    """Run the command line; return its seconds on the clock and on the processors."""
    began, used = time.perf_counter(), _processor_seconds()
    line = [sys.executable, str(ROOT / "cli.py"), *map(str, words)]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began, _processor_seconds() - used


def _processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def one_round(folder: Path, options: argparse.Namespace, invert: list[str]) -> dict[str, tuple[float, float]]:
    """Return seconds a photo, on the clock and on the processors, of the loop and the engines."""
    photos = sorted((folder / "in").iterdir())
    loop = [command("invert", photo, *invert, "--out", folder / "loop") for photo in photos[: options.loop]]
    found = {"shell loop": (sum(pair[0] for pair in loop) / len(loop), sum(pair[1] for pair in loop) / len(loop))}
    for engine in ["local", *(["ray"] if importlib.util.find_spec("ray") else [])]:
        shutil.rmtree(folder / engine, ignore_errors=True)
        recipe = ["--recipe", folder / "recipe.toml", "--out", folder / engine, "--engine", engine]
        clock, processors = command("batch", folder / "in", *recipe)
        found[f"batch, {engine}"] = clock / len(photos), processors / len(photos)
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", required=True)
    parser.add_argument("--copies", type=int, default=24, help="photos of the batch")
    parser.add_argument("--loop", type=int, default=3, help="photos of the shell loop")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "in").mkdir()
        for index in range(options.copies):
            shutil.copy(options.photo, folder / "in" / f"{index:03}{Path(options.photo).suffix}")
        (folder / "recipe.toml").write_text(f"[invert]\nsteps = {options.steps}\npatience = 0\n")
        invert = ["--steps", str(options.steps), "--patience", "0"]
        rounds = [one_round(folder, options, invert) for _ in range(options.rounds)]
    best = {name: [min(found[name][kind] for found in rounds) for kind in (0, 1)] for name in rounds[0]}
    print(f"{'':14} {'photos a minute':>16} {'ratio':>6} {'processor s a photo':>20}")
    for name, (clock, processors) in best.items():
        print(f"{name:14} {60 / clock:16.1f} {best['shell loop'][0] / clock:6.2f} {processors:20.2f}")


if __name__ == "__main__":
    main()
