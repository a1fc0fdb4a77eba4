"""Images per second of a full StyleGAN2 training step, ours beside the textbook formulation, on this machine's CPU.

    python benchmarks/training_step.py [--resolution 64] [--batch 4] [--preset stylegan2-ada] [--repeats 2]
    python benchmarks/training_step.py --preset stylegan3-r --resolution 32 --threads 1 --repeats 1 --cpu-time

A step is what the trainer does: G, D, and the lazy regularisers with the weight of their turn (path length every 4th
step, R1 every 16th). Both formulations go through the same trainer, weights and random numbers; their images and
logits are compared before anything is timed. Textbook: kernels modulated per sample in a grouped convolution, zero
insertion and two-dimensional FIR filters as depthwise convolutions, bias, activation and gain one after the other, and
D's filtered image before a strided convolution. They run in turn and the smallest of the repeats counts. The last
column is the share of our time that the profiler finds outside convolutions. Of other networks than StyleGAN2 there is
no textbook formulation here: ours alone is timed."""

import argparse
import math
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from synthesis import textbook_fir, textbook_synthesis
from torch import Tensor

from stylegan_core.devices import keep_memory
from stylegan_core.networks.configs import StyleGAN2Config
from stylegan_core.networks.discriminators import StyleGAN2Discriminator, append_minibatch_std
from stylegan_core.networks.layers import Conv2d
from stylegan_core.training.config import TrainConfig
from stylegan_core.training.dataset import ImageDataset
from stylegan_core.training.distributed import World
from stylegan_core.training.start import build_models
from stylegan_core.training.steps import Stepper


def textbook_layer(layer: Conv2d, x: Tensor) -> Tensor:
    """Run one convolution of D: filter, convolve, add the bias, activate, scale."""
    weight = layer.weight / math.sqrt(layer.weight[0].numel())
    size = weight.shape[-1]
    if layer.down == 2:
        before, after = 1 + size // 2, 1 + size // 2
        x = F.conv2d(textbook_fir(x, layer.taps, before, after, 1), weight, stride=2)
    else:
        x = F.conv2d(x, weight, padding=size // 2)
    if layer.bias is not None:
        x = x + layer.bias[:, None, None]
    return F.leaky_relu(x, 0.2) * math.sqrt(2) if layer.activation == "lrelu" else x


def textbook_discriminator(network: StyleGAN2Discriminator, img: Tensor, c: Tensor | None = None) -> Tensor:
    """Judge images [N, C, R, R] with the weights of `network` (resnet architecture, no labels)."""
    x = textbook_layer(first_block(network).fromrgb, img)
    for resolution in network.config.block_resolutions[:0:-1]:
        block = getattr(network, f"b{resolution}")
        skip = textbook_layer(block.skip, x) * math.sqrt(0.5)
        x = skip + textbook_layer(block.conv1, textbook_layer(block.conv0, x)) * math.sqrt(0.5)
    x = append_minibatch_std(x, network.config.mbstd_group_size, network.config.mbstd_num_channels)
    return network.b4.out(network.b4.fc(textbook_layer(network.b4.conv, x).flatten(1)))


def first_block(network: StyleGAN2Discriminator) -> Any:
    """The block at the images' resolution."""
    return getattr(network, f"b{network.img_resolution}")


@contextmanager
def textbook(stepper: Stepper) -> Iterator[None]:
    """Let the trainer run on the textbook formulation."""
    generator, discriminator = stepper.models.generator, stepper.models.discriminator
    generator.synthesis.forward = lambda ws, noise_mode="const", noise=None: textbook_synthesis(generator, ws)
    discriminator.forward = lambda img, c=None: textbook_discriminator(discriminator, img, c)
    try:
        yield
    finally:
        del generator.synthesis.forward, discriminator.forward


def make_stepper(preset: str, resolution: int, batch: int) -> tuple[Stepper, list[tuple[Tensor, Tensor]]]:
    """Build a trainer on random images, and one batch of them."""
    with tempfile.TemporaryDirectory() as folder:
        for index in range(max(batch, 2)):
            pixels = np.random.RandomState(index).randint(0, 256, (resolution, resolution, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(Path(folder) / f"{index}.png")
        config = TrainConfig(data=folder, preset=preset, batch=batch, augment="none", device="cpu")
        data = ImageDataset(folder)
        models, _ = build_models(config, data, torch.device("cpu"))
        stepper = Stepper(config, models, data, World(), torch.device("cpu"))
        return stepper, [data.batch(range(batch))]


def phases(stepper: Stepper, batches: list[tuple[Tensor, Tensor]]) -> dict[str, tuple[Callable[[], Any], float]]:
    """The parts of a step and how often they come."""
    every = {"path length": stepper.settings.pl_every, "R1": stepper.settings.r1_every}
    calls = {
        "G": lambda: stepper._generator_step(batches, 0, True),
        "path length": lambda: stepper._path_length_step(0),
        "D": lambda: stepper._discriminator_step(batches, 0, True),
        "R1": lambda: stepper._r1_step(batches, 0),
    }
    return {name: (call, 1 / every.get(name, 1)) for name, call in calls.items() if every.get(name, 1)}


def compare(stepper: Stepper, batches: list[tuple[Tensor, Tensor]]) -> None:
    """Refuse to time two formulations that do not compute the same."""
    generator, discriminator = stepper.models.generator, stepper.models.discriminator
    with torch.no_grad():
        ws = generator.mapping(torch.randn(2, generator.z_dim))
        ours = generator.synthesis(ws), discriminator(batches[0][0])
        with textbook(stepper):
            theirs = generator.synthesis(ws), discriminator(batches[0][0])
    for name, one, other in zip(("images", "logits"), ours, theirs, strict=True):
        if not torch.allclose(one, other, atol=1e-3 * float(other.abs().max()), rtol=1e-3):
            raise SystemExit(f"the formulations give other {name}: {float((one - other).abs().max()):.1e} apart")


def outside_convolutions(run: Callable[[], Any]) -> float:
    """The share of CPU time that is not spent in convolution kernels."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        run()
    rows = profile.key_averages()
    total = sum(row.self_cpu_time_total for row in rows)
    inside = sum(row.self_cpu_time_total for row in rows if "conv" in row.key.lower())
    return 1 - inside / total


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", default="stylegan2-ada")
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--profile", action=argparse.BooleanOptionalAction, default=True, help="for the last column")
    parser.add_argument("--cpu-time", action="store_true", help="time the process, not the clock: for a busy machine")
    parser.add_argument(
        "--keep-memory", action=argparse.BooleanOptionalAction, default=True, help="as the command does"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.keep_memory:
        keep_memory()
    unit = "CPU seconds" if options.cpu_time else "seconds"
    clock = time.process_time if options.cpu_time else time.perf_counter
    stepper, batches = make_stepper(options.preset, options.resolution, options.batch)
    formulations = (0, 1) if isinstance(stepper.models.generator.config, StyleGAN2Config) else (1,)
    if 0 in formulations:
        compare(stepper, batches)
    times: dict[str, list[float]] = {name: [math.inf, math.inf] for name in phases(stepper, batches)}
    for _ in range(options.repeats):
        for index in formulations:
            with textbook(stepper) if index == 0 else _nothing():
                for name, (run, _share) in phases(stepper, batches).items():
                    start = clock()
                    run()
                    times[name][index] = min(times[name][index], clock() - start)
    print(f"{options.preset}, {options.resolution} px, batch {options.batch}, {options.threads} threads; {unit} a call")
    print(f"{'':12}{'textbook':>10}{'ours':>8}{'ratio':>7}{'share':>8}{'outside conv':>14}")
    totals = [0.0, 0.0]
    for name, (run, share) in phases(stepper, batches).items():
        slow, fast = times[name]
        totals = [totals[0] + slow * share, totals[1] + fast * share]
        outside = f"{outside_convolutions(run):14.0%}" if options.profile else ""
        print(f"{name:12}{slow:10.2f}{fast:8.2f}{slow / fast:7.2f}{share:8.2f}{outside}", flush=True)
    print(f"largest resident memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.1f} GiB")
    print(f"whole step: textbook {totals[0]:.2f}, ours {totals[1]:.2f} {unit}, ratio {totals[0] / totals[1]:.2f}")


@contextmanager
def _nothing() -> Iterator[None]:
    yield


if __name__ == "__main__":
    main()
