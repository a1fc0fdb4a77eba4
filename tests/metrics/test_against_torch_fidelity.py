"""The scores beside an independent implementation, where it is installed (pip install 'invertigo[fid]')."""

import pytest
import torch

from stylegan_core.metrics.frechet import FeatureStatistics, frechet_distance
from stylegan_core.metrics.inception_score import InceptionScore
from stylegan_core.metrics.kernel import kernel_distance_of_subsets
from stylegan_core.metrics.precision_recall import precision_recall

pytest.importorskip("torch_fidelity")


@pytest.fixture
def features():
    rng = torch.Generator().manual_seed(0)
    mix = torch.randn(16, 16, generator=rng)
    return torch.randn(300, 16, generator=rng) @ mix, 0.8 * torch.randn(250, 16, generator=rng) @ mix + 0.3


def test_frechet_distance(features):
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    theirs = fid_statistics_to_metric(*(fid_features_to_statistics(f) for f in features), verbose=False)
    ours = []
    for part in features:
        ours.append(FeatureStatistics(16))
        ours[-1].update(part)
    assert frechet_distance(*ours) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-5)


def test_kernel_distance(features):
    from torch_fidelity.metric_kid import kid_features_to_metric

    options = {"kid_subsets": 200, "kid_subset_size": 100, "rng_seed": 1, "verbose": False, "kid_kernel": "poly"}
    theirs = kid_features_to_metric(*features, **options)
    mean, std = kernel_distance_of_subsets(*features, torch.Generator().manual_seed(0), 200, 100)
    error = std / 200**0.5
    assert mean == pytest.approx(theirs["kernel_inception_distance_mean"], abs=6 * error)  # other random subsets
    assert std == pytest.approx(theirs["kernel_inception_distance_std"], rel=0.3)


def test_inception_score(features):
    from torch_fidelity.metric_isc import isc_features_to_metric

    theirs = isc_features_to_metric(features[0], splits=1, shuffle=False)
    ours = InceptionScore(16)
    for part in features[0].split(77):
        ours.update(part)
    assert ours.value() == pytest.approx(theirs["inception_score_mean"], rel=1e-9)


def test_precision_and_recall(features):
    from torch_fidelity.metric_prc import calculate_precision_recall_full

    real, fake = features
    theirs = calculate_precision_recall_full(fake.double(), real.double(), neighborhood=3)
    assert precision_recall(real, fake, k=3) == pytest.approx(tuple(theirs))
