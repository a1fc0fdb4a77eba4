import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from stylegan_core.checkpoints import load_generator
from stylegan_core.checkpoints.native import read_safetensors
from stylegan_core.networks.build import build_network
from stylegan_core.networks.configs import StyleGAN2Config
from stylegan_core.training import ema
from stylegan_core.training.loop import ImageDataset, train
from stylegan_core.training.warm import SHIFT, WARM_FILE, affines, fit_mapping, install_mapping, principal_codes


def test_codes_are_principal_components_with_the_root_of_their_spread():
    rng = np.random.RandomState(0)
    rows = rng.randn(500, 12) * np.linspace(3, 0.5, 12)
    images = torch.from_numpy(rows).float().view(500, 3, 2, 2)
    codes = principal_codes(images, w_dim=8, num_codes=6)
    centred = rows - rows.mean(0)
    _, singular, basis = np.linalg.svd(centred, full_matrices=False)
    sd = singular[:6] / 499**0.5
    scale = np.sqrt(sd / sd[0])
    scale /= np.sqrt((scale**2).mean())
    expected = centred @ basis[:6].T / sd * scale
    correlation = (expected * codes.ws[:, :6].numpy()).mean(0) / scale**2
    np.testing.assert_allclose(np.abs(correlation), 1, atol=5e-3)
    np.testing.assert_allclose(codes.scale[:6], scale, rtol=1e-5)
    assert codes.ws[:, 6:].abs().max() == 0


def test_codes_are_the_same_with_more_pixels_than_images_and_the_other_way_round():
    images = torch.randn(40, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    images *= torch.linspace(3, 1, 48).view(3, 4, 4)
    few = principal_codes(images, 8, 8)  # 40 rows of 48 values
    twice = principal_codes(torch.cat([images, images]), 8, 8)  # 80 rows of 48
    assert_close(twice.ws[:40], few.ws, rtol=0.02, atol=0.02)


def test_the_mapping_is_exactly_linear_and_the_images_stay_where_their_codes_were():
    config = StyleGAN2Config(z_dim=16, w_dim=20, img_resolution=16, mapping_layers=3, channel_base=128, channel_max=8)
    torch.manual_seed(0)
    generator = build_network(config)
    scale = torch.linspace(2, 0.1, 20)
    z = torch.randn(5, 16)
    unit = torch.zeros(5, 20)
    unit[:, :16] = z / z.square().mean(1, keepdim=True).sqrt() * scale[:16]
    before = generator.synthesis(unit[:, None].expand(-1, generator.num_ws, -1))
    install_mapping(generator, scale)
    ws = generator.mapping(z)
    assert_close(ws[:, 0] - generator.w_avg, unit, atol=2e-4, rtol=1e-4)
    assert_close(generator.w_avg[:16], SHIFT * scale[:16])
    assert_close(generator.synthesis(ws), before, atol=2e-4, rtol=1e-3)
    assert len(affines(generator)) == 2 * 2 + 1 + 3


def test_warm_start_learns_the_images_before_the_adversarial_training(tiny, change):
    config = change(tiny, warm_start="pca", warm_kimg=0.4, kimg=0.008, snapshot_kimg=0.2)
    result = train(config)
    generator = load_generator(result.snapshot)
    data = ImageDataset(config.data)
    reals, _ = data.batch(range(12))
    codes = principal_codes(reals, 8, 8)
    assert codes.ws.shape == (12, 8)
    w_avg = generator.synthesis(generator.w_avg.expand(1, generator.num_ws, -1))
    error = (w_avg - reals.mean(0)).abs().mean()
    spread = (reals - reals.mean(0)).abs().mean()
    assert error < spread  # the mean code draws about the mean image


def test_a_warm_start_that_was_stopped_goes_on(tiny, change, tmp_path, monkeypatch):
    whole = change(tiny, warm_start="pca", warm_kimg=0.064, kimg=0.008, snapshot_kimg=0.016)
    train(whole)
    other = change(whole, out=str(tmp_path / "other"))
    update, calls = ema.update, []

    def killed(average, generator, beta):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        update(average, generator, beta)

    monkeypatch.setattr(ema, "update", killed)
    with pytest.raises(KeyboardInterrupt):
        train(other)
    monkeypatch.setattr(ema, "update", update)
    assert read_safetensors(tmp_path / "other" / WARM_FILE)[1]["step"] == "4"
    train(other)
    first, second = (load_file(tmp_path / name / "training-state.safetensors") for name in ("run", "other"))
    assert [name for name in first if not torch.equal(first[name], second[name])] == []


def test_a_fitted_mapping_has_the_codes_mean_and_covariance_and_moves_no_picture():
    torch.manual_seed(3)
    config = StyleGAN2Config(z_dim=6, w_dim=6, img_resolution=8, mapping_layers=3, channel_base=64, channel_max=8)
    generator = build_network(config).eval()
    codes = torch.randn(500, 6) @ torch.randn(6, 6) + torch.randn(6)
    ws = codes[:2, None].expand(-1, generator.num_ws, -1)
    before = generator.synthesis(ws, noise_mode="const")
    moved = fit_mapping(generator, codes)
    assert_close(generator.synthesis(ws + moved, noise_mode="const"), before, rtol=1e-3, atol=1e-3)
    with torch.no_grad():
        w = generator.mapping(torch.randn(40_000, 6))[:, 0] - moved
    scale = float(codes.var(0).mean())
    assert_close(w.mean(0), codes.mean(0), rtol=0, atol=0.05 * scale**0.5)
    assert_close(torch.cov(w.T), torch.cov(codes.T), rtol=0, atol=0.06 * scale)
    assert_close(generator.w_avg - moved, codes.mean(0))
