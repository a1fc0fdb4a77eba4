import itertools

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import avg_pool2d, interpolate
from torch.testing import assert_close

from stylegan_core.checkpoints import load_generator
from stylegan_core.networks import configs
from stylegan_core.training.loop import train
from stylegan_core.training.progressive import Growth, growth_at


def test_schedule_fades_in_and_stays_at_each_resolution():
    at = {kimg: growth_at(1.0, 8, 32, int(kimg * 1000)) for kimg in (0, 0.9, 1, 1.5, 2, 2.9, 3.25, 4, 99)}
    assert at[0] == at[0.9] == Growth(8, 1.0)
    assert at[1] == Growth(16, 0.0) and at[1.5] == Growth(16, 0.5) and at[2] == at[2.9] == Growth(16, 1.0)
    assert at[3.25] == Growth(32, 0.25) and at[4] == at[99] == Growth(32, 1.0)


def test_levels_of_detail_never_jump():
    lods = [growth_at(1.0, 4, 32, nimg).lod(32) for nimg in range(0, 8000, 50)]
    assert lods[0] == 3 and lods[-1] == 0
    assert all(0 <= before - after <= 0.0501 for before, after in itertools.pairwise(lods))


def test_no_phases_means_full_size_from_the_start():
    assert growth_at(0.0, 8, 64, 0) == Growth(64, 1.0)


def test_reals_get_the_detail_that_fakes_can_have():
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    at_8 = interpolate(avg_pool2d(images, 2), scale_factor=2)
    at_4 = interpolate(avg_pool2d(images, 4), scale_factor=4)
    assert_close(Growth(16, 1.0).fade(images), images)
    assert_close(Growth(8, 1.0).fade(images), at_8)
    assert_close(Growth(8, 0.25).fade(images), 0.25 * at_8 + 0.75 * at_4)


@pytest.fixture
def growing(tiny, change, monkeypatch):
    preset = configs.StyleGAN1Config(
        z_dim=8, w_dim=8, img_resolution=16, mapping_layers=2, channel_base=128, channel_max=8
    )
    monkeypatch.setitem(configs.PRESETS, "tiny1", preset)
    return change(tiny, preset="tiny1", kimg=0.064, phase_kimg=0.016, first_resolution=8, snapshot_kimg=0.016)


def test_stylegan1_grows_while_it_trains_and_resumes_in_mid_fade(growing, change, tmp_path):
    result = train(growing)
    state = load_file(f"{growing.out}/training-state.safetensors")
    assert state["G.synthesis.lod"].item() == state["D.lod"].item() == state["G_ema.synthesis.lod"].item() == 0
    generator = load_generator(result.snapshot)
    assert generator.synthesis(generator.mapping(torch.zeros(1, 8))).shape[-1] == 16
    broken = change(growing, out=str(tmp_path / "broken"), kimg=0.032)
    train(broken)
    half = load_file(f"{broken.out}/training-state.safetensors")
    assert 0 < half["G.synthesis.lod"].item() <= 1
    train(change(broken, kimg=0.064))
    other = load_file(f"{broken.out}/training-state.safetensors")
    assert [name for name in state if not torch.equal(state[name], other[name])] == []


def test_blocks_above_the_present_resolution_are_not_trained(growing, change):
    config = change(growing, kimg=0.008)
    train(config)
    before = load_file(f"{config.out}/training-state.safetensors")
    train(change(config, kimg=0.016))
    after = load_file(f"{config.out}/training-state.safetensors")
    assert torch.equal(before["G.synthesis.b16.conv0.weight"], after["G.synthesis.b16.conv0.weight"])
    assert not torch.equal(before["G.synthesis.b8.conv0.weight"], after["G.synthesis.b8.conv0.weight"])


def test_stylegan3_trains_and_tracks_magnitudes(tiny, change, monkeypatch):
    preset = configs.StyleGAN3Config(z_dim=8, w_dim=8, img_resolution=16, channel_base=128, channel_max=8)
    monkeypatch.setitem(configs.PRESETS, "tiny3", preset)
    config = change(tiny, preset="tiny3", kimg=0.016)
    train(config)
    state = load_file(f"{config.out}/training-state.safetensors")
    magnitudes = [tensor for name, tensor in state.items() if name.startswith("G.") and "magnitude_ema" in name]
    assert magnitudes and all(tensor != 1 for tensor in magnitudes)
