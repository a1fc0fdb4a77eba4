"""What half an hour of a GPU is best spent on, in commands of ten minutes at most; each goes on where the last stopped.

    python benchmarks/gpu/half_hour.py train --data faces256.zip,faces128.zip --minutes 9     # again until it is done
    python benchmarks/gpu/half_hour.py figures --data faces128.zip

`train` trains a 256 px generator and its encoder (`invertigo encoder cotrain`, bfloat16, batch 64) and leaves files of
at most 16 MB each in --out; `figures` prints seconds of synthesis and of a search, beside the CPU's. --tiny tries both
on a CPU in a minute."""

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import torch

from inversion.config import ProjectionConfig
from inversion.project import project
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.features.perceptual import UNCALIBRATED, load_perceptual
from stylegan_core.generate import generate_ws

CHANNELS = "256,256,256,192,96,48,24"
HELD_OUT = "121,122,123,125,126,127,128,130,131,132,134,136,137,138,139,141,142,143,144,173"  # the validation people
MAX_BYTES = 16 << 20  # what comes back from a lent machine, a file
STEPS, BATCH = 12_000, 64


def train(arguments: argparse.Namespace) -> int:
    """Run the training command for so many minutes; return its exit code, 0 also where time is up."""
    command = [sys.executable, "-m", "cli", "encoder", "cotrain", "--data", arguments.data, "--init", arguments.init,
               "--out", arguments.out, "--device", arguments.device, "--exclude", HELD_OUT,
               "--steps", "6" if arguments.tiny else str(arguments.steps),
               "--batch", "2" if arguments.tiny else str(BATCH)]  # fmt: skip
    command += [] if arguments.tiny else ["--channels", CHANNELS, "--precision", "bfloat16"]
    running = subprocess.Popen([*command, "--name", "default"], env={**os.environ, "PYTHONPATH": os.getcwd()})
    alarm = threading.Timer(arguments.minutes * 60, lambda: running.send_signal(signal.SIGINT))
    alarm.start()
    code = running.wait()
    alarm.cancel()
    for path in sorted(Path(arguments.out).glob("*.safetensors")):
        size = path.stat().st_size
        print(f"{path}: {size / 2**20:.1f} MB{'' if size <= MAX_BYTES else ', too large to come back'}")
    print({0: "trained", 130: "time is up; the same command goes on"}.get(code, f"failed with exit code {code}"))
    return 0 if code in (0, 130) else code


def seconds(device: torch.device, work: object, repeats: int = 5) -> float:
    """Return the shortest time of a call, its GPU work finished."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()  # type: ignore[operator]
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return min(times)


def figures(arguments: argparse.Namespace) -> int:
    """Print seconds and memory of synthesis and of a search of 50 steps, on the device and on the CPU."""
    num, steps = (1, 2) if arguments.tiny else (8, 50)
    print("device  synthesis s/image  forward+backward s/image  search s/face  peak GPU memory")
    for name in dict.fromkeys(["cpu", arguments.device]):
        device = torch.device(name)
        generator = load_generator(arguments.init, device)
        ws = generate_ws(generator, range(num))
        perceptual = load_perceptual(UNCALIBRATED, device)
        with torch.no_grad():
            targets = generator.synthesis(generate_ws(generator, range(100, 100 + num)), noise_mode="const")
            forward = seconds(device, lambda g=generator, w=ws: g.synthesis(w, noise_mode="const"))

        def both(generator=generator, ws=ws) -> None:
            code = ws.clone().requires_grad_(True)
            generator.synthesis(code, noise_mode="const").square().mean().backward()

        backward = seconds(device, both)
        config = ProjectionConfig(steps=steps, patience=0, space="w+")
        search = seconds(device, lambda g=generator, t=targets, p=perceptual, c=config: project(g, t, p, c), 1)
        peak = f"{torch.cuda.max_memory_allocated() / 2**30:.2f} GB" if device.type == "cuda" else "-"
        print(f"{name:6}  {forward / num:17.4f}  {backward / num:24.4f}  {search / num:13.2f}  {peak}")
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=("train", "figures"))
    parser.add_argument("--data", default="", help="zips or folders of aligned faces, comma-separated")
    parser.add_argument("--init", default="faces256", help="generator to start from, or to measure")
    parser.add_argument("--out", default="runs/gpu")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=9)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--tiny", action="store_true")
    arguments = parser.parse_args()
    sys.exit({"train": train, "figures": figures}[arguments.part](arguments))


if __name__ == "__main__":
    main()
