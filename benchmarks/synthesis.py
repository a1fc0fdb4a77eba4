"""Time and peak memory of StyleGAN2 synthesis, ours beside two other formulations, on this machine's CPU.

    python benchmarks/synthesis.py [--sizes 64 256 1024] [--repeats 3]

Textbook: one set of kernels per sample (weights times styles) in a grouped convolution; upsampling by zero insertion
(within the layers a transposed convolution, which is the faster way) and a depthwise FIR filter. Reference: the same,
and after each convolution noise, bias, leaky ReLU, gain and clamp one by one, as NVIDIA's PyTorch code does where its
CUDA extensions are not used (written anew, since that code may not be copied). All run on the same weights; the images
are compared before anything is timed. `forward` is without gradients; `forward+backward` takes the gradient
with respect to ws only, as inversion does. The formulations run in turn, and the smallest of the repeats counts. Peak
memory is what one forward+backward adds to the resident set at most, in a process of its own.

On a machine that is busy with other work, `--cpu-time --threads 1` counts this process's time instead of the wall's."""

import argparse
import math
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from stylegan_core.networks.configs import StyleGAN2Config
from stylegan_core.networks.stylegan2 import StyleGAN2Generator, SynthesisLayer


def textbook_fir(x: Tensor, taps: Tensor, before: int, after: int, gain: float) -> Tensor:
    """Filter each channel of x [N, C, H, W] with the outer product of `taps`."""
    kernel = (torch.outer(taps, taps) * gain).expand(x.shape[1], 1, -1, -1)
    return F.conv2d(F.pad(x, [before, after, before, after]), kernel, groups=x.shape[1])


def insert_zeros(x: Tensor) -> Tensor:
    """Put zeros between the pixels: [N, C, H, W] -> [N, C, 2 H, 2 W]."""
    num, channels, height, width = x.shape
    x = x.reshape(num, channels, height, 1, width, 1)
    return F.pad(x, [0, 1, 0, 0, 0, 1]).reshape(num, channels, 2 * height, 2 * width)


def textbook_conv(x: Tensor, weight: Tensor, styles: Tensor, demodulate: bool, up: int, taps: Tensor) -> Tensor:
    """Convolve each sample of x [N, in, H, W] with kernels of its own, as one grouped convolution."""
    num, channels, size = x.shape[0], weight.shape[0], weight.shape[-1]
    kernels = weight * styles[:, None, :, None, None]  # [N, out, in, k, k]
    if demodulate:
        kernels = kernels * (kernels.square().sum(dim=[2, 3, 4], keepdim=True) + 1e-8).rsqrt()
    x = x.reshape(1, -1, *x.shape[2:])
    if up == 2:
        kernels = kernels.transpose(1, 2).flatten(0, 1)  # [N * in, out, k, k]
        x = F.conv_transpose2d(x, kernels, stride=2, groups=num)  # inserts the zeros
        x = textbook_fir(x, taps, 1, 1, 4)
    else:
        x = F.conv2d(x, kernels.flatten(0, 1), padding=size // 2, groups=num)
    return x.reshape(num, channels, *x.shape[2:])


def textbook_layer(layer: SynthesisLayer, x: Tensor, w: Tensor) -> Tensor:
    """Run one layer: modulated convolution, noise, bias, leaky ReLU, gain."""
    x = textbook_conv(x, layer.weight, layer.affine(w), True, layer.up, layer.taps)
    x = x + layer.noise_const * layer.noise_strength
    return F.leaky_relu(x + layer.bias[:, None, None], 0.2) * math.sqrt(2)


def reference_layer(layer: SynthesisLayer, x: Tensor, w: Tensor) -> Tensor:
    """Run one layer as the reference does: noise in place, then bias, leaky ReLU, gain and clamp, a pass each."""
    x = textbook_conv(x, layer.weight, layer.affine(w), True, layer.up, layer.taps)
    x = x.add_(layer.noise_const * layer.noise_strength)
    x = x + layer.bias.reshape(1, -1, 1, 1)
    x = F.leaky_relu(x, 0.2)
    x = x * math.sqrt(2)
    return x if layer.conv_clamp is None else x.clamp(-layer.conv_clamp, layer.conv_clamp)


def textbook_synthesis(
    generator: StyleGAN2Generator, ws: Tensor, run: Callable[..., Tensor] = textbook_layer
) -> Tensor:
    """Render ws [N, num_ws, w_dim] with the weights of `generator`; `run` runs a layer."""
    x = img = None
    first = 0
    for resolution in generator.synthesis.block_resolutions:
        block = getattr(generator.synthesis, f"b{resolution}")
        if x is None:
            x = run(block.conv1, block.const.expand(len(ws), -1, -1, -1), ws[:, 0])
        else:
            x = run(block.conv0, x, ws[:, first])
            x = run(block.conv1, x, ws[:, first + 1])
        styles = block.torgb.affine(ws[:, first + block.num_conv]) * block.torgb.weight_gain
        rgb = textbook_conv(x, block.torgb.weight, styles, False, 1, block.taps)
        rgb = rgb + block.torgb.bias[:, None, None]
        if run is reference_layer and block.torgb.conv_clamp is not None:
            rgb = rgb.clamp(-block.torgb.conv_clamp, block.torgb.conv_clamp)
        img = rgb if img is None else textbook_fir(insert_zeros(img), block.taps, 2, 1, 4) + rgb
        first += block.num_conv
    assert img is not None
    return img


FORMULATIONS: dict[str, Callable[[StyleGAN2Generator, Tensor], Tensor]] = {
    "textbook": textbook_synthesis,
    "reference": lambda generator, ws: textbook_synthesis(generator, ws, reference_layer),
    "ours": lambda generator, ws: generator.synthesis(ws),
}


def make_generator(resolution: int, channel_base: int) -> tuple[StyleGAN2Generator, Tensor]:
    """Return a random generator with frozen weights, and ws [1, num_ws, 512]."""
    torch.manual_seed(0)
    generator = StyleGAN2Generator(
        StyleGAN2Config(img_resolution=resolution, channel_base=channel_base, mapping_layers=2, conv_clamp=256)
    )
    generator.eval().requires_grad_(False)
    return generator, torch.randn([1, generator.num_ws, generator.w_dim])


def backward(run: Callable[[StyleGAN2Generator, Tensor], Tensor], generator: StyleGAN2Generator, ws: Tensor) -> None:
    """Render and take the gradient of the mean square with respect to ws."""
    ws = ws.clone().requires_grad_()
    torch.autograd.grad(run(generator, ws).square().mean(), ws)


def measure(
    resolution: int, channel_base: int, repeats: int, clock: Callable[[], float]
) -> dict[str, tuple[float, float]]:
    """Return (forward, forward+backward) seconds of each formulation."""
    generator, ws = make_generator(resolution, channel_base)
    with torch.no_grad():
        images = [run(generator, ws) for run in FORMULATIONS.values()]
    difference = max(((image - images[-1]).abs().max() / images[0].std()).item() for image in images)
    if difference > 1e-4:
        raise SystemExit(f"the formulations differ by {difference:.1e} of the image's standard deviation")
    best = {name: [math.inf, math.inf] for name in FORMULATIONS}
    for _ in range(repeats):
        for name, run in FORMULATIONS.items():
            start = clock()
            with torch.no_grad():
                run(generator, ws)
            middle = clock()
            backward(run, generator, ws)
            best[name][0] = min(best[name][0], middle - start)
            best[name][1] = min(best[name][1], clock() - middle)
    return {name: (times[0], times[1]) for name, times in best.items()}


def peak_memory(resolution: int, channel_base: int, name: str) -> float:
    """Return the MiB by which one forward+backward raises the peak resident set, in a fresh process."""
    command = [sys.executable, __file__, "--memory-of", str(resolution), str(channel_base), name]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def resident() -> float:
    """Return this process's resident set in MiB."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def print_memory(resolution: int, channel_base: int, name: str) -> None:
    """Print the MiB by which one forward+backward raises the resident set (the child process of `peak_memory`)."""
    generator, ws = make_generator(resolution, channel_base)
    seen, done = [resident()], threading.Event()

    def watch() -> None:
        while not done.wait(0.001):
            seen.append(resident())

    watcher = threading.Thread(target=watch)
    watcher.start()
    backward(FORMULATIONS[name], generator, ws)
    done.set()
    watcher.join()
    print(max(seen) - seen[0])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--channel-bases", type=int, nargs="+", default=[16384, 32768])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--cpu-time", action="store_true")
    parser.add_argument("--memory-of", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.memory_of:
        print_memory(int(args.memory_of[0]), int(args.memory_of[1]), args.memory_of[2])
        return
    clock = time.process_time if args.cpu_time else time.perf_counter
    seconds = "seconds of processor time" if args.cpu_time else "seconds"
    print(f"batch 1, {args.threads} threads, float32; {seconds}, and MiB of peak memory over one forward+backward")
    print(f"{'px':>5} {'base':>6} | {'forward':^32} | {'forward+backward':^32} | {'peak memory':^26}")
    names = f"{'textbook':>8} {'reference':>9} {'ours':>6} {'share':>6}"
    print(f"{'':12} | {names} | {names} | share: ours / reference")
    for resolution in args.sizes:
        for base in args.channel_bases:
            times = measure(resolution, base, args.repeats, clock)
            cells = []
            for i in (0, 1):
                textbook, reference, ours = (times[name][i] for name in FORMULATIONS)
                cells.append(f"{textbook:8.3f} {reference:9.3f} {ours:6.3f} {ours / reference:6.2f}")
            textbook, reference, ours = (peak_memory(resolution, base, name) for name in FORMULATIONS)
            cells.append(f"{textbook:8.0f} {reference:9.0f} {ours:6.0f} {ours / reference:6.2f}")
            print(f"{resolution:5} {base:6} | " + " | ".join(cells), flush=True)


if __name__ == "__main__":
    main()
