"""Seconds of `invert` with spinning, passive and single OpenMP threads, on idle cores and beside another process.

    python benchmarks/threads.py [--steps 40] [--generators faces64 faces256]

Why `stylegan_core/__init__.py` asks for passive threads and `stylegan_core/devices.py` for one at small resolutions."""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from skimage import data

ROOT = Path(__file__).resolve().parent.parent
WAYS = {
    "two, spinning": {"OMP_WAIT_POLICY": "ACTIVE", "OMP_NUM_THREADS": "2"},
    "two, passive": {"OMP_WAIT_POLICY": "PASSIVE", "OMP_NUM_THREADS": "2"},
    "one": {"OMP_NUM_THREADS": "1"},
}
BUSY = "while True: pass"


@contextmanager
def neighbour(wanted: bool) -> Iterator[None]:
    """Keep one core busy, or not."""
    process = subprocess.Popen([sys.executable, "-c", BUSY]) if wanted else None
    try:
        yield
    finally:
        if process:
            process.kill()
            process.wait()


def seconds_of_search(photo: Path, out: str, generator: str, steps: int, way: dict[str, str]) -> float:
    """Seconds that the search itself takes, as the command reports them."""
    words = ["invert", str(photo), "--out", out, "--generator", generator, "--steps", str(steps), "--patience", "0"]
    subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), *words], env={**os.environ, **way}, check=True, capture_output=True
    )
    report = next(Path(out).glob("*/face0/report.json")).read_text()
    found = re.search(r'"optimise": ([0-9.]+)', report)
    assert found is not None
    return float(found[1])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--generators", nargs="*", default=["faces64", "faces256"])
    options = parser.parse_args()
    print(f"{'generator':10} {'cores':12}" + "".join(f"{way:>15}" for way in WAYS))
    with tempfile.TemporaryDirectory() as out:
        photo = Path(out) / "astronaut.png"
        Image.fromarray(data.astronaut()).save(photo)
        for generator in options.generators:
            for busy in (False, True):
                with neighbour(busy):
                    times = [seconds_of_search(photo, out, generator, options.steps, way) for way in WAYS.values()]
                cells = "".join(f"{seconds:13.1f} s" for seconds in times)
                print(f"{generator:10} {'one busy' if busy else 'idle':12}{cells}", flush=True)


if __name__ == "__main__":
    main()
