"""Generated images of a training step, their random inputs given by seed and step."""

import torch
from torch import Tensor

from stylegan_core.networks.protocol import Generator
from stylegan_core.training.randomness import Shard, Stream


def draw_images(
    generator: Generator,
    all_labels: Tensor,
    style_mixing: float,
    stream: Stream,
    shard: Shard,
    update_emas: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Make images [n, C, R, R] with labels [n, c_dim] and ws [n, num_ws, w_dim], styles mixed.

    Labels are drawn from `all_labels` [M, c_dim]; `update_emas` moves the running magnitudes of StyleGAN3."""
    device = generator.w_avg.device
    z = shard.of(stream.latents(generator.z_dim)).to(device)
    labels = shard.of(all_labels[stream.picks(len(all_labels))]).to(device)
    c = labels if generator.c_dim else None
    ws = generator.mapping(z[:, 0], c)
    crossover = shard.of(stream.crossovers(generator.num_ws, style_mixing)).to(device)
    if bool((crossover < generator.num_ws).any()):
        second = generator.mapping(z[:, 1], c)
        layer = torch.arange(generator.num_ws, device=device)
        ws = torch.where((layer[None] < crossover[:, None])[..., None], ws, second)
    if torch.is_grad_enabled() and not ws.requires_grad:
        ws = ws.requires_grad_()  # path lengths want it also where the mapping network is frozen
    if update_emas:
        return generator.synthesis(ws, update_emas=True), labels, ws
    sizes = {name: (int(value.shape[-2]), int(value.shape[-1])) for name, value in generator.noise.items()}
    if not sizes:
        return generator.synthesis(ws), labels, ws
    return generator.synthesis(ws, noise_mode="const", noise=stream.noise(sizes, shard, device)), labels, ws
