import pytest
import torch
from torch.nn.functional import l1_loss
from torch.testing import assert_close

from stylegan_core.errors import ConfigError, ImageError, LatentMismatchError
from stylegan_core.networks.autoencoder import AutoencoderCritic, AutoencoderGenerator, repelling_regulariser
from stylegan_core.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from stylegan_core.networks.lapgan import (
    LAPGANDiscriminator,
    LAPGANGenerator,
    collapse,
    expand,
    laplacian_pyramid,
    split,
    unpack,
)
from stylegan_core.networks.small_configs import (
    AutoencoderConfig,
    AutoencoderCriticConfig,
    DCGANConfig,
    DCGANDiscriminatorConfig,
    LAPGANConfig,
)


@pytest.fixture(autouse=True)
def seeded():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize("upsampling", ["transposed", "pixelshuffle"])
@pytest.mark.parametrize(("side", "channels"), [(28, 1), (16, 3), (64, 3)])
def test_dcgan_draws_and_judges_images_of_its_size(side, channels, upsampling):
    config = DCGANConfig(10, img_resolution=side, img_channels=channels, channel_base=128, upsampling=upsampling)
    generator = DCGANGenerator(config)
    critic = DCGANDiscriminator(DCGANDiscriminatorConfig(0, side, channels, channel_base=128))
    images = generator(torch.randn(3, 10))
    assert images.shape == (3, channels, side, side) and images.abs().max() <= 1
    assert critic(images).shape == (3, 1)
    generator.eval()
    assert_close(generator.synthesis(generator.mapping(torch.ones(2, 10), truncation_psi=0.5)),
                 generator.synthesis(torch.full((2, 1, 10), 0.5)))  # fmt: skip
    with pytest.raises(ImageError):
        critic(images[:, :, 1:])
    with pytest.raises(LatentMismatchError):
        generator.mapping(torch.randn(3, 9))


def test_dcgan_refuses_other_sizes_and_labels():
    with pytest.raises(ConfigError, match="28, 16, 32, 64, 128"):
        DCGANConfig(img_resolution=48)
    with pytest.raises(ConfigError, match="leave out --labels"):
        DCGANConfig(c_dim=3)


def test_without_batch_norm_a_sample_is_judged_by_itself():
    images = torch.randn(4, 1, 28, 28)
    alone = DCGANDiscriminator(DCGANDiscriminatorConfig(0, 28, 1, channel_base=112, batch_norm=False))
    assert_close(alone(images)[:1], alone(images[:1]), atol=1e-6, rtol=1e-5)
    normed = DCGANDiscriminator(DCGANDiscriminatorConfig(0, 28, 1, channel_base=112))
    assert not torch.allclose(normed(images)[:1], normed(images[:1]), atol=1e-6)


def test_spectral_norm_leaves_no_convolution_a_singular_value_over_one():
    config = DCGANDiscriminatorConfig(0, 16, 3, channel_base=64, batch_norm=False, spectral_norm=True)
    critic = DCGANDiscriminator(config)
    for _ in range(60):  # each forward pass is a step of the power iteration
        critic(torch.randn(2, 3, 16, 16))
    critic.eval()
    for layer in critic.layers:
        if isinstance(layer, torch.nn.Conv2d):
            largest = float(torch.linalg.matrix_norm(layer.weight.detach().flatten(1), ord=2))
            assert largest == pytest.approx(1, abs=0.05)


def test_minibatch_std_lets_a_critic_see_that_all_images_are_the_same():
    config = DCGANDiscriminatorConfig(0, 16, 3, channel_base=64, batch_norm=False, minibatch_std=True)
    critic = DCGANDiscriminator(config)
    image, others = torch.randn(1, 3, 16, 16), torch.randn(3, 3, 16, 16)
    among_copies, among_others = critic(image.repeat(4, 1, 1, 1))[0], critic(torch.cat([image, others]))[0]
    assert not torch.allclose(among_copies, among_others, atol=1e-4)
    grown = (
        critic.layers[-1].weight.shape[1]
        - DCGANDiscriminator(DCGANDiscriminatorConfig(0, 16, 3, channel_base=64, batch_norm=False))
        .layers[-1]
        .weight.shape[1]
    )
    assert grown == 1


def test_a_pyramid_collapses_to_the_image_and_its_bands_hold_no_mean():
    images = torch.randn(2, 3, 32, 32)
    pyramid = laplacian_pyramid(images, 2)
    assert [band.shape[-1] for band in pyramid] == [32, 16, 8]
    assert_close(collapse(pyramid), images)
    constant = laplacian_pyramid(torch.full((1, 3, 16, 16), 0.7), 1)
    assert_close(constant[0], torch.zeros(1, 3, 16, 16))


PYRAMID = LAPGANConfig(5, img_resolution=16, coarsest=4, width=4)


def test_lapgan_adds_each_levels_band_to_the_expanded_image_below():
    model = LAPGANGenerator(PYRAMID)
    assert PYRAMID.resolutions == [16, 8] and model.z_dim == 5 + 64 + 256
    z = torch.randn(2, model.z_dim)
    coarse = expand(model.coarse(z[:, :5]))
    middle = coarse + model.bands[1](z[:, 5:69], coarse)
    fine = expand(middle)
    assert_close(model(z), fine + model.bands[0](z[:, 69:], fine))


def test_lapgan_games_ask_for_the_band_that_is_missing():
    model, critic = LAPGANGenerator(PYRAMID), LAPGANDiscriminator(PYRAMID)
    images, z = torch.randn(2, 3, 16, 16), torch.randn(2, model.z_dim)
    rows = split(images, PYRAMID)
    pyramid = laplacian_pyramid(images, 2)
    real, fake = unpack(rows, PYRAMID), unpack(model.games(z, rows), PYRAMID)
    for level in range(3):
        assert_close(real[level][0], pyramid[level])
    for level in range(2):  # the coarse images are the real ones, the bands the generator's
        assert_close(fake[level][1], real[level][1])
    assert_close(fake[0][0], model.bands[0](z[:, 69:], real[0][1]))
    assert_close(fake[1][0], model.bands[1](z[:, 5:69], real[1][1]))
    assert critic(rows).shape == (2, 3)
    assert_close(critic(images), critic(rows))
    with pytest.raises(ConfigError, match="each step doubles"):
        LAPGANConfig(img_resolution=48, coarsest=8)


def test_a_plain_autoencoders_z_follows_its_codes():
    model = AutoencoderGenerator(AutoencoderConfig(3, img_resolution=8, width=2))
    codes = torch.randn(4000, 3) @ torch.tensor([[2.0, 0, 0], [1.0, 0.5, 0], [0, 0, 3.0]]) + torch.tensor([1.0, 2, 3])
    covariance = torch.cov(codes.T)
    model.follow_codes(codes.mean(0), covariance, 1.0)
    drawn = model.mapping(torch.randn(40000, 3))[:, 0]
    assert_close(drawn.mean(0), codes.mean(0), atol=0.1, rtol=0)
    assert_close(torch.cov(drawn.T), covariance, atol=0.3, rtol=0)


def test_energies_are_reconstruction_errors_and_training_lowers_them():
    critic = AutoencoderCritic(AutoencoderCriticConfig(16, width=4, code=16))
    images = torch.rand(8, 3, 16, 16) * 2 - 1
    expected = torch.stack([l1_loss(critic.reconstruct(images)[i], images[i]) for i in range(8)])
    assert_close(critic(images), expected)
    assert_close(AutoencoderCritic(AutoencoderCriticConfig(16, width=4, power=2))(images).shape, torch.Size([8]))
    optimizer = torch.optim.Adam(critic.parameters(), lr=3e-3)
    before = critic(images).mean().item()
    for _ in range(60):
        optimizer.zero_grad()
        critic(images).mean().backward()
        optimizer.step()
    assert critic(images).mean().item() < 0.8 * before


def test_autoencoder_refuses_what_it_cannot_halve():
    with pytest.raises(ConfigError, match="powers of two"):
        AutoencoderCriticConfig(28)
    with pytest.raises(ConfigError, match="absolute"):
        AutoencoderCriticConfig(16, power=3)


def test_repelling_term_by_hand():
    codes = torch.tensor([[1.0, 0], [2.0, 0], [0, 3.0]])
    assert repelling_regulariser(codes).item() == pytest.approx(2 / 6)
