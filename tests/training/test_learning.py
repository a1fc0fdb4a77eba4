"""Every objective moves the generator, and towards the data; a critic that says nothing ends a run."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan_core.checkpoints import load_checkpoint, load_generator
from stylegan_core.errors import ConfigError, TrainingError
from stylegan_core.networks import configs
from stylegan_core.networks.build import build_network
from stylegan_core.objectives import OBJECTIVES
from stylegan_core.training.config import TrainConfig
from stylegan_core.training.game import Game
from stylegan_core.training.loop import train
from stylegan_core.training.optimizers import clip_weights
from stylegan_core.training.report import read_log
from stylegan_core.training.settings import decide, describe, network_settings, objective_of
from stylegan_core.training.steps import Stepper

COLOUR = torch.tensor([0.6, -0.6, 0.2])
OPTIONS = {  # of the objectives whose own settings are for long runs
    "wgan": {"n_critic": 2, "kimg": 1.6, "lr_g": 6e-3, "lr_d": 6e-3},
    "wgan-gp": {"n_critic": 2},
    "ebgan": {"margin": 1.0, "critic_code": 3},
    "began": {"gamma": 0.7, "lambda_k": 0.1, "critic_code": 3},
}


@pytest.fixture
def red(tmp_path):
    """Eight plain images around one colour."""
    (tmp_path / "red").mkdir()
    for index in range(8):
        shade = (COLOUR * 127.5 + 127.5 + 4 * index - 14).round().to(torch.uint8).numpy()
        Image.fromarray(np.full((8, 8, 3), shade, np.uint8)).save(tmp_path / "red" / f"{index}.png")
    return tmp_path / "red"


@pytest.fixture
def learner(tiny, change, red, monkeypatch):
    preset = configs.StyleGAN2Config(
        z_dim=8, w_dim=8, img_resolution=8, mapping_layers=2, channel_base=64, channel_max=8
    )
    monkeypatch.setitem(configs.PRESETS, "tiny8", preset)
    config = change(tiny, preset="tiny8", data=str(red), resolution=8, augment="none", pl_every=0, r1_every=None)
    return change(config, snapshot_kimg=10.0, lr_g=2e-2, lr_d=2e-2, kimg=0.8)


def distance_to_the_data(snapshot):
    generator = load_generator(snapshot)
    fakes = generator.synthesis(generator.mapping(torch.randn(32, 8, generator=torch.Generator().manual_seed(0))))
    return float((fakes.mean((0, 2, 3)) - COLOUR).abs().max())


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_gives_g_a_gradient_and_finds_the_data(name, learner, change, monkeypatch):
    largest, apply = [], Stepper._apply

    def watched(self, optimizer, parameters):
        if optimizer is self.optimizer_g:
            largest.append(max(float(p.grad.abs().max()) for p in parameters if p.grad is not None))
        apply(self, optimizer, parameters)

    monkeypatch.setattr(Stepper, "_apply", watched)
    result = train(change(learner, objective=name, **OPTIONS.get(name, {})))
    assert min(largest) > 1e-6
    assert distance_to_the_data(result.snapshot) < 0.3  # a random start is about 0.6 off


def test_a_critic_that_says_the_same_of_everything_ends_the_run_with_a_sentence(learner, change):
    with pytest.raises(TrainingError, match=r"same value to every image.*raise --clip"):
        train(change(learner, objective="wgan", clip=1e-4, kimg=0.08))


def test_clipping_bounds_what_acts_and_by_default_the_initial_spread():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = configs.StyleGAN2DiscriminatorConfig(img_resolution=8, channel_base=64, channel_max=8)
        critic = build_network(config)
    layer = critic.b8.conv0
    clip_weights(critic, 0.01)
    assert float((layer.weight * layer.weight_gain).detach().abs().max()) == pytest.approx(0.01)
    with torch.no_grad():
        layer.weight.fill_(5.0)
    clip_weights(critic, None)
    assert float(layer.weight.detach().max()) == 1.0
    plain = torch.nn.Linear(3, 3)
    with torch.no_grad():
        plain.weight.fill_(5.0)
    clip_weights(plain, None)
    assert float(plain.weight.detach().max()) == pytest.approx(0.01)


def settings_of(preset="stylegan2", **options):
    config = TrainConfig(**options)
    return decide(config, objective_of(config), configs.PRESETS[preset])


def test_what_options_leave_open_is_the_objectives_own_then_the_networks():
    wgan = settings_of(objective="wgan")
    assert (wgan.optimizer_g, wgan.optimizer_d, wgan.lr_g, wgan.n_critic, wgan.clips) == (
        "rmsprop", "rmsprop", 5e-5, 5, True,
    )  # fmt: skip
    assert wgan.r1_every == settings_of(objective="wgan-gp").r1_every == settings_of(objective="dragan").r1_every == 0
    penalised = settings_of(objective="wgan-gp")
    assert (penalised.optimizer_d, penalised.lr_d, penalised.beta1, penalised.beta2) == ("adam", 1e-4, 0.0, 0.9)
    assert penalised.gp_weight == 10
    assert settings_of(objective="wgan-gp", r1_gamma=1.0).r1_every == 16
    plain = settings_of()
    assert (plain.lr_g, plain.beta1, plain.beta2, plain.r1_every, plain.augment) == (2e-3, 0.0, 0.99, 16, "ada")
    given = settings_of(objective="wgan", optimizer_g="sgd", lr_g=0.1, n_critic=2, clip=0.5)
    assert (given.optimizer_g, given.optimizer_d, given.lr_g, given.lr_d) == ("sgd", "rmsprop", 0.1, 5e-5)
    assert (given.n_critic, given.clip) == (2, 0.5)
    paired = settings_of(objective="relativistic")
    assert paired.r2 and paired.r1_every == 1 and paired.r1_gamma == 1.0


@pytest.mark.parametrize(
    ("preset", "mixing", "path_length"),
    [
        ("stylegan1-a", 0.0, 0),
        ("stylegan1-e", 0.0, 0),
        ("stylegan1-f", 0.9, 0),
        ("stylegan2", 0.9, 4),
        ("stylegan2-cifar", 0.0, 0),
        ("stylegan3-t", 0.0, 0),
        ("stylegan3-r", 0.0, 0),
    ],
)
def test_style_mixing_and_path_lengths_are_those_of_the_presets_paper(preset, mixing, path_length):
    settings = network_settings(configs.PRESETS[preset])
    assert (settings.style_mixing, settings.pl_every) == (mixing, path_length)


def test_a_run_says_what_it_was_trained_with(learner, change):
    result = train(change(learner, objective="wgan", kimg=0.008, lr_d=None))
    assert "wgan: G rmsprop 0.02, D rmsprop 5e-05" in result.lines[0] and "5 critic steps" in result.lines[0]
    training = load_checkpoint(result.snapshot).generator.meta.training
    assert training["settings"] == result.lines[0]


def test_what_a_run_says_names_the_objectives_own_knobs_and_the_tricks(learner, change):
    began = change(learner, objective="began", gamma=0.7, lambda_k=5.0, history=16)
    theirs = decide(began, objective_of(began), configs.DCGANConfig())
    assert "gamma 0.7, lambda_k 5, history of 16 fakes" in describe(began, theirs)
    plain = change(learner, real_label=0.9, bcr=10.0)
    theirs = decide(plain, objective_of(plain), configs.DCGANConfig())
    said = describe(plain, theirs)
    assert "real label 0.9, consistency 10" in said and "gamma 0" not in said and "margin" not in said


def test_ada_takes_signs_about_the_objectives_own_boundary(learner, change, monkeypatch):
    """At the optimum of least squares D says 0.5 of everything: no overfitting, so p must not run up."""
    rng = torch.Generator().manual_seed(0)

    def undecided(self, images, labels, *args, num_apart=0):
        return (
            0.5
            + 0.1 * torch.randn(len(images), generator=rng)
            + 0.0 * self.models.discriminator(images, None).squeeze(1)
        )

    monkeypatch.setattr(Game, "judge", undecided)
    config = change(learner, objective="least-squares", augment="ada", ada_kimg=0.1, kimg=0.16, r1_every=0)
    monkeypatch.setattr(Stepper, "_apply", lambda self, optimizer, parameters: None)
    train(config)
    lines = read_log(Path(config.out) / "log.jsonl")
    assert max(line["augment_p"] for line in lines) < 0.6  # it would get to 1
    assert abs(sum(line["r_t"] for line in lines) / len(lines)) < 0.5  # a line is of few images


@pytest.mark.parametrize("name", ["wgan", "wgan-gp"])
def test_ada_is_refused_where_there_is_no_boundary(name, learner, change):
    with pytest.raises(ConfigError, match="no boundary between real and generated"):
        train(change(learner, objective=name, augment="ada"))
    assert settings_of(objective=name).augment == "none"


def test_relativistic_sides_are_those_of_pairs():
    real, fake = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 0.5])
    assert OBJECTIVES["relativistic"].real_side(real, fake).tolist() == [-2.0, 1.5]
    assert OBJECTIVES["least-squares"].real_side(real, fake).tolist() == [0.5, 1.5]
    assert OBJECTIVES["wgan"].real_side(real, fake) is None
