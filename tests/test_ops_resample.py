"""FIR resampling against loops written from the definition: zero insertion, zero padding, flipped taps."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from stylegan_core.ops.resample import downsample2d, fir2d, make_filter, upsample2d

FILTERS = [(1.0, 3.0, 3.0, 1.0), (1.0, 1.0), (1.0, 2.0, 1.0), (1.0, 4.0, 2.0, 7.0, 3.0, 1.0), (1.0, 2.0, 5.0, 3.0, 1.0)]


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def naive(x: np.ndarray, taps: np.ndarray, up: int, down: int, before: int, after: int, gain: float) -> np.ndarray:
    """Filter one axis after the other, sample by sample."""
    for axis in (2, 3):
        lines = np.moveaxis(x, axis, -1)
        spread = np.zeros([*lines.shape[:-1], lines.shape[-1] * up])
        spread[..., ::up] = lines
        padded = np.pad(spread, [(0, 0)] * 3 + [(before, after)])
        num = padded.shape[-1] - len(taps) + 1
        out = np.zeros([*lines.shape[:-1], num])
        for o in range(num):
            for k in range(len(taps)):
                out[..., o] += padded[..., o + len(taps) - 1 - k] * taps[k]
        x = np.moveaxis(out[..., ::down], -1, axis)
    return x * gain


@pytest.mark.parametrize("taps", FILTERS)
def test_upsampling_is_zero_insertion_and_a_filter_times_four(taps: tuple[float, ...]) -> None:
    x = torch.randn(2, 3, 5, 7, dtype=torch.float64)
    kernel, size = make_filter(taps).double(), len(taps)
    expected = naive(x.numpy(), kernel.numpy(), 2, 1, (size + 1) // 2, (size - 2) // 2, 4)
    assert_close(upsample2d(x, kernel).numpy(), expected)
    assert expected.shape == (2, 3, 10, 14)


@pytest.mark.parametrize("taps", FILTERS)
def test_downsampling_is_a_filter_and_every_second_pixel(taps: tuple[float, ...]) -> None:
    x = torch.randn(2, 3, 6, 8, dtype=torch.float64)
    kernel, size = make_filter(taps).double(), len(taps)
    expected = naive(x.numpy(), kernel.numpy(), 1, 2, (size - 1) // 2, (size - 2) // 2, 1)
    assert_close(downsample2d(x, kernel).numpy(), expected)
    assert expected.shape == (2, 3, 3, 4)


@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (2, 1), (3, 0), (-1, 2)])
def test_filtering_pads_and_crops_as_told(padding: tuple[int, int]) -> None:
    x = torch.randn(1, 2, 9, 9, dtype=torch.float64)
    kernel = make_filter(FILTERS[3]).double()
    cut = max(-padding[0], 0)
    expected = naive(x.numpy()[:, :, cut:, cut:], kernel.numpy(), 1, 1, max(padding[0], 0), padding[1], 3.0)
    assert_close(fir2d(x, kernel, padding, gain=3.0).numpy(), expected)


def test_a_constant_image_stays_constant_inside() -> None:
    x = torch.full([1, 1, 8, 8], 0.7)
    taps = make_filter((1, 3, 3, 1))
    assert_close(upsample2d(x, taps)[:, :, 2:-2, 2:-2], torch.full([1, 1, 12, 12], 0.7))
    assert_close(downsample2d(x, taps)[:, :, 1:-1, 1:-1], torch.full([1, 1, 2, 2], 0.7))


def test_resampling_differentiates_twice() -> None:
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    taps = make_filter((1, 3, 3, 1)).double()
    for function in (upsample2d, downsample2d):
        assert torch.autograd.gradcheck(lambda x, f=function: f(x, taps).sin(), x)
        assert torch.autograd.gradgradcheck(lambda x, f=function: f(x, taps).sin(), x)


def test_memory_layout_does_not_change_the_result() -> None:
    x = torch.randn(2, 8, 16, 16)
    taps = make_filter((1, 3, 3, 1))
    assert_close(upsample2d(x.contiguous(memory_format=torch.channels_last), taps), upsample2d(x, taps))
    assert_close(downsample2d(x.contiguous(memory_format=torch.channels_last), taps), downsample2d(x, taps))
