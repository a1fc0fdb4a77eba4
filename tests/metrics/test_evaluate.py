import hashlib
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from stylegan_core.checkpoints import save_generator
from stylegan_core.errors import ConfigError, WeightsUnavailableError
from stylegan_core.metrics import extractors
from stylegan_core.metrics.config import EvaluateConfig
from stylegan_core.metrics.evaluate import collect, evaluate, generated, report_lines
from stylegan_core.metrics.extractors import Extractor, get_extractor, inception_extractor, squeezenet_extractor
from stylegan_core.metrics.frechet import frechet_distance
from stylegan_core.networks.build import build_network
from stylegan_core.networks.configs import StyleGAN2Config


@pytest.fixture
def checkpoint(tmp_path):
    config = StyleGAN2Config(z_dim=8, w_dim=8, img_resolution=16, mapping_layers=2, channel_base=128, channel_max=8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = build_network(config)
    save_generator(tmp_path / "g.safetensors", generator)
    return tmp_path / "g.safetensors"


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data"
    path.mkdir()
    for index in range(10):
        pixels = np.random.RandomState(index).randint(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path / f"{index}.png")
    return path


def pixel_extractor():
    return Extractor("fd-pixels", 3, 0, lambda images: (images.mean((2, 3)), None))


def test_squeezenet_features_are_those_of_torchvision_with_its_normalisation():
    from torchvision.models import squeezenet1_1
    from torchvision.transforms.functional import normalize, resize

    extractor = squeezenet_extractor()
    images = (torch.randint(0, 256, (2, 3, 40, 40), generator=torch.Generator().manual_seed(0)) - 127.5) / 127.5
    features, logits = extractor(images)
    assert features.shape == (2, 512) and logits is None
    network = squeezenet1_1(weights=None).eval()
    from safetensors.torch import load_file

    from stylegan_core.assets import asset_path

    state = {k: v.float() for k, v in load_file(asset_path("squeezenet1_1_features.safetensors")).items()}
    network.load_state_dict(state, strict=False)
    x = resize(images / 2 + 0.5, [224, 224], antialias=True)
    with torch.no_grad():
        expected = network.features(normalize(x, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])).mean((2, 3))
    assert_close(features, expected, atol=1e-3, rtol=1e-3)


def test_features_see_the_256_levels_of_a_file_only():
    extractor = squeezenet_extractor()
    images = (torch.randint(1, 255, (1, 3, 32, 32), generator=torch.Generator().manual_seed(0)) - 127.5) / 127.5
    assert_close(extractor(images)[0], extractor(images + 0.4 / 127.5)[0])


def test_samples_depend_on_the_seed_and_not_on_the_batch(checkpoint):
    from stylegan_core.checkpoints import load_generator

    generator = load_generator(checkpoint)
    one, other = (torch.cat(list(generated(generator, 10, seed=3, batch=size))) for size in (4, 10))
    assert_close(one, other, atol=1e-5, rtol=1e-4)
    assert not torch.equal(one, torch.cat(list(generated(generator, 10, seed=4))))


def test_a_set_has_no_distance_from_itself(data):
    images = torch.randn(20, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    whole = collect([images], pixel_extractor())
    halves = collect([images[:7], images[7:]], pixel_extractor(), keep=True)
    assert frechet_distance(whole.statistics, halves.statistics) == pytest.approx(0, abs=1e-9)
    assert_close(halves.features, images.mean((2, 3)))


def test_evaluate_reports_honest_names_and_writes_json(checkpoint, data, tmp_path, monkeypatch):
    monkeypatch.setattr(extractors, "_inception_at_hand", lambda: False)
    out = tmp_path / "scores.json"
    config = EvaluateConfig(
        data=str(data), scores="fd,kd,pr,ppl-w-end", samples=12, paths=4, batch=4, device="cpu", out=str(out)
    )
    result = evaluate(str(checkpoint), config)
    assert result["features"] == "fd-squeezenet" and result["fd-squeezenet"] > 0
    assert {"kd-squeezenet", "precision", "recall", "ppl-w-end"} <= result.keys()
    assert "fid" not in result and "kid" not in result
    assert 0 <= result["precision"] <= 1 and result["images"] == 10
    assert json.loads(out.read_text()) == result
    assert any("not FID" in line for line in report_lines(result))
    assert evaluate(str(checkpoint), config) == result


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": "fd"}, "give --data"),
        ({"scores": "nosuch"}, "choose from fd"),
        ({"scores": ""}, "choose from fd"),
        ({"scores": "ppl-w-end", "paths": 0}, "1 or more"),
        ({"scores": "is", "features": "fd-squeezenet"}, "Inception weights"),
    ],
)
def test_what_can_not_be_measured_is_refused(changes, message, checkpoint):
    with pytest.raises(ConfigError, match=message):
        evaluate(str(checkpoint), EvaluateConfig(device="cpu", **changes))


def test_fid_without_its_weights_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("INVERTIGO_OFFLINE", "1")
    monkeypatch.setattr("stylegan_core.features.weights.cache_folder", lambda: tmp_path)
    with pytest.raises(WeightsUnavailableError, match=r"torch-fidelity|weights-inception"):
        get_extractor("fid")
    with pytest.raises(ConfigError, match="choose auto"):
        get_extractor("fvd")


def test_a_file_that_is_not_inceptions_is_refused_by_its_hash(tmp_path):
    pytest.importorskip("torch_fidelity")
    (tmp_path / "w.pth").write_bytes(b"something else")
    digest = hashlib.sha256(b"something else").hexdigest()[:16]
    with pytest.raises(WeightsUnavailableError, match=digest):
        inception_extractor(tmp_path / "w.pth")
    with pytest.raises(WeightsUnavailableError, match="no such file"):
        inception_extractor(tmp_path / "absent.pth")


def test_inception_gives_pooled_features_and_logits(tmp_path, monkeypatch):
    fidelity = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
    torch.save({}, tmp_path / "w.pth")
    digest = hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    monkeypatch.setattr(extractors, "INCEPTION", extractors.WeightsFile("https://x/w.pth", digest, 10_000))
    monkeypatch.setattr(fidelity.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
    extractor = get_extractor("fid", tmp_path / "w.pth")
    features, logits = extractor(torch.zeros(2, 3, 32, 32))
    assert extractor.metric == "fid"
    assert features.shape == (2, extractor.dim) and logits.shape == (2, extractor.num_classes)
