"""StyleGAN3's filters against their specification, and its nonlinearity against scipy."""

import numpy as np
import pytest
import scipy.signal
import torch
from torch.testing import assert_close

import stylegan_core.ops.alias_free as alias_free
import stylegan_core.ops.filter_strips as filter_strips
from stylegan_core.ops.alias_free import design_lowpass, filtered_lrelu, resample, resampling_matrix


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(params=["strips", "matrices"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How the nonlinearity is computed: as on a CPU, or as on a GPU."""
    if request.param == "matrices":
        monkeypatch.setattr(alias_free, "plan_resampling", lambda *settings: None)
    return str(request.param)


def test_separable_filters_pass_low_and_stop_high_frequencies() -> None:
    taps = design_lowpass(24, cutoff=4.0, width=8.0, rate=64.0)
    assert taps is not None
    frequencies, response = scipy.signal.freqz(taps.numpy(), fs=64.0)
    response = np.abs(response)
    assert response[0] == pytest.approx(1, abs=1e-6)
    assert response[frequencies > 8.5].max() < 0.01  # the transition band ends at cutoff + width / 2
    assert 0.4 < response[np.argmin(np.abs(frequencies - 4.0))] < 0.6


@pytest.mark.parametrize("width", [0.5, 8.0, 20.0])  # attenuations below 21 dB, below 50 dB, and above
@pytest.mark.parametrize("num_taps", [6, 13, 24])
def test_separable_filters_are_scipys(num_taps: int, width: float) -> None:
    taps = design_lowpass(num_taps, cutoff=4.0, width=width, rate=64.0)
    expected = scipy.signal.firwin(numtaps=num_taps, cutoff=4.0, width=width, fs=64.0)
    assert_close(taps, torch.from_numpy(expected).float())


def test_radial_filters_are_rotationally_symmetric_and_sum_to_one() -> None:
    taps = design_lowpass(12, cutoff=4.0, width=8.0, rate=32.0, radial=True)
    assert taps is not None
    assert taps.sum().item() == pytest.approx(1, abs=1e-6)
    assert_close(taps, taps.T)
    assert_close(taps, taps.flip(0))
    # Equal response along the axis and along the diagonal: sum of taps times the plane wave's cosine.
    place = (torch.arange(12) - 5.5) / 32.0
    for frequency in (2.0, 4.0, 6.0):
        along = (taps * torch.cos(2 * np.pi * frequency * place)[None, :]).sum()
        waves = torch.cos(2 * np.pi * frequency * (place[None, :] + place[:, None]) / np.sqrt(2))
        assert_close((taps * waves).sum(), along, atol=0.02, rtol=0)


def test_an_odd_radial_filter_is_finite_in_its_centre() -> None:
    taps = design_lowpass(5, cutoff=4.0, width=8.0, rate=32.0, radial=True)
    assert taps is not None
    assert bool(torch.isfinite(taps).all())
    assert taps.argmax() == 12


def test_one_tap_is_no_filter() -> None:
    assert design_lowpass(1, 1.0, 1.0, 4.0) is None


@pytest.mark.parametrize(("up", "down", "padding"), [(2, 1, (5, 4)), (4, 2, (11, 8)), (1, 2, (0, 0)), (2, 1, (-3, 2))])
def test_resampling_matrices_equal_scipy(up: int, down: int, padding: tuple[int, int]) -> None:
    taps = torch.randn(12, dtype=torch.float64)
    x = torch.randn(15, dtype=torch.float64)
    spread = np.zeros(15 * up)
    spread[::up] = x.numpy()
    before, after = padding
    padded = np.pad(spread[max(-before, 0) :], (max(before, 0), max(after, 0)))
    expected = up * scipy.signal.convolve(padded, taps.numpy(), mode="valid")[::down]
    assert_close((x @ resampling_matrix(taps, 15, up, down, *padding)).numpy(), expected)


@pytest.mark.parametrize("radial", [False, True])
def test_filtered_lrelu_equals_scipy_step_by_step(radial: bool, way: str) -> None:
    up_filter = design_lowpass(12, 3.0, 6.0, 32.0)
    down_filter = design_lowpass(12, 4.0, 8.0, 32.0, radial)
    assert up_filter is not None and down_filter is not None
    x, bias = torch.randn(1, 2, 7, 7, dtype=torch.float64), torch.randn(2, dtype=torch.float64)
    up_filter, down_filter = up_filter.double(), down_filter.double()
    y = filtered_lrelu(x, bias, up_filter, down_filter, 2, 2, (9, 8), 1.5, 0.2, 0.8)
    for channel in range(2):
        spread = np.zeros([14, 14])
        spread[::2, ::2] = x[0, channel].numpy() + bias[channel].item()
        padded = np.pad(spread, (9, 8))
        kernel = 4 * np.outer(up_filter, up_filter)
        high = scipy.signal.convolve2d(padded, kernel, mode="valid")
        high = np.clip(np.where(high > 0, high, 0.2 * high) * 1.5, -0.8, 0.8)
        low = down_filter.numpy() if radial else np.outer(down_filter, down_filter)
        expected = scipy.signal.convolve2d(high, low, mode="valid")[::2, ::2]
        assert_close(y[0, channel].numpy(), expected)


@pytest.mark.parametrize("radial", [False, True])
@pytest.mark.parametrize("piece", [1, 1 << 20])
@pytest.mark.parametrize(
    ("up", "down", "padding"), [(2, 2, (11, 10)), (2, 1, (5, 3)), (4, 2, (-2, -5)), (3, 2, (11, 9)), (4, 3, (2, 8))]
)
def test_strips_give_what_matrices_give(
    up: int, down: int, padding: tuple[int, int], piece: int, radial: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.randn(2, 3, 33, 21, dtype=torch.float64, requires_grad=True)
    taps, low = torch.randn(2, 12, dtype=torch.float64)  # not symmetric: their directions matter
    settings = (None, taps, torch.outer(low, taps) if radial else low, up, down, padding, 1.3, 0.2, 3.0)
    monkeypatch.setattr(filter_strips, "PIECE", piece)
    actual = filtered_lrelu(x, *settings)
    monkeypatch.setattr(alias_free, "plan_resampling", lambda *settings: None)
    expected = filtered_lrelu(x, *settings)
    assert_close(actual, expected)
    probe = torch.randn_like(expected)
    ours, theirs = (torch.autograd.grad((y * probe).sum(), x)[0] for y in (actual, expected))
    assert_close(ours, theirs)


def test_padding_that_a_transposed_convolution_does_not_reach_is_left_to_matrices() -> None:
    up_filter, down_filter = design_lowpass(12, 3.0, 6.0, 32.0), design_lowpass(12, 4.0, 8.0, 32.0, radial=True)
    assert up_filter is not None and down_filter is not None
    x = torch.randn(1, 2, 7, 7)
    square = torch.outer(up_filter, up_filter)
    near, far = (
        filtered_lrelu(x, None, up_filter, square, 2, 2, padding, 1.0, 0.2, None) for padding in ((11, 10), (21, 20))
    )
    assert far.shape[-1] == near.shape[-1] + 10
    assert_close(far[:, :, 5:-5, 5:-5], near)


def test_the_limits_are_seen_in_any_memory_layout() -> None:
    x = torch.randn(2, 3, 5, 5) * 10
    expected = torch.nn.functional.leaky_relu(x, 0.2).clamp(-2, 2)
    for layout in (torch.contiguous_format, torch.channels_last):
        given = x.contiguous(memory_format=layout)
        assert_close(filter_strips.ClampedLeakyReLU.apply(given, 0.2, 2.0), expected)
        assert_close(filter_strips.ClampedLeakyReLU.apply(given[:, :, 1:], 0.2, 2.0), expected[:, :, 1:])


@pytest.mark.parametrize("is_small", [True, False])
def test_filtered_lrelu_differentiates_twice(is_small: bool, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not is_small:
        monkeypatch.setattr(alias_free, "PART", 1)
        monkeypatch.setattr(filter_strips, "PIECE", 1)
    up_filter, down_filter = design_lowpass(4, 1.0, 2.0, 8.0), design_lowpass(4, 1.0, 2.0, 8.0, radial=True)
    assert up_filter is not None and down_filter is not None
    filters = (up_filter.double(), down_filter.double(), 2, 2, (3, 2))
    x = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(2, dtype=torch.float64, requires_grad=True)
    function = lambda x, bias: filtered_lrelu(x, bias, *filters, 1.4, 0.2, 256.0).square()  # noqa: E731
    assert torch.autograd.gradcheck(function, (x, bias))
    assert torch.autograd.gradgradcheck(function, (x, bias))


@pytest.mark.parametrize(("up", "down", "padding"), [(2, 1, (9, 8)), (1, 2, (0, 0)), (4, 2, (-5, 3))])
def test_bands_change_nothing(up: int, down: int, padding: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    taps = torch.randn(12, dtype=torch.float64)
    x = torch.randn(2, 3, 40, 33, dtype=torch.float64, requires_grad=True)
    expected = resample(x, taps, up, down, padding)
    (gradient,) = torch.autograd.grad(expected.square().sum(), x)
    monkeypatch.setattr(alias_free, "BANDS_FROM", 1)
    monkeypatch.setattr(alias_free, "BAND", 7)
    actual = resample(x, taps, up, down, padding)
    assert_close(actual, expected)
    assert_close(torch.autograd.grad(actual.square().sum(), x)[0], gradient)
    small = torch.randn(1, 1, 12, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: resample(x, taps, up, down, padding).sin(), small, fast_mode=True)


def test_large_maps_are_filtered_like_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alias_free, "plan_resampling", lambda *settings: None)
    up_filter, down_filter = design_lowpass(12, 3.0, 6.0, 32.0), design_lowpass(12, 4.0, 8.0, 32.0)
    x, bias = torch.randn(1, 3, 20, 20), torch.randn(3)
    expected = filtered_lrelu(x, bias, up_filter, down_filter, 2, 2, (9, 8), 1.4, 0.2, None)
    monkeypatch.setattr(alias_free, "FILTER_FROM", 1)
    assert_close(filtered_lrelu(x, bias, up_filter, down_filter, 2, 2, (9, 8), 1.4, 0.2, None), expected)


def test_large_maps_are_filtered_in_parts_that_are_made_again_for_the_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alias_free, "plan_resampling", lambda *settings: None)
    up_filter, down_filter = design_lowpass(12, 3.0, 6.0, 32.0), design_lowpass(12, 4.0, 8.0, 32.0)
    settings = (None, up_filter, down_filter, 2, 2, (9, 8), 1.4, 0.2, 1.0)
    x = torch.randn(2, 5, 10, 10, requires_grad=True)
    kept: list[int] = []

    def note(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    def gradient() -> tuple[torch.Tensor, torch.Tensor]:
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            y = filtered_lrelu(x, *settings)
        return y, torch.autograd.grad(y.square().sum(), x)[0]

    whole = gradient()
    assert max(kept) > 4 * x.numel() * 0.9  # the map at the higher rate
    monkeypatch.setattr(alias_free, "PART", 2 * x.numel() * 4 // 5)  # two of the five channels at a time
    in_parts = gradient()
    assert max(kept, default=0) <= x.numel()
    for actual, expected in zip(in_parts, whole, strict=True):
        assert_close(actual, expected)


def test_resampling_rectangles_treats_each_axis_by_its_own_length() -> None:
    taps = torch.randn(6, dtype=torch.float64)
    x = torch.randn(1, 1, 5, 9, dtype=torch.float64)
    turned = resample(x.transpose(2, 3), taps, 2, 1, (3, 2)).transpose(2, 3)
    assert_close(resample(x, taps, 2, 1, (3, 2)), turned)
    assert turned.shape == (1, 1, 10, 18)
