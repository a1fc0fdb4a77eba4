"""Seconds and peak memory of the field's own models on random weights of the true shapes: no file is needed.

    python -m benchmarks.real_models [--cases step-1024 guess ...] [--repeats 3]

Each case runs in a process of its own on one thread; `seconds` is that process's processor time, the smallest of the
repeats, so that other work on the machine counts little. `peak` is the process's resident set at most, Python and
torch (about 0.3 GB) included. A `step` is one of the W+ search: render, squared error, perceptual distance at 256 px
(the embedded SqueezeNet), backward to the code, and the spread's term. `textbook` is the same step with StyleGAN2
rendered as the papers write it, `reference` with StyleGAN2 rendered pass by pass as NVIDIA's PyTorch code does on a CPU
(benchmarks/synthesis.py, which also times rendering and its gradient without the loss). An `edit` is one render of a
moved code; a `guess` is e4e's eighteen codes of a 256 px face (Tov et al. 2021). Our rows keep freed memory as our
commands do (`stylegan_core.devices.keep_memory`), the two others do not; `--plain-memory` leaves that out of ours."""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.synthesis import FORMULATIONS, make_generator
from stylegan_core.devices import keep_memory

CONFIG_F = 32768  # channel_base of StyleGAN2's config-f
CASES = (
    *(f"{what}-{size}" for size in (256, 512, 1024) for what in ("step", "textbook", "reference", "edit")),
    *(f"{what}-{kind}" for kind in ("stylegan3-t", "stylegan3-r") for what in ("step", "edit")),
    "guess",
)


def stylegan3(radial: bool) -> Any:
    """Return StyleGAN3-T or -R of the shapes published for FFHQ at 1024 px."""
    from stylegan_core.networks.configs import StyleGAN3Config
    from stylegan_core.networks.stylegan3 import StyleGAN3Generator

    config = StyleGAN3Config(img_resolution=1024)
    if radial:
        config = StyleGAN3Config(
            img_resolution=1024, conv_kernel=1, channel_base=65536, channel_max=1024, use_radial_filters=True
        )
    return StyleGAN3Generator(config).eval().requires_grad_(False)


def make(name: str) -> tuple[Any, Callable[..., Tensor]]:
    """Return a case's generator and what renders it."""
    torch.manual_seed(0)
    what, _, kind = name.partition("-")
    if kind.startswith("stylegan3"):
        generator = stylegan3(kind.endswith("-r"))
        return generator, generator.synthesis
    generator, _ = make_generator(int(kind), CONFIG_F)
    if what in FORMULATIONS:
        return generator, lambda ws, **_: FORMULATIONS[what](generator, ws)
    return generator, generator.synthesis


def search_step(name: str) -> Callable[[], Any]:
    """Return a function that takes one step of the W+ search."""
    from inversion.objective import InversionObjective, LossWeights
    from stylegan_core.features.perceptual import UNCALIBRATED, load_perceptual

    generator, render = make(name)
    perceptual = load_perceptual(UNCALIBRATED, torch.device("cpu"))
    w_std = torch.ones(generator.w_dim)
    objective = InversionObjective(render, LossWeights(50.0, 1.0, 0.0, 0.1, 0.0), perceptual, w_std)
    size = generator.img_resolution
    target = objective.target(torch.rand(1, 3, size, size) * 2 - 1)
    ws = generator.mapping(torch.randn(1, generator.z_dim)).detach()

    def step() -> Tensor:
        codes = ws.clone().requires_grad_(True)
        loss = torch.stack(list(objective.terms(codes, target).values())).sum()
        (gradient,) = torch.autograd.grad(loss, codes)
        return gradient

    return step


def edit(name: str) -> Callable[[], Any]:
    """Return a function that renders a moved code."""
    generator, render = make(name)
    ws = generator.mapping(torch.randn(1, generator.z_dim)).detach()
    direction = torch.randn(generator.w_dim)

    def moved() -> Tensor:
        with torch.no_grad():
            return render(ws + 0.5 * direction)

    return moved


def guess(name: str) -> Callable[[], Any]:
    """Return a function that guesses e4e's eighteen codes."""
    from inversion.encoders.backbone import BackboneShape
    from inversion.encoders.files import KINDS

    depths = (4,) * 3 + (5,) * 4 + (6,) * 11
    network = KINDS["Encoder4Editing"].build(BackboneShape(), 512, depths).eval().requires_grad_(False)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.01)
    face = torch.rand(1, 3, 256, 256) * 2 - 1
    return lambda: network(face)


KIND = {"step": search_step, "textbook": search_step, "reference": search_step, "edit": edit, "guess": guess}


def measure(name: str, repeats: int, plain: bool) -> dict[str, float]:
    """Return the processor seconds and the peak of memory, in GB, of a case in this process."""
    torch.set_num_threads(1)
    if name.partition("-")[0] in ("step", "edit", "guess") and not plain:
        keep_memory()  # as the commands do
    run = KIND[name.partition("-")[0]](name)
    run()  # prepares what is kept from call to call
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        run()
        seconds.append(time.process_time() - began)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return {"seconds": min(seconds), "peak": peak}


def main() -> None:
    """Print a table, a line each case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=CASES)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--plain-memory", action="store_true", help="give freed memory back, as C libraries do")
    parser.add_argument("--in-this-process", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.in_this_process:
        print(json.dumps(measure(args.cases[0], args.repeats, args.plain_memory)))
        return
    print(f"one thread, float32, batch 1; torch {torch.__version__}")
    print(f"{'case':20} {'seconds':>8} {'peak GB':>8}")
    found: dict[str, dict[str, float]] = {}
    for name in args.cases:
        command = [sys.executable, "-m", "benchmarks.real_models", "--in-this-process", "--cases", name]
        command += ["--repeats", str(args.repeats), *(["--plain-memory"] if args.plain_memory else [])]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        found[name] = json.loads(result.stdout.splitlines()[-1])
        print(f"{name:20} {found[name]['seconds']:8.2f} {found[name]['peak']:8.2f}", flush=True)
    for size in (256, 512, 1024):
        for other in ("textbook", "reference"):
            if f"step-{size}" in found and f"{other}-{size}" in found:
                share = found[f"step-{size}"]["seconds"] / found[f"{other}-{size}"]["seconds"]
                print(f"a step at {size} px takes {share:.2f} of the {other}'s time")


if __name__ == "__main__":
    main()
