"""Directions in closed form from the modulation weights (SeFa; Shen & Zhou 2021), without data or training."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stylegan_core.errors import ConfigError
from stylegan_core.networks.protocol import Generator


def modulation_weights(generator: Generator) -> dict[int, list[Tensor]]:
    """Return the matrices [channels, w_dim] that turn w into styles, by the index of the layer in ws.

    Which layer of ws feeds which matrix is observed in one rendering, so any network whose style layers are called
    `affine` will do: StyleGAN1, StyleGAN2 (the to-RGB layers included) and StyleGAN3 (its input included)."""
    if not isinstance(generator.synthesis, nn.Module):
        raise ConfigError(f"{generator.meta.name} has no modulation layers, which SeFa needs; use --method ganspace")
    affines = [module for name, module in generator.synthesis.named_modules() if name.endswith("affine")]
    if not affines:
        raise ConfigError(f"{generator.meta.name} has no modulation layers, which SeFa needs; use --method ganspace")
    w_avg = generator.w_avg
    marks = torch.arange(generator.num_ws, device=w_avg.device, dtype=w_avg.dtype)
    ws = (w_avg + marks[:, None] / generator.num_ws)[None]  # [1, num_ws, w_dim], each layer another code
    found: dict[int, list[Tensor]] = {}

    def note(module: Any, inputs: tuple[Tensor, ...]) -> None:
        distance = (ws[0] - inputs[0][0]).abs().amax(dim=1)
        found.setdefault(int(distance.argmin()), []).append(module.weight.detach())

    hooks = [module.register_forward_pre_hook(note) for module in affines]
    try:
        with torch.no_grad():
            generator.synthesis(ws)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def sefa_directions(weights: dict[int, list[Tensor]], layers: Sequence[int], num: int) -> tuple[Tensor, Tensor]:
    """Return the `num` unit vectors [num, w_dim] that change the styles of `layers` most, and their gains [num].

    They maximise ||A n||^2 over unit n: the leading eigenvectors of A^T A (eq. 4), A the stacked matrices; the gain is
    the root of the eigenvalue. Signs are set so that each vector's largest value is positive."""
    stacked = [weight for layer in layers for weight in weights.get(layer, [])]
    if not stacked:
        raise ConfigError("none of the chosen layers has modulation weights; choose others with --layers")
    matrix = torch.cat(stacked).double().cpu()
    values, vectors = torch.linalg.eigh(matrix.T @ matrix)  # ascending
    chosen = fix_signs(vectors.T.flip(0)[:num])
    return chosen.float(), values.flip(0)[:num].clamp_min(0).sqrt().float()


def fix_signs(vectors: Tensor) -> Tensor:
    """Turn each row of [N, C] so that its value of largest magnitude is positive."""
    peaks = vectors.gather(1, vectors.abs().argmax(dim=1, keepdim=True))
    return vectors * peaks.sign()
