"""StyleGAN3: the equivariance it is made for, its plan against the published layers, and its averages."""

import math

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor
from torch.testing import assert_close

from stylegan_core.errors import ConfigError, LatentMismatchError
from stylegan_core.networks.configs import PRESETS, StyleGAN3Config, config_from_dict, config_to_dict
from stylegan_core.networks.stylegan3 import StyleGAN3Generator, plan_layers

SIDE = 32


def make(radial: bool, **changes: object) -> StyleGAN3Generator:
    """A random generator whose layers' magnitudes are calibrated, as training would have done."""
    options = {"z_dim": 16, "w_dim": 16, "img_resolution": SIDE, "channel_base": 1024, "channel_max": 16}
    options |= {"conv_kernel": 1 if radial else 3, "use_radial_filters": radial, "magnitude_ema_beta": 0.0}
    generator = StyleGAN3Generator(StyleGAN3Config(**{**options, **changes})).eval().requires_grad_(False)
    generator.synthesis(generator.mapping(torch.randn(4, 16)), update_emas=True)
    return generator


def user_transform(shift: float = 0.0, degrees: float = 0.0) -> Tensor:
    """Return what `synthesis.input.transform` must hold: the inverse of a turn and a shift to the right."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    matrix = np.array([[cosine, sine, shift], [-sine, cosine, 0], [0, 0, 1]])
    return torch.tensor(np.linalg.inv(matrix), dtype=torch.float32)


def render(generator: StyleGAN3Generator, ws: Tensor, **how: float) -> Tensor:
    generator.synthesis.input.transform.copy_(user_transform(**how))
    return generator.synthesis(ws)


def decibels(expected: Tensor, actual: Tensor) -> float:
    """Return the signal-to-noise ratio; the image's variance is the signal."""
    return 10 * math.log10(float(expected.var() / (expected - actual).square().mean()))


@pytest.mark.parametrize(("radial", "least"), [(False, 40), (True, 60)])
@pytest.mark.parametrize("pixels", [1, 5])
def test_shifting_the_input_shifts_the_image(radial: bool, least: float, pixels: int) -> None:
    generator = make(radial)
    ws = generator.mapping(torch.randn(1, 16))
    still, moved = render(generator, ws), render(generator, ws, shift=pixels / SIDE)
    kept = decibels(still[..., 2:-2, 2 : SIDE - pixels - 2], moved[..., 2:-2, 2 + pixels : -2])
    assert kept > least
    assert decibels(still, moved) < 30  # it did move


def test_turning_the_input_turns_the_image_of_r_but_not_of_t() -> None:
    measured = {}
    for radial in (False, True):
        generator = make(radial)
        ws = generator.mapping(torch.randn(1, 16))
        still, turned = render(generator, ws), render(generator, ws, degrees=30)
        expected = torch.from_numpy(ndimage.rotate(still.numpy(), 30, axes=(3, 2), reshape=False, order=5))
        measured[radial] = decibels(expected[..., 6:-6, 6:-6], turned[..., 6:-6, 6:-6])
    assert measured[True] > 35
    assert measured[False] < 25


def test_a_quarter_turn_of_r_is_exact() -> None:
    generator = make(radial=True)
    ws = generator.mapping(torch.randn(1, 16))
    still, turned = render(generator, ws), render(generator, ws, degrees=90)
    assert decibels(torch.rot90(still, 1, (2, 3))[..., 2:-2, 2:-2], turned[..., 2:-2, 2:-2]) > 90


def test_the_learned_transform_turns_and_shifts_like_the_users() -> None:
    generator = make(radial=True)
    ws = generator.mapping(torch.randn(1, 16))
    affine = generator.synthesis.input.affine
    expected = render(generator, ws, shift=0.1, degrees=20)
    inverse = user_transform(shift=0.1, degrees=20)
    turn = inverse[:2, :2]
    learned_shift = turn.T @ inverse[:2, 2]  # rotation comes first, then the shift, negated
    affine.bias.copy_(torch.tensor([turn[0, 0], turn[1, 0], -learned_shift[0], -learned_shift[1]]) * 3)
    assert_close(render(generator, ws), expected, atol=1e-4, rtol=1e-3)


def test_the_published_plan_of_256_pixel_t() -> None:
    """Layer names of NVIDIA's 256 px T and R configurations."""
    names = {}
    for preset in ("stylegan3-t", "stylegan3-r"):
        config = PRESETS[preset]
        assert isinstance(config, StyleGAN3Config)
        names[preset] = [f"L{i}_{plan.size}_{plan.channels}" for i, plan in enumerate(plan_layers(config))]
    assert names["stylegan3-t"] == [
        *("L0_36_512", "L1_36_512", "L2_36_512", "L3_52_512", "L4_52_512", "L5_84_512", "L6_84_512"),
        *("L7_148_512", "L8_148_512", "L9_148_362", "L10_276_256", "L11_276_181", "L12_276_128", "L13_256_128"),
        "L14_256_3",
    ]
    assert names["stylegan3-r"][0] == "L0_36_1024"
    assert names["stylegan3-r"][-2:] == ["L13_256_256", "L14_256_3"]


def test_magnitudes_follow_the_signal_and_scale_it_to_one() -> None:
    generator = make(radial=False)
    layer = getattr(generator.synthesis, generator.synthesis.layer_names[0])
    x, w = torch.randn(2, 16, 36, 36) * 7, torch.randn(2, 16)
    layer.magnitude_ema_beta = 0.9
    before = layer.magnitude_ema.item()
    layer(x, w, torch.float32, update_emas=True)
    assert layer.magnitude_ema.item() == pytest.approx(0.9 * before + 0.1 * x.square().mean().item(), rel=1e-5)
    small = layer(x, w, torch.float32)
    layer.magnitude_ema.mul_(4)
    assert not torch.allclose(layer(x, w, torch.float32), small)


def test_images_of_a_batch_do_not_depend_on_each_other() -> None:
    generator = make(radial=False)
    ws = generator.mapping(torch.randn(3, 16))
    alone = torch.cat([generator.synthesis(ws[i : i + 1]) for i in range(3)])
    assert_close(generator.synthesis(ws), alone, rtol=1e-3, atol=1e-4)


def test_gradients_reach_ws_twice() -> None:
    generator = make(False, img_resolution=16, channel_max=2, num_layers=4, num_critical=1).double()
    steps = torch.randn(4, 1, generator.num_ws, 16, dtype=torch.float64)  # few directions: numeric gradients are slow
    direction = torch.randn(1, 3, 16, 16, dtype=torch.float64)
    amounts = torch.randn(4, dtype=torch.float64, requires_grad=True)

    def function(amounts: Tensor) -> Tensor:
        return (generator.synthesis((amounts.view(-1, 1, 1, 1) * steps).sum(dim=0)) * direction).sum()

    assert torch.autograd.gradcheck(function, amounts)
    assert torch.autograd.gradgradcheck(function, amounts)


def test_noise_modes_change_nothing_and_noise_is_refused() -> None:
    generator = make(radial=False)
    ws = generator.mapping(torch.randn(1, 16))
    assert torch.equal(generator.synthesis(ws, noise_mode="random"), generator.synthesis(ws, noise_mode="none"))
    assert generator.noise == {}
    with pytest.raises(LatentMismatchError, match="no noise"):
        generator.synthesis(ws, noise={"b4.conv1": torch.zeros(4, 4)})


def test_configs_survive_json_and_refuse_nonsense() -> None:
    config = PRESETS["stylegan3-r"]
    assert config_from_dict(config_to_dict(config)) == config
    with pytest.raises(ConfigError, match="num_layers"):
        StyleGAN3Config(num_layers=10**6)
    with pytest.raises(ConfigError, match="num_critical"):
        StyleGAN3Config(num_layers=4, num_critical=4)
    with pytest.raises(ConfigError, match="channels"):
        StyleGAN3Config(channels=(8, 8))


def test_conditional_and_grayscale_generators() -> None:
    config = StyleGAN3Config(
        z_dim=16, c_dim=3, w_dim=16, img_resolution=16, img_channels=1, channel_max=8, num_layers=4, num_critical=1
    )
    generator = StyleGAN3Generator(config)
    assert generator(torch.randn(2, 16), torch.eye(3)[:2]).shape == (2, 1, 16, 16)
