"""The Fréchet distance between two sets of features, from statistics that stream and merge."""

import torch
from torch import Tensor

from stylegan_core.errors import ConfigError


class FeatureStatistics:
    """Count, mean and scatter of feature vectors, in float64 on the CPU; batches stream in, parts merge.

    Uses the pairwise update of Chan et al. (1979): no squares of large sums are ever subtracted."""

    def __init__(self, dim: int) -> None:
        self.num = 0
        self.mean = torch.zeros(dim, dtype=torch.float64)
        self.scatter = torch.zeros(dim, dim, dtype=torch.float64)  # sum of (x - mean)(x - mean)^T

    def update(self, features: Tensor) -> None:
        """Take in a batch [N, dim]."""
        part = FeatureStatistics(len(self.mean))
        features = features.detach().cpu().double()
        part.num = len(features)
        part.mean = features.mean(0)
        centred = features - part.mean
        part.scatter = centred.T @ centred
        self.merge(part)

    def merge(self, other: "FeatureStatistics") -> None:
        """Take in the statistics of other samples, as those of another process."""
        if other.num == 0:
            return
        total = self.num + other.num
        shift = other.mean - self.mean
        self.scatter += other.scatter + torch.outer(shift, shift) * (self.num * other.num / total)
        self.mean += shift * (other.num / total)
        self.num = total

    @property
    def covariance(self) -> Tensor:
        """The unbiased covariance [dim, dim]."""
        if self.num < 2:
            raise ConfigError(f"a covariance needs 2 samples or more, not {self.num}")
        return self.scatter / (self.num - 1)


def frechet_distance(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """|m_a - m_b|^2 + tr(A + B - 2 (A B)^1/2), the squared Fréchet distance of two Gaussians (Heusel et al. 2017).

    The square root is taken of A^1/2 B A^1/2, which has the same eigenvalues as A B and is symmetric, so nothing
    becomes complex when there are fewer samples than dimensions."""
    cov_a, cov_b = a.covariance, b.covariance
    values, vectors = torch.linalg.eigh(cov_a)
    root = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    product = torch.linalg.eigvalsh(root @ cov_b @ root)
    distance = (a.mean - b.mean).square().sum() + cov_a.trace() + cov_b.trace() - 2 * product.clamp_min(0).sqrt().sum()
    return max(float(distance), 0.0)
