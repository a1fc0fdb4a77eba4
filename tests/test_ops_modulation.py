"""Modulated convolution against one ordinary convolution per sample with kernels of its own."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.testing import assert_close

from stylegan_core.ops.modulation import conv2d_up, demodulation, modulated_conv2d
from stylegan_core.ops.resample import make_filter


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def kernels_of(weight: Tensor, styles: Tensor, demodulate: bool) -> list[Tensor]:
    """Modulate (StyleGAN2, eq. 1) and demodulate (eq. 3) for each sample."""
    scaled = [weight * s[None, :, None, None] for s in styles]
    if not demodulate:
        return scaled
    return [k / (k.square().sum(dim=[1, 2, 3], keepdim=True) + 1e-8).sqrt() for k in scaled]


def insert_zeros(x: Tensor) -> Tensor:
    out = x.new_zeros([*x.shape[:2], 2 * x.shape[2] - 1, 2 * x.shape[3] - 1])
    out[:, :, ::2, ::2] = x
    return out


def naive_up(x: Tensor, kernel: Tensor, taps: Tensor) -> Tensor:
    """Insert zeros, convolve (kernel flipped) on an unbounded grid, filter, and crop to twice the size."""
    size = kernel.shape[-1]
    y = F.conv2d(insert_zeros(x), kernel.flip(2, 3), padding=size - 1)
    fir = 4 * torch.outer(taps, taps).flip(0, 1).expand(y.shape[1], 1, -1, -1)
    full = F.conv2d(y, fir, padding=len(taps) - 1, groups=y.shape[1])
    start = (size - 1) - size // 2 + len(taps) - 1 - (len(taps) + 1) // 2
    return full[:, :, start : start + 2 * x.shape[2], start : start + 2 * x.shape[3]]


def test_modulated_conv_equals_one_ordinary_conv_per_sample() -> None:
    x, weight, styles = torch.randn(2, 3, 8, 8), torch.randn(5, 3, 3, 3), torch.randn(2, 3)
    for demodulate in (True, False):
        kernels = kernels_of(weight, styles, demodulate)
        expected = torch.cat([F.conv2d(x[i : i + 1], k, padding=1) for i, k in enumerate(kernels)])
        assert_close(modulated_conv2d(x, weight, styles, demodulate), expected)


def test_upsampling_modulated_conv_equals_zero_insertion_per_sample() -> None:
    for size in (1, 3):
        for taps in (make_filter((1, 3, 3, 1)), make_filter((1, 1)), make_filter((1, 4, 2, 7, 3, 1))):
            x, weight, styles = torch.randn(2, 3, 6, 6), torch.randn(5, 3, size, size), torch.randn(2, 3)
            kernels = kernels_of(weight, styles, True)
            expected = torch.cat([naive_up(x[i : i + 1], k, taps) for i, k in enumerate(kernels)])
            assert_close(modulated_conv2d(x, weight, styles, up=2, taps=taps), expected, atol=2e-5, rtol=1e-4)


def test_demodulated_outputs_have_unit_variance_for_unit_variance_inputs() -> None:
    x, weight, styles = torch.randn(4, 64, 32, 32), torch.randn(8, 64, 3, 3), torch.randn(4, 64) * 5
    y = modulated_conv2d(x, weight, styles)[:, :, 1:-1, 1:-1]
    assert_close(y.std(dim=[2, 3]), torch.ones(4, 8), atol=0.1, rtol=0)  # sampling error of 900 correlated pixels


def test_demodulation_is_the_inverse_norm_of_each_kernel() -> None:
    weight, styles = torch.randn(5, 3, 3, 3), torch.randn(2, 3)
    expected = [[1 / (weight[o] * s[:, None, None]).norm() for o in range(5)] for s in styles]
    assert_close(demodulation(weight, styles), torch.tensor(expected))


def test_modulated_conv_differentiates_twice_in_everything() -> None:
    x = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 2, 3, 3, dtype=torch.float64, requires_grad=True)
    styles = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    taps = make_filter((1, 3, 3, 1)).double()
    for up in (1, 2):
        function = lambda *args, up=up: modulated_conv2d(*args, up=up, taps=taps)  # noqa: E731
        assert torch.autograd.gradcheck(function, (x, weight, styles))
        assert torch.autograd.gradgradcheck(function, (x, weight, styles))


def test_frozen_weights_get_no_gradient_and_styles_the_same() -> None:
    x, styles = torch.randn(1, 4, 8, 8), torch.randn(1, 4, requires_grad=True)
    weight = torch.randn(6, 4, 3, 3, requires_grad=True)
    target = torch.randn(1, 6, 8, 8)
    (free,) = torch.autograd.grad((modulated_conv2d(x, weight, styles) * target).sum(), styles)
    (frozen,) = torch.autograd.grad((modulated_conv2d(x, weight.detach(), styles) * target).sum(), styles)
    assert_close(frozen, free)


def test_plain_convolution_keeps_the_size() -> None:
    x, weight = torch.randn(1, 2, 5, 5), torch.randn(3, 2, 3, 3)
    assert_close(conv2d_up(x, weight), F.conv2d(x, weight, padding=1))
