"""Perceptual path length (StyleGAN, section 4.1): how evenly images change as their latents move."""

from collections.abc import Callable

import torch
from torch import Tensor

from stylegan_core.errors import ConfigError
from stylegan_core.networks.protocol import Generator
from stylegan_core.objectives import great_circle

Distance = Callable[[Tensor, Tensor], Tensor]  # images [N, C, H, W] twice -> [N]


def perceptual_path_length(
    generator: Generator,
    distance: Distance,
    num: int,
    rng: torch.Generator,
    space: str = "w",
    sampling: str = "end",
    epsilon: float = 1e-4,
    batch_size: int = 8,
) -> float:
    """Average distance(G(t), G(t + epsilon)) / epsilon^2 over `num` paths, without the outermost 1 % on either side.

    `space` z walks on great circles, w on straight lines; `sampling` full draws t from the whole path, end takes
    t = 0. Noise inputs stay constant. `rng` is a CPU generator."""
    if space not in ("z", "w") or sampling not in ("full", "end"):
        raise ConfigError(f"path length in {space!r}, {sampling!r}: space is z or w, sampling full or end")
    if num < 1:
        raise ConfigError(f"a path length of {num} paths; give 1 or more")
    values = []
    for start in range(0, num, batch_size):
        size = min(batch_size, num - start)
        z = torch.randn(2, size, generator.z_dim, generator=rng)
        t = torch.rand(size, generator=rng) if sampling == "full" else torch.zeros(size)
        values.append(_path_lengths(generator, distance, z.to(generator.w_avg), t.to(generator.w_avg), space, epsilon))
    result = torch.cat(values)
    low, high = torch.quantile(result, torch.tensor([0.01, 0.99], dtype=result.dtype), interpolation="nearest")
    return float(result[(result >= low) & (result <= high)].mean())


@torch.no_grad()
def _path_lengths(generator: Generator, distance: Distance, z: Tensor, t: Tensor, space: str, epsilon: float) -> Tensor:
    if space == "z":
        pair = [great_circle(z[0], z[1], (t + shift)[:, None]) for shift in (0.0, epsilon)]
        ws = generator.mapping(torch.cat(pair))
    else:
        ws0, ws1 = generator.mapping(z.flatten(0, 1)).chunk(2)
        ws = torch.cat([ws0.lerp(ws1, (t + shift)[:, None, None]) for shift in (0.0, epsilon)])
    images = generator.synthesis(ws, noise_mode="const")
    if images.shape[1] == 1:
        images = images.repeat(1, 3, 1, 1)
    before, after = images.chunk(2)
    return distance(before, after).flatten().double().cpu() / epsilon**2
