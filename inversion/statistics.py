"""The spread of W, which sets the scale of steps, jitter and regularisers."""

import torch
from torch import Tensor

from stylegan_core.networks.protocol import Generator
from stylegan_core.seeds import generator_for

NUM_SAMPLES = 4096
FLOOR = 1e-3  # of the mean deviation: no dimension counts as fixed


def class_labels(generator: Generator, num: int, device: torch.device) -> Tensor | None:
    """Return one-hot labels [num, c_dim] that go round the classes, or None for an unconditional generator."""
    if not generator.c_dim:
        return None
    return torch.nn.functional.one_hot(torch.arange(num, device=device) % generator.c_dim, generator.c_dim).float()


def sample_z(generator: Generator, num: int, stream: torch.Generator) -> Tensor:
    """Draw z [num, z_dim] ~ N(0, I) on the generator's device."""
    return torch.randn(num, generator.z_dim, generator=stream).to(generator.w_avg.device)


def random_ws(generator: Generator, num: int, stream: torch.Generator) -> Tensor:
    """Draw codes in W, [num, num_ws, w_dim], of random classes where the generator has classes."""
    z, labels = sample_z(generator, num, stream), None
    every = class_labels(generator, generator.c_dim, z.device)
    if every is not None:
        labels = every[torch.randint(generator.c_dim, (num,), generator=stream).to(z.device)]
    with torch.no_grad():
        ws: Tensor = generator.mapping(z, labels)
    return ws


def sample_w(generator: Generator, num: int, seed: int = 0) -> Tensor:
    """Draw w [num, w_dim] (of all classes in turn)."""
    z = sample_z(generator, num, generator_for(seed))
    with torch.no_grad():
        w: Tensor = generator.mapping(z, class_labels(generator, num, z.device))[:, 0]
    return w


def w_statistics(generator: Generator, seed: int = 0, num: int = NUM_SAMPLES) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of W, [w_dim] each, over `num` samples (of all classes in turn)."""
    w = sample_w(generator, num, seed)
    deviation = w.std(dim=0)
    return w.mean(dim=0), deviation.clamp_min(FLOOR * float(deviation.mean()) + 1e-8)


def nearest_z(generator: Generator, w: Tensor, w_std: Tensor, seed: int) -> tuple[Tensor, Tensor | None]:
    """Return, of `NUM_SAMPLES` z, those whose w are nearest to `w` [N, w_dim], [N, z_dim], and their labels.

    Distances are in units of `w_std`."""
    z = sample_z(generator, NUM_SAMPLES, generator_for(seed))
    labels = class_labels(generator, NUM_SAMPLES, z.device)
    with torch.no_grad():
        samples = generator.mapping(z, labels)[:, 0]
    best = torch.cdist(w.to(samples) / w_std, samples / w_std).argmin(dim=1)
    return z[best], labels[best] if labels is not None else None
