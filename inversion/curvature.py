"""The curvature of the inversion loss over W+: what makes a search of fifty steps do the work of hundreds.

Of the loss's Gauss-Newton matrix H = E[J^T J], J being the Jacobian of the pictures and features that it compares, the
leading eigenvectors are measured once a generator with random probes: for noise v of unit variance, E[(J^T v)(J^T v)^T]
is J^T J (Hutchinson 1990). A search in the coordinates u of w = w_0 + (H + mu)^(-1/2) u then sees a round bowl."""

import math
from typing import Any

import torch
from torch import Tensor

from inversion.config import ProjectionConfig
from inversion.objective import InversionObjective, LossWeights
from inversion.state import State, pack_streams, unpack_streams
from inversion.statistics import class_labels, sample_z, w_statistics
from stylegan_core.features.perceptual import PerceptualDistance
from stylegan_core.networks.protocol import Generator
from stylegan_core.seeds import generator_for

MOST = 1024  # directions that are kept
PROBES_A_STEP = 16
SPREAD = 1.0  # how far the probed codes lie from W at most, in units of its std
DAMPING = 0.001  # mu, as a share of the largest eigenvalue
PROBE_STREAM = 1 << 25


class Probing:
    """The measurement, in steps of `PROBES_A_STEP` probes (inversion/state.py runs and saves it)."""

    def __init__(
        self, generator: Generator, perceptual: PerceptualDistance | None, config: ProjectionConfig, seed: int = 0
    ) -> None:
        self.generator = generator
        self.objective = InversionObjective(generator.synthesis, LossWeights.of(config), perceptual)
        self.stream, self.w_std = generator_for(seed, PROBE_STREAM), w_statistics(generator)[1]
        self.rows = torch.zeros(0, generator.num_ws * generator.w_dim)  # rows^T rows is the sum over all probes
        self.num = 0

    def step(self, step: int) -> float:
        """Take some probes; return the mean of their squared length, an estimate of the trace."""
        gradients = _probe(self.objective, self.generator, self.w_std, self.stream).cpu()
        self.rows = torch.cat([self.rows, gradients])
        self.num += len(gradients)
        if len(self.rows) >= 3 * self.rows.shape[1]:  # as many as there are coordinates say the same
            self.rows = _square_root(self.rows)
        return float(gradients.square().sum(dim=1).mean())

    def finished(self) -> bool:
        return False

    def state(self) -> State:
        return {"rows": self.rows, "streams": pack_streams([self.stream])}, {"num": self.num}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        self.rows, self.num = tensors["rows"], int(facts["num"])
        unpack_streams([self.stream], tensors["streams"])

    def curvature(self) -> dict[str, Tensor]:
        """Return the leading eigenvectors `directions` [K, num_ws * w_dim] and eigenvalues `values` [K].

        Coordinates are in units of the std of W. Without probes nothing is known: an empty dict."""
        if not self.num:
            return {}
        _, singular, directions = torch.linalg.svd(self.rows / math.sqrt(self.num), full_matrices=False)
        found = {"directions": directions[:MOST], "values": singular[:MOST].square()}
        return {name: tensor.to(self.w_std) for name, tensor in found.items()}


def _square_root(rows: Tensor) -> Tensor:
    """Return [D, D] whose squares add up to those of rows [N, D]."""
    values, vectors = torch.linalg.eigh((rows.T @ rows).double())
    return (values.clamp_min(0).sqrt()[:, None] * vectors.T).to(rows)


def _probe(objective: InversionObjective, generator: Generator, w_std: Tensor, stream: torch.Generator) -> Tensor:
    """Return J^T v [PROBES_A_STEP, num_ws * w_dim] at random codes, some in W and some as far from it as photos are."""
    z = sample_z(generator, PROBES_A_STEP, stream)
    with torch.no_grad():
        ws = generator.mapping(z, class_labels(generator, len(z), z.device))
    spread = SPREAD * torch.rand(len(z), 1, 1, generator=stream) * torch.randn(ws.shape, generator=stream)
    ws = ws + spread.to(ws) * w_std
    ws = ws.detach().requires_grad_(True)
    images = generator.synthesis(ws, noise_mode="const")
    parts = [_against_noise(values, 2 * weight, stream) for values, weight in objective.residuals(images)]
    (gradient,) = torch.autograd.grad(torch.stack(parts).sum(), ws)
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
