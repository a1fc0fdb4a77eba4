"""The curvature of the inversion loss over W+: what makes a search of fifty steps do the work of hundreds.

Of the loss's Gauss-Newton matrix H = E[J^T J], J being the Jacobian of the pictures and features that it compares, the
leading eigenvectors are measured once a generator with random probes: for noise v of unit variance, E[(J^T v)(J^T v)^T]
is J^T J (Hutchinson 1990). A search in the coordinates u of w = w_0 + (H + mu)^(-1/2) u then sees a round bowl."""

import math
from typing import Any

import torch
from torch import Tensor

from inversion.config import ProjectionConfig
from inversion.losses import perceptual_features
from inversion.statistics import class_labels, sample_z, w_statistics
from inversion.task import Progress
from stylegan_core.features.perceptual import PerceptualDistance
from stylegan_core.seeds import generator_for

MOST = 512  # directions that are kept
PROBES_AT_ONCE = 16
SPREAD = 0.3  # how far the probed codes lie from W, in units of its std
DAMPING = 0.001  # mu, as a share of the largest eigenvalue
PROBE_STREAM = 1 << 25


def measure_curvature(
    generator: Any,
    perceptual: PerceptualDistance | None,
    config: ProjectionConfig,
    num_probes: int,
    seed: int = 0,
    progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Return the leading eigenvectors `directions` [K, num_ws * w_dim] and eigenvalues `values` [K] of the curvature.

    Coordinates are in units of the std of W. `progress(probes done, trace so far)` is called now and then."""
    stream, w_std = generator_for(seed, PROBE_STREAM), w_statistics(generator)[1]
    rows: list[Tensor] = []
    while sum(map(len, rows)) < num_probes:
        num = min(PROBES_AT_ONCE, num_probes - sum(map(len, rows)))
        rows.append(_probe(generator, perceptual, config, num, w_std, stream))
        if progress:
            progress(sum(map(len, rows)), float(rows[-1].square().sum(dim=1).mean()))
    gradients = torch.cat(rows) / math.sqrt(num_probes)
    _, singular, directions = torch.linalg.svd(gradients, full_matrices=False)
    return {"directions": directions[:MOST], "values": singular[:MOST].square()}


def _probe(
    generator: Any,
    perceptual: PerceptualDistance | None,
    config: ProjectionConfig,
    num: int,
    w_std: Tensor,
    stream: torch.Generator,
) -> Tensor:
    """Return J^T v [num, num_ws * w_dim] at random codes near W."""
    z = sample_z(generator, num, stream)
    with torch.no_grad():
        ws = generator.mapping(z, class_labels(generator, num, z.device))
    ws = ws + SPREAD * w_std * torch.randn(ws.shape, generator=stream).to(ws)
    ws = ws.detach().requires_grad_(True)
    images = generator.synthesis(ws, noise_mode="const")
    total = _against_noise(images, 2 * config.lambda_mse / images[0].numel(), stream)
    if perceptual is not None and config.lambda_percept:
        for level in perceptual_features(perceptual, images):
            total = total + _against_noise(level, 2 * config.lambda_percept / level[0, 0].numel(), stream)
    (gradient,) = torch.autograd.grad(total, ws)
    return (gradient * w_std).flatten(1)


def _against_noise(values: Tensor, weight: float, stream: torch.Generator) -> Tensor:
    return math.sqrt(weight) * (values * torch.randn(values.shape, generator=stream).to(values)).sum()


def conditioned(steps: Tensor, curvature: dict[str, Tensor]) -> Tensor:
    """Multiply rows [N, num_ws * w_dim] by (H + mu)^(-1/2)."""
    directions, values = curvature["directions"], curvature["values"]
    mu = DAMPING * float(values.max())
    factors = (values + mu).rsqrt() - mu**-0.5
    return steps * mu**-0.5 + (steps @ directions.T * factors) @ directions


def expected_step(loss: Tensor, curvature: dict[str, Tensor]) -> Tensor:
    """Return how far each conditioned coordinate is from the optimum, about, [N], for losses [N].

    The loss is then half the squared length of u, shared by the directions that stand out of the damping."""
    values = curvature["values"]
    mu = DAMPING * float(values.max())
    return (2 * loss / (values / (values + mu)).sum().clamp_min(1)).sqrt()


def curvature_in_w(curvature: dict[str, Tensor], num_ws: int) -> dict[str, Tensor]:
    """Return the curvature over W: that of W+ where all layers move alike."""
    rows = curvature["directions"].unflatten(1, (num_ws, -1)).sum(dim=1) * curvature["values"].sqrt()[:, None]
    _, singular, directions = torch.linalg.svd(rows, full_matrices=False)
    return {"directions": directions, "values": singular.square()}
