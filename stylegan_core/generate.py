"""Images from seeds."""

from collections.abc import Sequence

import torch
from torch import Tensor

from stylegan_core.errors import ConfigError
from stylegan_core.networks.protocol import Generator
from stylegan_core.seeds import latents_from_seeds


def generate_ws(
    generator: Generator, seeds: Sequence[int], psi: float = 1.0, cutoff: int | None = None, label: int | None = None
) -> Tensor:
    """Return codes [N, num_ws, w_dim] of seeds; the same seed gives the same code whatever its neighbours.

    A conditional generator needs the class `label`; raises `ConfigError` where it does not fit."""
    device = generator.w_avg.device
    z = latents_from_seeds(seeds, generator.z_dim).to(device)
    c = class_label(generator, label, len(seeds))
    with torch.no_grad():
        return torch.cat([
            generator.mapping(z[i : i + 1], None if c is None else c[i : i + 1].to(device), psi, cutoff)
            for i in range(len(seeds))
        ])  # fmt: skip


def class_label(generator: Generator, label: int | None, num: int) -> Tensor | None:
    """Return one-hot labels [num, c_dim], or None for a generator without classes."""
    if not generator.c_dim:
        if label is not None:
            raise ConfigError(f"--class {label}: this generator has no classes; leave the option out")
        return None
    if label is None or not 0 <= label < generator.c_dim:
        raise ConfigError(f"--class {label}: this generator needs a class from 0 to {generator.c_dim - 1}")
    return torch.nn.functional.one_hot(torch.tensor([label] * num), generator.c_dim).float()


def render(generator: Generator, ws: Tensor, batch: int = 8, noise_mode: str = "const") -> Tensor:
    """Render codes [N, num_ws, w_dim] as images [N, C, R, R] in about [-1, 1], `batch` at a time."""
    with torch.no_grad():
        return torch.cat([generator.synthesis(part, noise_mode=noise_mode) for part in ws.split(batch)])
