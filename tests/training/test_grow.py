"""A generator that has grown draws what it drew, enlarged, and learns from there."""

import dataclasses

import pytest
import torch
from torch.testing import assert_close

from stylegan_core.checkpoints import load_generator
from stylegan_core.errors import ConfigError
from stylegan_core.networks.build import build_network
from stylegan_core.networks.configs import StyleGAN2Config
from stylegan_core.ops.resample import make_filter, upsample2d
from stylegan_core.training.grow import grow
from stylegan_core.training.loop import train

SMALL = StyleGAN2Config(z_dim=8, w_dim=8, img_resolution=8, mapping_layers=2, channel_base=64, channel_max=8)


@pytest.mark.parametrize("resolution", [16, 32])
def test_a_grown_generator_draws_the_same_image_enlarged(resolution):
    torch.manual_seed(0)
    small = build_network(SMALL).eval()
    large = grow(small, resolution).eval()
    z = torch.randn(2, 8)
    expected = small(z)
    while expected.shape[-1] < resolution:
        expected = upsample2d(expected, make_filter(SMALL.resample_filter))
    assert large.num_ws > small.num_ws
    assert_close(large(z), expected)


def test_the_new_resolutions_follow_the_rule_or_the_number_given():
    assert grow(build_network(SMALL), 32).config.channels == (8, 8, 4, 2)
    assert grow(build_network(SMALL), 32, 5).config.channels == (8, 8, 5, 5)


def test_only_skip_architectures_grow():
    resnet = build_network(dataclasses.replace(SMALL, architecture="resnet"))
    with pytest.raises(ConfigError, match="cannot grow to 16"):
        grow(resnet, 16)


def test_training_goes_on_at_a_higher_resolution(tiny, change, tmp_path):
    source = train(change(tiny, resolution=8, preset="tiny", kimg=0.016)).snapshot
    result = train(change(tiny, init=str(source), out=str(tmp_path / "grown"), resolution=16, kimg=0.016))
    grown = load_generator(result.snapshot)
    assert grown.img_resolution == 16
    assert grown.synthesis.b16.torgb.weight.abs().max() > 0
