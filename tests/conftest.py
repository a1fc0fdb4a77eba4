"""Shared fixtures: generators small enough for closed-form answers, and the one real photo that tests may use."""

import stylegan_core  # noqa: F401, I001  (first: it sets OpenMP's wait policy before torch is imported)

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from stylegan_core.networks.protocol import Alignment, CheckpointMeta

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))


class LinearGenerator:
    """G(w) = mean over layers of w @ matrix: inversion in W has a least-squares answer."""

    z_dim, c_dim, w_dim, num_ws, img_resolution, img_channels = 12, 0, 12, 4, 16, 3

    def __init__(self) -> None:
        self.noise: dict[str, Tensor] = {}
        self.feature_layers = {}
        stream = torch.Generator().manual_seed(5)
        self.matrix = torch.randn(12, 3 * 16 * 16, generator=stream) * 0.1
        self.w_avg = torch.randn(12, generator=stream)
        self.meta = CheckpointMeta("linear", "test", "f" * 64, Alignment())

    def mapping(self, z, c=None, truncation_psi=1.0, truncation_cutoff=None):
        w = self.w_avg + truncation_psi * z
        return w[:, None].repeat(1, self.num_ws, 1)

    def synthesis(self, ws, noise_mode="const", noise=None):
        return (ws.mean(dim=1) @ self.matrix).reshape(-1, 3, 16, 16)


@pytest.fixture
def linear_generator() -> LinearGenerator:
    return LinearGenerator()


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    from skimage import data

    return data.astronaut()


@pytest.fixture(scope="session")
def astronaut_file(astronaut, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("photos") / "astronaut.png"
    Image.fromarray(astronaut).save(path)
    return path


@pytest.fixture(scope="session")
def faces64():
    from stylegan_core.checkpoints.load import load_generator

    return load_generator("faces64")
