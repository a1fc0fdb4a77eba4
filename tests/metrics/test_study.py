import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from stylegan_core.checkpoints import Description, load_generator, save_generator, save_snapshot
from stylegan_core.errors import ConfigError, DatasetError
from stylegan_core.metrics.classifier import count_modes, fit_classifier, load_classifier, save_classifier
from stylegan_core.metrics.config import EvaluateConfig
from stylegan_core.metrics.evaluate import evaluate
from stylegan_core.metrics.frequency import HighFrequencies, high_energy
from stylegan_core.metrics.nearest import find_neighbours
from stylegan_core.metrics.probe import discriminator_features
from stylegan_core.networks.build import build_network
from stylegan_core.networks.configs import StyleGAN2Config, StyleGAN2DiscriminatorConfig
from stylegan_core.training.sample_data import write_sample_data


def clusters(num, rng, spread=0.3):
    labels = torch.arange(num) % 4
    return torch.eye(4)[labels] * 3 + spread * torch.randn(num, 4, generator=rng), torch.eye(4)[labels]


def test_a_classifier_of_separate_classes_is_right_on_images_it_did_not_see(tmp_path):
    rng = torch.Generator().manual_seed(0)
    features, labels = clusters(200, rng)
    classifier = fit_classifier(features, labels)
    assert classifier.accuracy > 0.95 and classifier.majority < 0.5
    more, theirs = clusters(80, rng)
    assert (classifier(more).argmax(1) == theirs.argmax(1)).float().mean() > 0.95
    save_classifier(str(tmp_path / "c.safetensors"), classifier)
    assert_close(load_classifier(str(tmp_path / "c.safetensors"))(more), classifier(more))
    noise = fit_classifier(torch.randn(200, 4, generator=rng), labels)
    assert noise.accuracy < 0.6  # random features tell nothing: 1 in 4
    with pytest.raises(ConfigError, match="4 features"):
        classifier(torch.zeros(2, 5))
    with pytest.raises(DatasetError, match="no classes"):
        fit_classifier(features, 0.5 * labels)


def test_two_classes_are_told_apart_too():
    rng = torch.Generator().manual_seed(0)
    y = torch.arange(60) % 2
    x = torch.randn(60, 3, generator=rng) + 4 * y[:, None]
    classifier = fit_classifier(x, torch.eye(2)[y])
    assert (classifier(x).argmax(1) == y).float().mean() > 0.95


def test_modes_are_counted_and_missing_ones_seen():
    assert count_modes(10 * torch.eye(8).repeat(5, 1)) == (8, pytest.approx(0.0, abs=1e-12))
    num, divergence = count_modes(10 * torch.eye(8)[[0, 1] * 20])
    assert num == 2 and divergence == pytest.approx(np.log(4))


def test_copies_of_training_images_are_memorised_and_new_ones_are_not():
    rng = torch.Generator().manual_seed(0)
    real, new = torch.randn(2, 400, 6, generator=rng)
    copied = find_neighbours(real[:50] + 1e-4, real)
    assert copied.share == 1.0 and torch.equal(copied.indices[:, 0], torch.arange(50))
    fresh = find_neighbours(new, real)
    assert fresh.share == pytest.approx(0.05, abs=0.04)
    expected = torch.cdist(new.double(), real.double()).sort(dim=1)
    assert_close(fresh.distances, expected.values[:, :3])


def test_high_frequencies_of_plain_waves():
    place = torch.arange(64.0)
    waves = {f: 0.5 * torch.sin(2 * torch.pi * f * place).expand(1, 1, 64, 64) for f in (0.05, 0.4)}
    assert high_energy(waves[0.05]).item() < 1e-4
    assert high_energy(waves[0.4]).item() == pytest.approx(0.125, rel=0.05)  # the mean square of the wave
    both = HighFrequencies()
    both.update(waves[0.05])
    both.update(waves[0.4])
    assert both.mean == pytest.approx(0.0625, rel=0.05)


@pytest.fixture
def shapes(tmp_path):
    path = tmp_path / "shapes.zip"
    write_sample_data("shapes", str(path), 16, 40)
    return str(path)


@pytest.fixture
def snapshot(tmp_path):
    sizes = {"img_resolution": 16, "channel_base": 128, "channel_max": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = build_network(StyleGAN2Config(z_dim=8, w_dim=8, mapping_layers=2, **sizes)).eval()
        discriminator = build_network(StyleGAN2DiscriminatorConfig(**sizes)).eval()
    save_snapshot(tmp_path / "s.safetensors", {"G_ema": generator, "D": discriminator}, Description())
    return str(tmp_path / "s.safetensors")


def test_all_scores_of_labelled_data_come_from_one_command(snapshot, shapes, tmp_path):
    scores = "separability,precision-recall,nearest,linear-probe,mode-count,high-frequency,is"
    config = EvaluateConfig(
        data=shapes, scores=scores, samples=12, features="fd-squeezenet", device="cpu", batch=8,
        out=str(tmp_path / "s.json"), sheet=str(tmp_path / "near.png"), save_classifier=str(tmp_path / "c.safetensors"),
    )  # fmt: skip
    result = evaluate(snapshot, config)
    assert json.loads((tmp_path / "s.json").read_text()) == result
    assert 0 <= result["nearest_share"] <= 1 and result["high_frequency_ratio"] > 0
    assert 1 <= result["mode_count"] <= 3 and 1 <= result["is_of_classifier"] <= 3
    assert 1 <= result["separability"] <= 8 and 0 <= result["linear_probe"] <= 1
    assert {"precision", "recall"} <= result.keys()
    with Image.open(tmp_path / "near.png") as sheet:
        assert sheet.size[0] > 4 * 64 and sheet.size[1] > 12 * 64
    own = EvaluateConfig(
        scores="is,mode-count", classifier=str(tmp_path / "c.safetensors"), samples=12, features="fd-squeezenet",
        device="cpu", batch=8,
    )  # fmt: skip
    again = evaluate(snapshot, own)
    assert again["is_of_classifier"] == pytest.approx(result["is_of_classifier"], rel=1e-4)


def test_separability_of_faces_asks_the_judges(snapshot):
    def judges(images, alignment):
        bright = images.mean((1, 2, 3))
        return torch.stack([(bright > bright.median()).float()], dim=1)

    config = EvaluateConfig(scores="separability", samples=16, features="fd-squeezenet", device="cpu")
    result = evaluate(snapshot, config, judges)
    assert 1 <= result["separability"] <= 2


def test_a_probe_needs_a_discriminator_and_labels_their_data(snapshot, shapes, tmp_path):
    with pytest.raises(ConfigError, match=r"linear-probe.*--data"):
        evaluate(snapshot, EvaluateConfig(scores="linear-probe", device="cpu"))
    bare = tmp_path / "bare.safetensors"
    save_generator(bare, load_generator(snapshot))
    config = EvaluateConfig(scores="linear-probe", data=shapes, samples=4, device="cpu", features="fd-squeezenet")
    with pytest.raises(ConfigError, match="needs the discriminator"):
        evaluate(str(bare), config)


def test_features_of_d_are_pooled_outputs_of_its_convolutions():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = StyleGAN2DiscriminatorConfig(img_resolution=8, channel_base=64, channel_max=8)
        critic = build_network(config)
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    features = discriminator_features(critic, images)
    seen = []
    critic.b4.conv.register_forward_hook(lambda m, i, o: seen.append(o))
    critic(images)
    deepest = torch.nn.functional.adaptive_max_pool2d(seen[0], 2).flatten(1)
    assert_close(features[:, : deepest.shape[1]], deepest)
