"""Photos a minute: `invertigo batch` beside a shell loop over `invert`, and Ray beside the local engine, in one run.

python benchmarks/batch.py --photo photo.jpg --copies 12 --loop 3"""

import argparse
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def command(*words: object) -> float:
    """Run the command line; return its seconds."""
    began = time.perf_counter()
    line = [sys.executable, str(ROOT / "cli.py"), *map(str, words)]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", required=True)
    parser.add_argument("--copies", type=int, default=12, help="photos of the batch")
    parser.add_argument("--loop", type=int, default=3, help="photos of the shell loop")
    parser.add_argument("--steps", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "in").mkdir()
        for index in range(options.copies):
            shutil.copy(options.photo, folder / "in" / f"{index:03}{Path(options.photo).suffix}")
        recipe = folder / "recipe.toml"
        recipe.write_text(f"[invert]\nsteps = {options.steps}\npatience = 0\n")
        photos = sorted((folder / "in").iterdir())[: options.loop]
        loop = sum(
            command("invert", photo, "--steps", options.steps, "--patience", 0, "--out", folder / "loop")
            for photo in photos
        )
        rates = {"shell loop": options.loop / loop * 60}
        for engine in ["local", *(["ray"] if importlib.util.find_spec("ray") else [])]:
            seconds = command("batch", folder / "in", "--recipe", recipe, "--out", folder / engine, "--engine", engine)
            rates[f"batch, {engine}"] = options.copies / seconds * 60
    print(f"{'':14} {'photos a minute':>16} {'ratio':>6}")
    for name, rate in rates.items():
        print(f"{name:14} {rate:16.1f} {rate / rates['shell loop']:6.2f}")


if __name__ == "__main__":
    main()
