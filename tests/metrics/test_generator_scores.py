import math

import numpy as np
import pytest
import torch
from scipy import linalg
from torch.testing import assert_close

from stylegan_core.errors import ConfigError
from stylegan_core.metrics.frechet import FeatureStatistics, frechet_distance
from stylegan_core.metrics.inception_score import InceptionScore
from stylegan_core.metrics.kernel import kernel_distance, kernel_distance_of_subsets
from stylegan_core.metrics.path_length import perceptual_path_length
from stylegan_core.metrics.precision_recall import precision_recall
from stylegan_core.metrics.separability import conditional_entropy, linear_separability


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def statistics(features, *splits):
    parts = []
    for part in torch.tensor_split(features, splits):
        parts.append(FeatureStatistics(features.shape[1]))
        for batch in part.split(7):
            parts[-1].update(batch)
    for part in parts[1:]:
        parts[0].merge(part)
    return parts[0]


def test_streamed_and_merged_statistics_are_numpys_even_far_from_zero():
    features = torch.randn(100, 5, generator=rng(), dtype=torch.float64) + 1e6
    stats = statistics(features, 30, 31, 31)
    assert stats.num == 100
    np.testing.assert_allclose(stats.mean, features.numpy().mean(0), rtol=1e-14)
    np.testing.assert_allclose(stats.covariance, np.cov(features.numpy(), rowvar=False), atol=1e-7)


def test_frechet_of_diagonal_gaussians_in_closed_form():
    def with_moments(mean, std):
        stats = FeatureStatistics(3)
        stats.num, stats.mean = 2, torch.tensor(mean, dtype=torch.float64)
        stats.scatter = torch.tensor(std, dtype=torch.float64).square().diag()
        return stats

    a, b = with_moments([0.0, 1, 2], [1.0, 2, 3]), with_moments([1.0, 1, 0], [2.0, 2, 0])
    assert frechet_distance(a, b) == pytest.approx((1 + 4) + (1 + 0 + 9))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-12)


def test_frechet_agrees_with_the_matrix_square_root_of_scipy():
    x = torch.randn(400, 6, generator=rng(1), dtype=torch.float64) @ torch.randn(6, 6, generator=rng(2)).double()
    y = torch.randn(300, 6, generator=rng(3), dtype=torch.float64) + 0.3
    cov_x, cov_y = np.cov(x.numpy(), rowvar=False), np.cov(y.numpy(), rowvar=False)
    root = linalg.sqrtm(cov_x @ cov_y).real
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum().item() + np.trace(cov_x + cov_y - 2 * root)
    assert frechet_distance(statistics(x), statistics(y, 100)) == pytest.approx(expected, rel=1e-9)


def test_frechet_with_fewer_samples_than_dimensions_is_finite_and_symmetric():
    x, y = torch.randn(5, 20, generator=rng()), torch.randn(6, 20, generator=rng(1))
    there = frechet_distance(statistics(x), statistics(y))
    assert there == pytest.approx(frechet_distance(statistics(y), statistics(x)))
    assert math.isfinite(there) and there > 0


def test_one_sample_has_no_covariance():
    with pytest.raises(ConfigError, match="2 samples"):
        frechet_distance(statistics(torch.zeros(1, 3)), statistics(torch.zeros(5, 3)))


def test_kernel_distance_is_the_naive_double_sum():
    x, y = torch.randn(6, 4, generator=rng()).double(), torch.randn(5, 4, generator=rng(1)).double() + 0.5

    def k(a, b):
        return (float(a @ b) / 4 + 1) ** 3

    within_x = sum(k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j) / 30
    within_y = sum(k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j) / 20
    between = sum(k(a, b) for a in x for b in y) / 30
    assert kernel_distance(x, y) == pytest.approx(within_x + within_y - 2 * between)


def test_kernel_distance_has_no_bias():
    draws = [kernel_distance(*torch.randn(2, 20, 3, generator=rng(seed))) for seed in range(400)]
    error = np.std(draws) / 20
    assert abs(np.mean(draws)) < 4 * error
    assert min(draws) < 0


def test_kernel_distance_of_subsets_centres_on_that_of_all():
    x, y = torch.randn(300, 3, generator=rng()), torch.randn(300, 3, generator=rng(1)) + 1
    mean, std = kernel_distance_of_subsets(x, y, rng(2), num_subsets=200, subset_size=100)
    assert mean == pytest.approx(kernel_distance(x, y), abs=5 * std / 200**0.5 + 0.05 * std)
    whole, none = kernel_distance_of_subsets(x, y, rng(2), num_subsets=3, subset_size=1000)
    assert whole == pytest.approx(kernel_distance(x, y)) and none == pytest.approx(0, abs=1e-12)


def test_inception_score_in_closed_forms():
    sure = InceptionScore(10)
    sure.update(torch.eye(10) * 1000)
    assert sure.value() == pytest.approx(10)
    unsure = InceptionScore(10)
    unsure.update(torch.zeros(7, 10))
    assert unsure.value() == pytest.approx(1)


def test_merged_inception_score_is_exp_of_mean_divergence():
    logits = torch.randn(60, 5, generator=rng()).double()
    parts = [InceptionScore(5), InceptionScore(5)]
    parts[0].update(logits[:13])
    parts[1].update(logits[13:])
    parts[0].merge(parts[1])
    p = logits.softmax(1).numpy()
    expected = np.exp((p * np.log(p / p.mean(0))).sum(1).mean())
    assert parts[0].value() == pytest.approx(expected)


def test_precision_and_recall_tell_missing_modes_from_bad_samples():
    left, right = torch.randn(2, 200, 2, generator=rng()) * 0.1 + torch.tensor([[[-5.0, 0]], [[5.0, 0]]])
    real = torch.cat([left, right])
    one_mode = left[torch.randperm(200, generator=rng(1))] + 1e-4
    precision, recall = precision_recall(real, one_mode)
    assert precision > 0.95 and 0.4 < recall <= 0.5
    scattered = torch.cat([real, torch.full((400, 2), 50.0)])
    precision, recall = precision_recall(real, scattered)
    assert precision == 0.5 and recall == 1.0


def test_precision_by_hand_on_a_line():
    real = torch.arange(5.0)[:, None]  # radius to the first neighbour: 1 everywhere
    fake = torch.tensor([[-1.5], [-0.5], [2.5], [4.9], [5.1]])
    assert precision_recall(real, fake, k=1)[0] == 0.6
    with pytest.raises(ConfigError, match="more than 5"):
        precision_recall(real, fake, k=5)


class Affine:
    """images = w A, w = 2 z: path lengths in closed form."""

    z_dim = w_dim = 4
    c_dim, num_ws, img_resolution, img_channels = 0, 1, 2, 3
    w_avg = torch.zeros(4, dtype=torch.float64)

    def __init__(self):
        self.matrix = torch.randn(4, 12, generator=rng(9)).double()

    def mapping(self, z, c=None, truncation_psi=1.0, truncation_cutoff=None):
        return 2 * z[:, None]

    def synthesis(self, ws, noise_mode="const", noise=None):
        return (ws[:, 0] @ self.matrix).view(-1, 3, 2, 2)


def squared(a, b):
    return (a - b).square().flatten(1).sum(1)


@pytest.mark.parametrize("sampling", ["full", "end"])
def test_path_length_in_w_of_an_affine_generator_is_the_trimmed_mean_of_chord_lengths(sampling):
    generator, num = Affine(), 100
    value = perceptual_path_length(generator, squared, num, rng(), "w", sampling, batch_size=num)
    z = torch.randn(2, num, 4, generator=rng()).double()
    chords = (2 * (z[1] - z[0]) @ generator.matrix).square().sum(1).sort().values
    assert value == pytest.approx(chords[1:-1].mean().item(), rel=1e-4)


def test_path_length_in_z_follows_great_circles():
    generator, num = Affine(), 100
    generator.matrix = torch.cat([torch.eye(4), torch.zeros(4, 8)], 1).double()
    value = perceptual_path_length(generator, squared, num, rng(), "z", "end", batch_size=num)
    z0, z1 = torch.randn(2, num, 4, generator=rng()).double()
    angle = torch.arccos((z0 * z1).sum(1) / z0.norm(dim=1) / z1.norm(dim=1))
    speed = 4 * ((z0.norm(dim=1) * angle) ** 2 + (z1.norm(dim=1) - z0.norm(dim=1)) ** 2)
    assert value == pytest.approx(speed.sort().values[1:-1].mean().item(), rel=1e-3)


def test_path_length_refuses_other_spaces():
    with pytest.raises(ConfigError, match="z or w"):
        perceptual_path_length(Affine(), squared, 4, rng(), space="s")


def test_separability_is_one_for_a_plane_and_two_for_a_coin():
    latents = torch.randn(4000, 6, generator=rng())
    plane = torch.sigmoid(8 * latents[:, :1])
    assert linear_separability(latents, plane) == pytest.approx(1, abs=0.02)
    coin = torch.rand(4000, 1, generator=rng(1))
    assert linear_separability(latents, coin) == pytest.approx(2, abs=0.02)
    both = linear_separability(latents, torch.cat([plane, coin], 1))
    assert both == pytest.approx(linear_separability(latents, plane) * linear_separability(latents, coin))


def test_separability_ignores_the_half_the_classifier_doubts():
    latents = torch.linspace(-1, 1, 400)[:, None]
    scores = torch.sigmoid(10 * latents[:, 0])
    doubtful = latents[:, 0].abs() < 0.45
    scores[doubtful] = 1 - scores[doubtful]  # wrong, but least sure
    assert conditional_entropy(latents, scores) < 0.01
    assert conditional_entropy(latents, torch.full((400,), 0.9)) == 0.0


def test_conditional_entropy_by_hand():
    # A plane can do no better than the majority on either side: answer and truth are independent of x here.
    latents = torch.tensor([[-1.0], [-1.0], [-1.0], [-1.0], [1.0], [1.0], [1.0], [1.0]]).repeat(2, 1)
    scores = torch.tensor([1.0, 0, 0, 0, 1, 1, 1, 0] + [0.5] * 8)
    quarter = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
    assert conditional_entropy(latents, scores) == pytest.approx(quarter)


def test_counts_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="one row a latent"):
        linear_separability(torch.zeros(3, 2), torch.zeros(4, 1))
    with pytest.raises(ConfigError, match="2 samples"):
        kernel_distance(torch.zeros(1, 2), torch.zeros(4, 2))
    with pytest.raises(ConfigError, match="none came"):
        InceptionScore(3).value()
    assert_close(statistics(torch.ones(4, 2)).covariance, torch.zeros(2, 2, dtype=torch.float64))
