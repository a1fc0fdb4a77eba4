import pytest
import torch
from torch.nn.functional import l1_loss
from torch.testing import assert_close

from stylegan_core.errors import ConfigError, ImageError
from stylegan_core.networks.autoencoder import AutoencoderCritic, repelling_regulariser
from stylegan_core.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from stylegan_core.networks.lapgan import LAPGAN, collapse, expand, laplacian_pyramid


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize(("side", "channels"), [(28, 1), (64, 3)])
def test_dcgan_draws_and_judges_images_of_its_size(side, channels):
    generator = DCGANGenerator(side, channels, z_dim=10, width=4)
    critic = DCGANDiscriminator(side, channels, width=4)
    images = generator(torch.randn(3, 10))
    assert images.shape == (3, channels, side, side) and images.abs().max() <= 1
    assert critic(images).shape == (3, 1)
    assert_close(generator.synthesis(generator.mapping(torch.ones(2, 10), truncation_psi=0.5)),
                 generator.synthesis(torch.full((2, 1, 10), 0.5)))  # fmt: skip
    with pytest.raises(ImageError):
        critic(images[:, :, 1:])


def test_dcgan_refuses_other_sizes():
    with pytest.raises(ConfigError, match="28 and 64"):
        DCGANGenerator(32)


def test_without_batch_norm_a_sample_is_judged_by_itself():
    images = torch.randn(4, 1, 28, 28)
    alone = DCGANDiscriminator(28, 1, width=4, batch_norm=False)
    assert_close(alone(images)[:1], alone(images[:1]), atol=1e-6, rtol=1e-5)
    normed = DCGANDiscriminator(28, 1, width=4)
    assert not torch.allclose(normed(images)[:1], normed(images[:1]), atol=1e-6)


def test_a_pyramid_collapses_to_the_image_and_its_bands_hold_no_mean():
    images = torch.randn(2, 3, 32, 32)
    pyramid = laplacian_pyramid(images, 2)
    assert [band.shape[-1] for band in pyramid] == [32, 16, 8]
    assert_close(collapse(pyramid), images)
    constant = laplacian_pyramid(torch.full((1, 3, 16, 16), 0.7), 1)
    assert_close(constant[0], torch.zeros(1, 3, 16, 16))


def test_lapgan_adds_each_levels_band_to_the_expanded_image_below():
    model = LAPGAN(16, 3, coarsest=4, z_dim=5, width=4)
    assert model.resolutions == [16, 8] and model.z_dim == 5 + 64 + 256
    z = torch.randn(2, model.z_dim)
    coarse = expand(model.coarse(z[:, :5]))
    middle = coarse + model.bands[1](z[:, 5:69], coarse)
    fine = expand(middle)
    assert_close(model(z), fine + model.bands[0](z[:, 69:], fine))


@pytest.mark.parametrize("level", [0, 1])
def test_lapgan_games_ask_for_the_band_that_is_missing(level):
    model = LAPGAN(16, 3, coarsest=4, z_dim=5, width=4)
    images = torch.randn(2, 3, 16, 16)
    real, fake, coarse = model.band_game(level, images, torch.randn(2, model.resolutions[level] ** 2))
    assert_close(real, laplacian_pyramid(images, 2)[level])
    assert fake.shape == real.shape == coarse.shape
    assert model.critics[level](real, coarse).shape == (2, 1)
    with pytest.raises(ConfigError, match="each step doubles"):
        LAPGAN(48, coarsest=8)


def test_energies_are_reconstruction_errors_and_training_lowers_them():
    critic = AutoencoderCritic(16, 3, width=4, code=16)
    images = torch.rand(8, 3, 16, 16) * 2 - 1
    expected = torch.stack([l1_loss(critic.reconstruct(images)[i], images[i]) for i in range(8)])
    assert_close(critic(images), expected)
    assert_close(AutoencoderCritic(16, 3, width=4, power=2)(images).shape, torch.Size([8]))
    optimizer = torch.optim.Adam(critic.parameters(), lr=3e-3)
    before = critic(images).mean().item()
    for _ in range(60):
        optimizer.zero_grad()
        critic(images).mean().backward()
        optimizer.step()
    assert critic(images).mean().item() < 0.8 * before


def test_autoencoder_refuses_what_it_cannot_halve():
    with pytest.raises(ConfigError, match="powers of two"):
        AutoencoderCritic(28)
    with pytest.raises(ConfigError, match="absolute"):
        AutoencoderCritic(16, power=3)


def test_repelling_term_by_hand():
    codes = torch.tensor([[1.0, 0], [2.0, 0], [0, 3.0]])
    assert repelling_regulariser(codes).item() == pytest.approx(2 / 6)
