"""Each preset and objective of the lectures, from the command line: trained, resumed, open to other commands."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import load_file

from cli import main
from stylegan_core.checkpoints import load_checkpoint, load_generator
from stylegan_core.errors import ConfigError
from stylegan_core.networks.configs import PRESET_LINES, PRESETS
from stylegan_core.objectives import OBJECTIVES
from stylegan_core.training.autoencode import kl_divergence
from stylegan_core.training.config import TrainConfig
from stylegan_core.training.dataset import ImageDataset
from stylegan_core.training.report import read_log
from stylegan_core.training.sample_data import write_sample_data
from stylegan_core.training.start import build_models
from stylegan_core.training.state import STATE_FILE


def run(*arguments):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output
    return result.output


def refused(*arguments, code=2):
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result.stderr


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "shapes.zip"
    write_sample_data("shapes", str(path), 16, 24)
    return path


SMALL = ("--batch", 8, "--device", "cpu", "--snapshot-kimg", 0.016)
NARROW = {
    "dcgan": ("--channel-base", 64, "--z-dim", 8),
    "lapgan": ("--width", 4, "--z-dim", 8),
    "autoencoder": ("--width", 4, "--z-dim", 8),
    "vae": ("--width", 4, "--z-dim", 8),
    "micro-stylegan": ("--channel-base", 64, "--channel-max", 8, "--z-dim", 8, "--w-dim", 8),
}
NAMES = {
    "dcgan": "DCGAN",
    "lapgan": "LAPGAN",
    "autoencoder": "autoencoder",
    "vae": "variational autoencoder",
    "micro-stylegan": "StyleGAN1",
}


@pytest.mark.parametrize("preset", list(NARROW))
def test_a_preset_trains_resumes_and_serves_the_other_commands(preset, shapes, tmp_path):
    common = ("train", "--data", shapes, "--preset", preset, *NARROW[preset], *SMALL)
    run(*common, "--out", tmp_path / "whole", "--kimg", 0.032)
    run(*common, "--out", tmp_path / "parts", "--kimg", 0.016)
    output = run(*common, "--out", tmp_path / "parts", "--kimg", 0.032)
    assert "0.032 kimg, finished" in output
    first, second = (load_file(tmp_path / name / STATE_FILE) for name in ("whole", "parts"))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)

    snapshot = tmp_path / "whole" / "snapshot-000000.032.safetensors"
    generator = load_generator(snapshot)
    z = torch.randn(2, generator.z_dim, generator=torch.Generator().manual_seed(0))
    images = generator.synthesis(generator.mapping(z))
    assert images.shape == (2, 3, 16, 16) and not torch.allclose(images[0], images[1])
    run("generate", "--generator", snapshot, "--seeds", "0-1", "--out", tmp_path / "g", "--device", "cpu")
    assert (tmp_path / "g" / "grid.png").is_file()
    assert NAMES[preset] in run("info", snapshot)
    scores = "fd,pr,nearest,high-frequency,mode-count,separability,ppl-w-end,ppl-z-full"
    few = ("--samples", 8, "--paths", 1, "--neighbours", 1, "--features", "fd-squeezenet", "--device", "cpu")
    measured = run("evaluate", snapshot, "--data", shapes, "--scores", scores, *few)
    for name in ("fd-squeezenet", "precision", "nearest_share", "high_frequency_ratio", "mode_count", "ppl-z-full"):
        assert f"{name}: " in measured


@pytest.mark.parametrize("preset", list(NARROW))
def test_images_are_found_in_a_presets_latents_and_crossed(preset, shapes, tmp_path):
    common = ("train", "--data", shapes, "--preset", preset, *NARROW[preset], *SMALL)
    run(*common, "--kimg", 0.016, "--out", tmp_path / "r")
    snapshot = tmp_path / "r" / "snapshot-000000.016.safetensors"
    drawn = tmp_path / "g"
    run("generate", "--generator", snapshot, "--seeds", "3", "--psi", 1, "--out", drawn, "--device", "cpu")
    (picture,) = (path for path in drawn.glob("*.png") if path.stem != "grid")
    search = ("--method", "project", "--no-align", "--device", "cpu", "--out", tmp_path / "found")
    run("invert", picture, "--generator", snapshot, *search, "--steps", 40)
    (code,) = (tmp_path / "found").rglob("latent.npz")
    with np.load(code) as stored:
        found = torch.from_numpy(stored["w"]).reshape(1, -1, stored["w"].shape[-1])
    generator = load_generator(snapshot)
    target = torch.from_numpy(np.array(Image.open(picture).convert("RGB"))).permute(2, 0, 1) / 127.5 - 1
    with torch.no_grad():
        error, before = (
            (generator.synthesis(ws) - target).square().mean() for ws in (found, generator.w_avg.expand_as(found))
        )
    assert error < max(before, 127.5**-2)  # an untrained DCGAN's images differ by less than a grey level
    run("interpolate", code, 5, "--generator", snapshot, "--frames", 3, "--out", tmp_path / "film", "--device", "cpu")
    assert {path.suffix for path in (tmp_path / "film").glob("interpolation.*")} & {".gif", ".mp4"}


def test_an_autoencoder_has_no_discriminator_to_probe(shapes, tmp_path):
    run("train", "--data", shapes, "--preset", "vae", *NARROW["vae"], *SMALL, "--kimg", 0.016, "--out", tmp_path / "r")
    snapshot = tmp_path / "r" / "snapshot-000000.016.safetensors"
    message = refused("evaluate", snapshot, "--data", shapes, "--scores", "linear-probe", "--features", "fd-squeezenet")
    assert "an autoencoder has none" in message


def test_lapgan_has_a_discriminator_at_every_scale(shapes, tmp_path):
    run("train", "--data", shapes, "--preset", "lapgan", "--width", 4, *SMALL, "--kimg", 0.016, "--out", tmp_path / "r")
    critic = load_checkpoint(tmp_path / "r" / "snapshot-000000.016.safetensors").discriminator
    assert critic(torch.zeros(3, 3, 16, 16)).shape == (3, 2)  # 16 and 8 pixels


@pytest.mark.parametrize("objective", ["ebgan", "began"])
def test_energy_objectives_train_with_an_autoencoder_critic(objective, shapes, tmp_path):
    extra = ("--margin", 1, "--pull-away", 0.1) if objective == "ebgan" else ("--gamma", 0.7, "--lambda-k", 0.1)
    extra += ("--critic-code", 5, "--critic-power", 1)
    common = (
        "train",
        "--data",
        shapes,
        "--preset",
        "dcgan",
        *NARROW["dcgan"],
        *SMALL,
        "--objective",
        objective,
        *extra,
    )
    run(*common, "--kimg", 0.016, "--out", tmp_path / "r")
    run(*common, "--kimg", 0.08, "--out", tmp_path / "r")
    critic = load_checkpoint(tmp_path / "r" / "snapshot-000000.080.safetensors").discriminator
    energies = critic(torch.rand(3, 3, 16, 16) * 2 - 1)
    assert energies.shape == (3,) and bool((energies > 0).all())
    assert critic.config.code == 5 and critic.config.power == 1
    lines = read_log(tmp_path / "r" / "log.jsonl")
    assert lines[-1]["real_logits"] < lines[0]["real_logits"]  # it learns to reconstruct
    if objective == "began":
        assert 0 < lines[-1]["k"] <= 1 and lines[-1]["convergence"] > 0


def test_autoencoders_reconstruct_better_with_training(shapes, tmp_path):
    run("train", "--data", shapes, "--preset", "vae", *NARROW["vae"], *SMALL, "--kimg", 0.4, "--out", tmp_path / "r",
        "--lr-g", 3e-3, "--snapshot-kimg", 1)  # fmt: skip
    lines = read_log(tmp_path / "r" / "log.jsonl")
    assert lines[-1]["error"] < 0.5 * lines[0]["error"] and lines[-1]["kl"] > 0


def test_kl_divergence_is_that_of_torch_distributions():
    mean, log_variance = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(0))
    ours = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(ours, torch.distributions.Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(kl_divergence(mean, log_variance), expected)


def test_without_a_mapping_network_w_is_as_long_as_z(shapes):
    given = {"preset": "stylegan1-a", "channel_base": 64, "channel_max": 8, "device": "cpu"}
    data = ImageDataset(shapes)
    models, _ = build_models(TrainConfig(data=str(shapes), z_dim=8, **given), data, torch.device("cpu"))
    assert models.generator.w_dim == models.generator.z_dim == 8
    with pytest.raises(ConfigError, match=r"z_dim is 8, w_dim 4 .* make w_dim and z_dim the same"):
        build_models(TrainConfig(data=str(shapes), z_dim=8, w_dim=4, **given), data, torch.device("cpu"))


@pytest.mark.parametrize("upsampling", ["transposed", "pixelshuffle"])
def test_a_dcgan_trains_on_digits_of_28_pixels_and_a_stylegan_says_why_not(upsampling, tmp_path):
    digits, out = tmp_path / "digits.zip", tmp_path / "run"
    write_sample_data("digits", str(digits), 28, 24)
    common = ("train", "--data", digits, *SMALL, "--kimg", 0.016)
    run(*common, "--preset", "dcgan", *NARROW["dcgan"], "--upsampling", upsampling, "--out", out)
    generator = load_generator(out / "snapshot-000000.016.safetensors")
    assert generator.synthesis(generator.mapping(torch.zeros(1, 8))).shape == (1, 1, 28, 28)
    told = refused(*common, "--preset", "stylegan2-small", "--out", tmp_path / "no")
    assert "img_resolution is 28; it must be a power of two" in told


def test_bcr_and_a_crop_discriminator_train_and_resume(shapes, tmp_path):
    common = ("train", "--data", shapes, "--preset", "dcgan", *NARROW["dcgan"], *SMALL, "--bcr", 10, "--crop-d", 8)
    run(*common, "--out", tmp_path / "whole", "--kimg", 0.032)
    run(*common, "--out", tmp_path / "parts", "--kimg", 0.016)
    run(*common, "--out", tmp_path / "parts", "--kimg", 0.032)
    first, second = (load_file(tmp_path / name / STATE_FILE) for name in ("whole", "parts"))
    assert any(name.startswith("crops.b8") for name in first)
    assert all(torch.equal(first[name], second[name]) for name in first)
    plain = tmp_path / "plain"
    run("train", "--data", shapes, "--preset", "dcgan", *NARROW["dcgan"], *SMALL, "--kimg", 0.032, "--out", plain)
    without = load_file(plain / STATE_FILE)
    assert any(not torch.equal(without[name], first[name]) for name in without if name.startswith("D."))
    assert any(not torch.equal(without[name], first[name]) for name in without if name.startswith("G."))


@pytest.mark.parametrize("trick", ["--spectral-norm", "--minibatch-std"])
def test_what_stabilises_a_dcgan_is_saved_and_resumed(trick, shapes, tmp_path):
    common = ("train", "--data", shapes, "--preset", "dcgan", *NARROW["dcgan"], *SMALL, trick)
    run(*common, "--out", tmp_path / "whole", "--kimg", 0.032)
    run(*common, "--out", tmp_path / "parts", "--kimg", 0.016)
    run(*common, "--out", tmp_path / "parts", "--kimg", 0.032)
    first, second = (load_file(tmp_path / name / STATE_FILE) for name in ("whole", "parts"))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    critic = load_checkpoint(tmp_path / "whole" / "snapshot-000000.032.safetensors").discriminator
    assert critic.config.spectral_norm == (trick == "--spectral-norm")
    assert critic.config.minibatch_std == (trick == "--minibatch-std")
    assert bool(critic(torch.zeros(4, 3, 16, 16)).isfinite().all())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--preset", "stylegan2-small", "--spectral-norm"), "no use for --spectral-norm"),
        (("--preset", "dcgan", "--objective", "began", "--minibatch-std"), "no use for --minibatch-std"),
        (("--preset", "dcgan", "--objective", "wgan", "--spectral-norm"), "leave out one of them"),
        (("--preset", "dcgan", "--w-dim", 8), "no w_dim; leave out --w-dim"),
        (("--preset", "dcgan", "--labels"), "leave out --labels"),
        (("--preset", "dcgan", "--critic-code", 4), "of the autoencoder critics of ebgan"),
        (("--preset", "dcgan", "--objective", "began", "--critic-power", 3), "absolute (1, BEGAN) or squared"),
        (("--preset", "lapgan", "--augment", "ada"), "no use for --augment"),
        (("--preset", "vae", "--objective", "began"), "no use for --objective began"),
        (("--preset", "dcgan", "--crop-d", 16), "smaller than the image"),
        (("--preset", "dcgan", "--upsampling", "pixelshuffle", "--pull-away", 1), "term of ebgan"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, message, shapes, tmp_path):
    assert message in refused("train", "--data", shapes, "--kimg", 0.008, "--batch", 8, "--out", tmp_path, *arguments)


def test_help_lists_presets_objectives_and_knobs_in_groups():
    text = run("train", "--help-all")
    assert PRESET_LINES.keys() == PRESETS.keys()
    for name in (*PRESETS, *OBJECTIVES):
        assert f"  {name} " in text
    for heading in ("Run:", "Networks:", "Regularisers:", "Augmentation:", "Presets (--preset):"):
        assert f"\n{heading}" in text
    for knob in ("--n-critic", "--clip", "--gp-weight", "--margin", "--gamma", "--optimizer-d", "--optimizer-g",
                 "--real-label", "--history", "--adaptive-d", "--adaptive-g", "--bcr", "--z-dim", "--w-dim",
                 "--mapping-layers", "--channel-base", "--spectral-norm", "--minibatch-std"):  # fmt: skip
        assert knob in text


@pytest.mark.parametrize(("kind", "classes", "channels"), [("ring", 8, 1), ("digits", 10, 1), ("shapes", 3, 3)])
def test_sample_data_are_labelled_training_sets(kind, classes, channels, tmp_path):
    out = tmp_path / f"{kind}.zip"
    run("sample-data", kind, "--out", out, "--num", 100, "--resolution", 16)
    inspected = run("dataset", "inspect", out)
    assert "100 images read, 0 problems" in inspected and f"channels: {{{channels}: 100}}" in inspected
    again = tmp_path / "again.zip"
    write_sample_data(kind, str(again), 16, 100)
    assert again.read_bytes() == out.read_bytes()
    assert "is there already" in refused("sample-data", kind, "--out", out, code=1)
    import zipfile

    with zipfile.ZipFile(out) as archive:
        labels = [label for _, label in json.loads(archive.read("dataset.json"))["labels"]]
        with archive.open("00000/img00000000.png") as file:
            assert np.asarray(Image.open(file)).std() > 10
    assert set(labels) == set(range(classes))


@pytest.mark.parametrize(("preset", "expected"), [("stylegan3-t", (32, 8)), ("stylegan3-r", (16, 4))])
def test_config_r_doubles_the_maps_of_the_generator_alone(preset, expected, shapes):
    config = TrainConfig(data=str(shapes), preset=preset, channel_base=32, channel_max=8, z_dim=8, w_dim=8)
    models, _ = build_models(config, ImageDataset(shapes), torch.device("cpu"))
    of_d = models.discriminator.config
    assert (of_d.channel_base, of_d.channel_max) == expected
    assert (models.generator.config.channel_base, models.generator.config.channel_max) == (32, 8)
