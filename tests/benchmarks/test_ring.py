import importlib.util
import math
from pathlib import Path

import pytest
import torch

PATH = Path(__file__).parents[2] / "benchmarks" / "ring.py"


@pytest.fixture(scope="module")
def ring():
    spec = importlib.util.spec_from_file_location("ring", PATH)
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["ring"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["ring"]


def test_the_data_itself_scores_all_modes_and_nearly_all_quality(ring):
    modes, quality = ring.Mixture().score(ring.Mixture().draw(5000, torch.Generator().manual_seed(0)))
    assert modes == ring.NUM_MODES
    assert quality == pytest.approx(1 - math.exp(-4.5), abs=0.01)  # within 3 sigma in a plane


@pytest.mark.parametrize(("num_modes", "dim"), [(8, 32), (25, 2), (25, 8)])
def test_the_data_score_alike_in_more_dimensions_and_modes(ring, num_modes, dim):
    data = ring.Mixture(num_modes, dim)
    modes, quality = data.score(data.draw(5000, torch.Generator().manual_seed(0)))
    assert modes == num_modes
    assert quality == pytest.approx(1 - math.exp(-4.5), abs=0.01)
    assert torch.linalg.matrix_rank(data.centres(), rtol=1e-4) == 2


def test_missing_modes_and_stray_points_are_seen(ring):
    points = ring.Mixture().draw(5000, torch.Generator().manual_seed(0))
    right = points[points[:, 0] > 0.1 * ring.RADIUS]
    assert ring.Mixture().score(right)[0] == 3
    modes, quality = ring.Mixture().score(torch.cat([points, torch.zeros(5000, 2)]))
    assert modes == ring.NUM_MODES and quality == pytest.approx(0.5, abs=0.02)


def test_every_objective_of_the_table_is_in_the_benchmark(ring):
    from stylegan_core.objectives import OBJECTIVES

    assert ring.SETTINGS.keys() == OBJECTIVES.keys()


@pytest.mark.slow
def test_a_stable_objective_finds_most_modes(ring):
    with torch.random.fork_rng(devices=[]):
        modes, quality, _ = ring.run("non-saturating", critic_steps=3000, seconds=3600, seed=0)
    assert modes >= 6 and quality > 0.3
