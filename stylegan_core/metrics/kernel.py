"""The kernel distance (KID, Bińkowski et al. 2018): an unbiased MMD^2 with a cubic polynomial kernel."""

import torch
from torch import Tensor

from stylegan_core.errors import ConfigError


def kernel_distance(x: Tensor, y: Tensor) -> float:
    """Estimate MMD^2 of features x [N, D] and y [M, D] without bias, so that it may be negative; N, M >= 2."""
    if min(len(x), len(y)) < 2:
        raise ConfigError(f"a kernel distance needs 2 samples or more on each side, not {len(x)} and {len(y)}")
    x, y = x.double(), y.double()
    k_xx, k_yy, k_xy = _kernel(x, x), _kernel(y, y), _kernel(x, y)
    within_x = (k_xx.sum() - k_xx.trace()) / (len(x) * (len(x) - 1))
    within_y = (k_yy.sum() - k_yy.trace()) / (len(y) * (len(y) - 1))
    return float(within_x + within_y - 2 * k_xy.mean())


def _kernel(x: Tensor, y: Tensor) -> Tensor:
    return (x @ y.T / x.shape[1] + 1).pow(3)


def kernel_distance_of_subsets(
    x: Tensor, y: Tensor, rng: torch.Generator, num_subsets: int = 100, subset_size: int = 1000
) -> tuple[float, float]:
    """Average `kernel_distance` over random subsets, as KID is reported; return its mean and standard deviation.

    Subsets are drawn without replacement, of min(subset_size, N, M) samples."""
    size = min(subset_size, len(x), len(y))
    values = []
    for _ in range(num_subsets):
        rows_x = torch.randperm(len(x), generator=rng)[:size]
        rows_y = torch.randperm(len(y), generator=rng)[:size]
        values.append(kernel_distance(x[rows_x], y[rows_y]))
    result = torch.tensor(values, dtype=torch.float64)
    return float(result.mean()), float(result.std(correction=0))
