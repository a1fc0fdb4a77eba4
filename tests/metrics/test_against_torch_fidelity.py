"""The scores beside an independent implementation, where it is installed (pip install 'invertigo[fid]')."""

import hashlib
import json

import pytest
import torch
from click.testing import CliRunner

from cli import main
from stylegan_core.checkpoints import load_generator
from stylegan_core.metrics import extractors
from stylegan_core.metrics.evaluate import generated
from stylegan_core.metrics.frechet import FeatureStatistics, frechet_distance
from stylegan_core.metrics.inception_score import InceptionScore
from stylegan_core.metrics.kernel import kernel_distance_of_subsets
from stylegan_core.metrics.precision_recall import precision_recall
from stylegan_core.training.dataset import ImageDataset
from stylegan_core.training.sample_data import write_sample_data

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


def weights_by_a_rule(path, monkeypatch):
    """Write a whole Inception state, normal weights by the place of the parameter, where its file is expected."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3 as Network

    with monkeypatch.context() as patch:
        torch.save({}, path)
        patch.setattr(Network, "load_state_dict", lambda self, state: None)
        network = Network("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(path))
    state = {}
    for place, (name, tensor) in enumerate(network.state_dict().items()):
        rng = torch.Generator().manual_seed(place)
        if tensor.ndim > 1:
            state[name] = torch.randn(tensor.shape, generator=rng) * (2 / tensor[0].numel()) ** 0.5
        elif name.endswith(("bn.weight", "running_var")):
            state[name] = torch.ones_like(tensor)
        else:
            state[name] = torch.zeros_like(tensor)
    torch.save(state, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(extractors, "INCEPTION", extractors.WeightsFile("https://x/w.pth", digest, 1 << 30))
    return path


@pytest.mark.slow
def test_fid_by_the_command_is_that_of_the_packages_features(tmp_path, monkeypatch):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3 as Network

    weights = weights_by_a_rule(tmp_path / "w.pth", monkeypatch)
    data, out, num = tmp_path / "shapes.zip", tmp_path / "scores.json", 6
    write_sample_data("shapes", str(data), 64, num)
    options = ["--data", data, "--features", "fid", "--weights", weights, "--samples", num, "--out", out]
    arguments = ["evaluate", "faces64", "--scores", "fd,is", "--device", "cpu", *options]
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    scores = json.loads(out.read_text())
    assert scores["features"] == "fid" and "not FID" not in result.output

    theirs = Network("inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights)).eval()
    images = next(iter(generated(load_generator("faces64"), num, 0)))
    pair = []
    for batch in (images, ImageDataset(data).batch(range(num))[0]):
        with torch.no_grad():
            pair.append(theirs((batch * 127.5 + 127.5).round().clamp(0, 255).to(torch.uint8))[0].double())
    centred = [part - part.mean(0) for part in pair]
    # tr((A B)^1/2) of covariances X^T X and Y^T Y is the nuclear norm of X Y^T.
    cross = torch.linalg.svdvals(centred[0] @ centred[1].T).sum()
    spread = sum(part.square().sum() for part in centred) - 2 * cross
    expected = (pair[0].mean(0) - pair[1].mean(0)).square().sum() + spread / (num - 1)
    assert scores["fid"] == pytest.approx(float(expected), rel=1e-3)
    assert 1 <= scores["is"] <= num
