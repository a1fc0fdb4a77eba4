"""The lower layers of a generator draw the smaller image that the larger one is made of."""

import dataclasses

import pytest
import torch
from torch.testing import assert_close

from stylegan_core.errors import ConfigError
from stylegan_core.networks.build import build_network
from stylegan_core.networks.configs import StyleGAN2Config
from stylegan_core.networks.lower import at_resolution
from stylegan_core.training.grow import grow

SMALL = StyleGAN2Config(z_dim=8, w_dim=8, img_resolution=16, mapping_layers=2, channel_base=64, channel_max=8)


def test_it_draws_what_the_generator_it_was_grown_from_draws():
    torch.manual_seed(0)
    small = build_network(SMALL).eval()
    large = grow(small, 64).eval()
    lower = at_resolution(large, 16)
    ws = large.mapping(torch.randn(2, 8))
    assert (lower.img_resolution, lower.num_ws, large.img_resolution) == (16, large.num_ws, 64)
    assert_close(lower.synthesis(ws), small.synthesis(ws[:, : small.num_ws]))
    assert large.synthesis(ws).shape[-1] == 64
    assert set(lower.noise) == set(small.noise)


def test_its_own_resolution_is_the_generator_itself():
    generator = build_network(SMALL)
    assert at_resolution(generator, 0) is generator and at_resolution(generator, 16) is generator


@pytest.mark.parametrize(
    ("resolution", "architecture", "message"), [(12, "skip", "draws 4, 8, 16"), (8, "resnet", "only a StyleGAN2")]
)
def test_what_it_cannot_draw_is_refused(resolution, architecture, message):
    generator = build_network(dataclasses.replace(SMALL, architecture=architecture))
    with pytest.raises(ConfigError, match=message):
        at_resolution(generator, resolution)
