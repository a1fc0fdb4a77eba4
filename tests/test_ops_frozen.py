"""The one-step layer of frozen generators against the same layer written with autograd."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import stylegan_core.ops.frozen as frozen
from stylegan_core.networks.configs import StyleGAN2Config
from stylegan_core.networks.stylegan2 import StyleGAN2Generator
from stylegan_core.ops.frozen import FrozenPointwise, FrozenScaledConv, FrozenStyledLayer, scaled_conv, styled_layer
from stylegan_core.ops.modulation import mix_channels
from stylegan_core.ops.resample import make_filter


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def inputs(noise: str, side: int, up: int, num: int = 2, channels: tuple[int, int] = (2, 3)) -> list[Tensor | None]:
    """x, styles, scale, shift, noise, weight, taps; those that take gradients require them."""

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=torch.float64)

    field = {"none": None, "shared": normal(1, 1, side * up, side * up), "own": normal(num, 1, side * up, side * up)}
    x, styles, scale = normal(num, channels[0], side, side), normal(num, channels[0]), normal(num, channels[1]).exp()
    values = [x, styles, scale, normal(channels[1]), field[noise], normal(channels[1], channels[0], 3, 3)]
    for i in (0, 1, 2, 4):
        value = values[i]
        if value is not None:
            value.requires_grad_()
    return [*values, make_filter((1, 3, 3, 1)).double()]


CASES = [(noise, up, clamp) for noise in ("none", "shared", "own") for up in (1, 2) for clamp in (None, 0.8)]


@pytest.mark.parametrize(("noise", "up", "clamp"), CASES)
@pytest.mark.parametrize("piece", [1 << 16, 40])
def test_values_and_gradients_are_those_of_autograd(
    noise: str, up: int, clamp: float | None, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen, "PIECE", piece)
    arguments = inputs(noise, 8, up)
    wanted = [arguments[i] for i in (0, 1, 2, 4) if arguments[i] is not None]
    expected, actual = styled_layer(*arguments, up, clamp), FrozenStyledLayer.apply(*arguments, up, clamp)
    assert_close(actual, expected)
    direction = torch.randn_like(expected)
    for ours, theirs in zip(
        torch.autograd.grad((actual * direction).sum(), wanted),
        torch.autograd.grad((expected * direction).sum(), wanted),
        strict=True,
    ):
        assert_close(ours, theirs)


@pytest.mark.parametrize("taps", [(1, 1), (1, 2, 1), (1, 5, 10, 10, 5, 1)])
def test_strips_of_an_upsampling_layer_see_as_far_as_its_filter_reaches(
    taps: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frozen, "PIECE", 1)
    arguments = [*inputs("none", 6, 2)[:6], make_filter(taps).double()]
    expected, actual = styled_layer(*arguments, 2, None), FrozenStyledLayer.apply(*arguments, 2, None)
    assert_close(actual, expected)
    direction = torch.randn_like(expected)
    ours, theirs = (torch.autograd.grad((y * direction).sum(), arguments[0])[0] for y in (actual, expected))
    assert_close(ours, theirs)


@pytest.mark.parametrize("piece", [1 << 16, 30])
def test_mixed_channels_have_the_gradients_of_autograd_twice(piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "PIECE", piece)
    x = torch.randn(2, 4, 3, 5, dtype=torch.float64, requires_grad=True)
    kernels, bias = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True), torch.randn(3, dtype=torch.float64)

    def mixed(x: Tensor, kernels: Tensor) -> Tensor:
        return FrozenPointwise.apply(x, kernels, bias)

    assert_close(mixed(x, kernels), mix_channels(x, kernels, bias))
    assert torch.autograd.gradcheck(mixed, [x, kernels])
    assert torch.autograd.gradgradcheck(mixed, [x, kernels])


@pytest.mark.parametrize("padding", [0, 2])
def test_a_scaled_convolution_has_the_gradients_of_autograd_twice(padding: int) -> None:
    x, styles, scale, shift, _, weight, _ = inputs("none", 4, 1, channels=(2, 3))
    wanted = [x, styles, scale]

    def layer(x: Tensor, styles: Tensor, scale: Tensor) -> Tensor:
        return FrozenScaledConv.apply(x, styles, scale, shift, weight, padding)

    assert_close(layer(*wanted), scaled_conv(*wanted, shift, weight, padding))
    assert torch.autograd.gradcheck(layer, wanted)
    assert torch.autograd.gradgradcheck(layer, wanted)


@pytest.mark.parametrize(("noise", "up"), [("shared", 1), ("own", 2)])
def test_gradients_can_be_differentiated_again(noise: str, up: int) -> None:
    arguments = inputs(noise, 3, up, num=1, channels=(2, 2))
    wanted = [arguments[i] for i in (0, 1, 2, 4)]

    def layer(x: Tensor, styles: Tensor, scale: Tensor, field: Tensor) -> Tensor:
        return FrozenStyledLayer.apply(x, styles, scale, arguments[3], field, *arguments[5:], up, None)

    assert torch.autograd.gradcheck(layer, wanted)
    assert torch.autograd.gradgradcheck(layer, wanted)


def test_a_frozen_generator_gives_the_images_and_gradients_of_a_training_one() -> None:
    config = StyleGAN2Config(z_dim=8, w_dim=8, img_resolution=64, channel_base=256, channel_max=8, mapping_layers=1)
    generator = StyleGAN2Generator(config).double()
    for layer in generator.synthesis.noise_layers().values():
        torch.nn.init.normal_(layer.noise_strength)
    ws = torch.randn(2, generator.num_ws, 8, dtype=torch.float64, requires_grad=True)
    results = []
    for training in (True, False):
        generator.requires_grad_(training)
        image = generator.synthesis(ws)
        (gradient,) = torch.autograd.grad(image.square().sum(), ws)
        results.append((image.detach(), gradient))
    assert_close(results[1][0], results[0][0])
    assert_close(results[1][1], results[0][1])
    with torch.no_grad():
        assert_close(generator.synthesis(ws), results[0][0])


def test_inputs_are_left_as_they_were() -> None:
    arguments = inputs("shared", 8, 1)
    before = [value.detach().clone() for value in arguments if value is not None]
    y = FrozenStyledLayer.apply(*arguments, 1, None)
    upstream = torch.ones_like(y)
    y.backward(upstream)
    for value, copy in zip([value for value in arguments if value is not None], before, strict=True):
        assert torch.equal(value.detach(), copy)
    assert bool((upstream == 1).all())


def test_pointwise_mixing_sums_channels() -> None:
    x, kernels, bias = torch.randn(2, 4, 3, 5), torch.randn(2, 3, 4), torch.randn(3)
    expected = torch.einsum("noi,nihw->nohw", kernels, x) + bias[:, None, None]
    assert_close(mix_channels(x, kernels, bias), expected)
