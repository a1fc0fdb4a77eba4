import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from torch.autograd import gradcheck, gradgradcheck
from torch.nn.functional import grid_sample
from torch.testing import assert_close

from stylegan_core.augment import GROUPS, AdaptiveProbability, augment, parse_groups
from stylegan_core.augment.matrices import Draw, hue_rotation, luma_flip, rotation, saturation, scaling, translation
from stylegan_core.augment.pipeline import blit, colour, corruption, frequency_filter, geometric, warp
from stylegan_core.augment.resample import bilinear_sample
from stylegan_core.augment.wavelets import SYM2, SYM6, band_filters
from stylegan_core.errors import ConfigError

ALL = tuple(GROUPS)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures(num=8, size=16, channels=3, dtype=torch.float32):
    return torch.rand(num, channels, size, size, generator=generator(1), dtype=dtype) * 2 - 1


def smooth_pictures(num, size):
    y, x = torch.meshgrid(torch.linspace(-1, 1, size), torch.linspace(-1, 1, size), indexing="ij")
    waves = [torch.sin(2 * x + k) * torch.cos(1.5 * y - k) for k in range(3 * num)]
    return torch.stack(waves).view(num, 3, size, size)


@pytest.mark.parametrize("taps", [SYM2, SYM6])
def test_wavelets_are_orthonormal(taps):
    taps = np.asarray(taps)
    for shift in range(0, len(taps), 2):
        product = (taps[shift:] * taps[: len(taps) - shift]).sum()
        assert product == pytest.approx(1.0 if shift == 0 else 0.0, abs=1e-9)
    assert taps.sum() == pytest.approx(2**0.5)
    assert (taps * (-1.0) ** np.arange(len(taps))).sum() == pytest.approx(0, abs=1e-9)


def test_bands_add_up_to_the_identity_and_lie_in_their_octaves():
    bank = band_filters(4).double()
    delta = torch.zeros(bank.shape[1], dtype=torch.float64)
    delta[bank.shape[1] // 2] = 1
    assert_close(bank.sum(0), delta, atol=1e-7, rtol=0)
    response = torch.fft.rfft(bank, 512).abs()
    frequency = torch.linspace(0, 0.5, 257, dtype=torch.float64)
    centroid = (response * frequency).sum(1) / response.sum(1)
    for band, low, high in [(0, 0, 1 / 16), (1, 1 / 16, 1 / 8), (2, 1 / 8, 1 / 4), (3, 1 / 4, 1 / 2)]:
        assert low < centroid[band] < high


def test_p_zero_is_the_identity_bit_for_bit():
    images = pictures()
    assert augment(images, 0.0, generator(), ALL).equal(images)


@pytest.mark.parametrize("group", ALL)
def test_samples_not_drawn_stay_bit_identical_and_others_change(group):
    images = pictures(num=64, size=8)
    out = GROUPS[group](images, Draw(64, 0.1, generator(3)))
    same = (out == images).flatten(1).all(1)
    assert 10 < same.sum() < 64
    assert out.isfinite().all()
    assert out.shape == images.shape


@pytest.mark.parametrize("group", ALL)
def test_same_seed_same_images_and_grey_images_work(group):
    images = pictures(channels=1)
    first, second = (GROUPS[group](images, Draw(8, 0.9, generator(5))) for _ in range(2))
    assert first.equal(second)
    assert first.shape == images.shape


def test_blit_only_moves_pixels_and_reaches_every_orientation():
    images = torch.arange(16.0).view(1, 1, 4, 4).repeat(400, 1, 1, 1)  # shifts of .125 * 4 round to 0
    out = blit(images, Draw(400, 1.0, generator()))
    expected = {
        tuple(torch.rot90(flipped, k, (2, 3)).flatten().tolist())
        for flipped in (images[:1], images[:1].flip(3))
        for k in range(4)
    }
    assert {tuple(image.flatten().tolist()) for image in out} == expected


def test_blit_shifts_by_whole_pixels_with_reflection():
    image = torch.arange(16.0).view(1, 1, 1, 16).expand(1, 1, 16, 16)
    out = blit(image.repeat(200, 1, 1, 1), Draw(200, 1.0, generator(2)))
    row = np.pad(np.arange(16), 2, mode="reflect")
    expected = {tuple(row[2 - s : 18 - s]) for s in range(-2, 3)}
    upright = {tuple(i[0, 0].tolist()) for i in out if i[0].std(0).max() == 0 and i[0, 0, 8] > i[0, 0, 6]}
    assert upright == expected


def test_warp_by_whole_pixels_is_a_shift_and_by_nothing_the_identity():
    images = pictures(2, 32)
    assert_close(warp(images, torch.eye(3).repeat(2, 1, 1)), images, atol=2e-5, rtol=0)
    moved = warp(images, translation(torch.tensor([3.0, 3.0]), torch.tensor([-2.0, -2.0])))
    assert_close(moved[..., :-2, 3:], images[..., 2:, :-3], atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    "matrix",
    [rotation(torch.tensor([0.5])), scaling(torch.tensor([1.3]), torch.tensor([0.8])), rotation(torch.tensor([-2.0]))],
)
def test_warp_agrees_with_spline_interpolation(matrix):
    images = smooth_pictures(1, 32)
    out = warp(images, matrix)
    steps = np.arange(32) + 0.5 - 16
    y, x = np.meshgrid(steps, steps, indexing="ij")
    source = np.linalg.inv(matrix[0].numpy()) @ np.stack([x.ravel(), y.ravel(), np.ones(x.size)])
    rows, columns = source[1] + 15.5, source[0] + 15.5
    inside = ((rows > 2) & (rows < 29) & (columns > 2) & (columns < 29)).reshape(32, 32)
    for channel in range(3):
        expected = map_coordinates(images[0, channel].numpy(), [rows, columns], order=5, mode="mirror")
        difference = np.abs(out[0, channel].numpy() - expected.reshape(32, 32))[inside]
        assert difference.max() < 0.01


def test_rotation_turns_the_way_its_matrix_says():
    image = torch.zeros(1, 3, 33, 33)
    image[:, :, 16, 26:29] = 1.0  # a spot on the right, x = +10..12
    out = warp(image, rotation(torch.tensor([torch.pi / 2])))
    spot = out[0, 0].clamp_min(0)
    rows = (spot.sum(1) * (torch.arange(33.0) - 16)).sum() / spot.sum()
    assert rows == pytest.approx(11.0, abs=0.3)  # y points down in image coordinates


def test_colour_matrices_keep_what_they_should():
    grey = torch.full((1, 4, 1), 0.3)
    angle, factor = torch.tensor([1.1]), torch.tensor([2.5])
    assert_close(hue_rotation(angle) @ grey, grey)
    assert_close(saturation(factor) @ grey, grey)
    flipped = (luma_flip(1) @ grey)[0, :3]
    assert_close(flipped, -grey[0, :3])
    third = hue_rotation(torch.tensor([2 * torch.pi / 3])) @ torch.tensor([[1.0], [0], [0], [1]])
    assert_close(third[0], torch.tensor([[0.0], [1], [0], [1]]), atol=1e-6, rtol=0)
    desaturated = saturation(torch.tensor([0.0])) @ torch.tensor([[0.9], [0.3], [0.0], [1]])
    assert_close(desaturated[0, :3], torch.full((3, 1), 0.4))


def test_colour_of_grey_images_is_that_of_equal_channels():
    grey = pictures(32, 4, channels=1)
    alone = colour(grey, Draw(32, 0.8, generator(4)))
    as_rgb = colour(grey.repeat(1, 3, 1, 1), Draw(32, 0.8, generator(4)))
    assert_close(alone, as_rgb.mean(1, keepdim=True), atol=1e-5, rtol=1e-5)


def test_filter_keeps_a_constant_image_constant_and_changes_detail():
    constant = torch.full((16, 3, 32, 32), 0.25)
    out = frequency_filter(constant, Draw(16, 1.0, generator()))
    assert_close(out, out[:, :, :1, :1].expand_as(out), atol=1e-5, rtol=0)
    ratio = out[:, 0, 0, 0] / 0.25
    assert ratio.min() > 0 and ratio.std() > 0.05


def test_cutout_takes_at_most_a_quarter_and_noise_is_as_strong_as_drawn():
    images = torch.full((300, 1, 16, 16), 5.0)
    out = corruption(images, Draw(300, 1.0, generator()))
    holes = (out == 0).flatten(1).float().mean(1)
    assert holes.min() > 0 and holes.max() <= 0.25 + 1e-6
    noise = [(image[image != 0] - 5).std().item() for image in out]
    assert np.mean(noise) == pytest.approx(0.1 * (2 / np.pi) ** 0.5, rel=0.15)  # the mean of a half normal


def test_bilinear_sampling_equals_torch_and_has_all_derivatives():
    images = pictures(2, 5, dtype=torch.float64).requires_grad_()
    grid = torch.rand(2, 4, 3, 2, generator=generator(2), dtype=torch.float64) * 2.4 - 1.2
    expected = grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    assert_close(bilinear_sample(images, grid), expected)

    def nonlinear(x):
        return bilinear_sample(x, grid).square()

    assert gradcheck(nonlinear, (images,))
    assert gradgradcheck(nonlinear, (images,))


@pytest.mark.parametrize("group", ALL)
def test_every_group_differentiates_twice(group):
    images = pictures(2, 6, channels=3, dtype=torch.float64).requires_grad_()

    def nonlinear(x):
        return GROUPS[group](x, Draw(2, 1.0, generator(7))).square().mean((1, 2, 3))

    assert gradcheck(nonlinear, (images,), fast_mode=True)
    assert gradgradcheck(nonlinear, (images,), fast_mode=True)


def test_geometric_leaves_the_mean_image_of_a_constant():
    constant = torch.full((4, 3, 16, 16), 0.5)
    assert_close(geometric(constant, Draw(4, 1.0, generator(1))), constant, atol=0.02, rtol=0)


def test_groups_by_name_and_by_letters():
    assert parse_groups("bgc") == ("blit", "geometric", "colour")
    assert parse_groups("filter, blit") == ("filter", "blit")
    assert parse_groups("all") == ALL
    with pytest.raises(ConfigError, match="no augmentation 'blur'"):
        parse_groups("blit,blur")
    with pytest.raises(ConfigError, match="square"):
        augment(torch.zeros(1, 3, 4, 6), 0.5, generator())


def test_p_follows_the_sign_of_the_logits():
    control = AdaptiveProbability(target=0.6, speed_kimg=1.0, interval=2)
    control.update(8.0, 8)
    assert control.p == 0.0
    control.update(8.0, 8)  # r_t = 1 > 0.6: up by 16 images of 1000
    assert control.p == pytest.approx(0.016)
    assert control.r_t == 1.0
    copy = AdaptiveProbability(target=0.6, speed_kimg=1.0, interval=2)
    control.update(0.0, 8)
    copy.restore(control.state())
    for each in (control, copy):
        each.update(0.0, 8)
        assert each.p == pytest.approx(0.0)
    for _ in range(400):
        control.update(8.0, 8)
    assert control.p == 1.0


def test_parts_of_a_batch_get_the_transforms_they_have_in_the_whole():
    images = pictures(8, 16)
    whole = augment(images, 0.7, generator(11), ALL)
    for index in range(2):
        part = augment(images[index::2], 0.7, generator(11), ALL, part=(index, 2))
        assert_close(part, whole[index::2], atol=1e-5, rtol=0)
