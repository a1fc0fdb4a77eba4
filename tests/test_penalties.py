import pytest
import scipy.stats
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from stylegan_core.penalties import (
    PathLengthPenalty,
    dragan_penalty,
    gradient_penalty,
    path_lengths,
    r1_penalty,
)


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


def linear_critic(weight):
    return lambda x: x.flatten(1) @ weight


def test_r1_of_a_linear_critic_is_half_gamma_times_its_squared_weight(rng):
    weight = torch.randn(12, generator=rng)
    images = torch.randn(4, 3, 2, 2, generator=rng).requires_grad_()
    penalty = r1_penalty(linear_critic(weight)(images), images, gamma=3.0)
    assert_close(penalty, torch.full((4,), 1.5 * weight.square().sum().item()))


@pytest.mark.parametrize("penalty", [gradient_penalty, dragan_penalty])
def test_unit_norm_penalties_of_a_linear_critic(penalty, rng):
    weight = torch.randn(12, generator=rng)
    real, fake = torch.randn(2, 4, 3, 2, 2, generator=rng)
    expected = 10 * (weight.norm() - 1).square()
    assert_close(penalty(linear_critic(weight), real, fake, 10.0, rng), expected.expand(4))


def test_gradient_penalty_looks_between_real_and_fake(rng):
    seen = []

    def critic(x):
        seen.append(x.detach())
        return x.square().sum(1)

    real, fake = torch.zeros(200, 1), torch.ones(200, 1)
    penalty = gradient_penalty(critic, real, fake, 1.0, rng)
    (points,) = seen
    assert 0 <= points.min() < 0.05 and 0.95 < points.max() <= 1
    assert_close(penalty, (2 * points[:, 0] - 1).square(), atol=1e-5, rtol=1e-5)


def test_dragan_perturbs_reals_only(rng):
    seen = []

    def critic(x):
        seen.append(x.detach())
        return x.sum(1)

    real = 3 * torch.randn(4000, 1, generator=rng)
    dragan_penalty(critic, real, torch.full((4000, 1), 1e6), 1.0, rng, c=0.25)
    dragan_penalty(critic, real, torch.full((4000, 1), 1e6), 1.0, rng)
    for points, std in zip(seen, (0.5, 0.5 * float(real.std())), strict=True):
        noise = (points - real).flatten()
        assert scipy.stats.kstest((noise / std).numpy(), "norm").pvalue > 1e-3  # N(0, c), not uniform


def small_critic(x, first, second):
    return (torch.tanh(x.flatten(1) @ first) @ second).squeeze(1)


def weights(rng):
    first = torch.randn(4, 3, generator=rng, dtype=torch.float64).requires_grad_()
    second = torch.randn(3, 1, generator=rng, dtype=torch.float64).requires_grad_()
    return first, second


def test_r1_differentiates_twice(rng):
    images = torch.randn(2, 1, 2, 2, generator=rng, dtype=torch.float64).requires_grad_()

    def penalty(images, first, second):
        return r1_penalty(small_critic(images, first, second), images, 2.0)

    assert gradcheck(penalty, (images, *weights(rng)))
    assert gradgradcheck(penalty, (images, *weights(rng)))


@pytest.mark.parametrize("penalty", [gradient_penalty, dragan_penalty])
def test_unit_norm_penalties_differentiate_twice_by_the_weights(penalty, rng):
    real, fake = torch.randn(2, 3, 1, 2, 2, generator=rng, dtype=torch.float64)

    def of_weights(first, second):
        fixed = torch.Generator().manual_seed(5)
        return penalty(lambda x: small_critic(x, first, second), real, fake, 10.0, fixed)

    assert gradcheck(of_weights, weights(rng))
    assert gradgradcheck(of_weights, weights(rng))


def test_gradient_penalty_of_a_constant_critic_has_a_finite_gradient(rng):
    weight = torch.zeros(12, requires_grad=True)
    real, fake = torch.randn(2, 4, 3, 2, 2, generator=rng)
    penalty = gradient_penalty(linear_critic(weight), real, fake, 1.0, rng).mean()
    (gradient,) = torch.autograd.grad(penalty, weight)
    assert gradient.isfinite().all()
    assert_close(penalty, torch.tensor(1.0), atol=1e-4, rtol=0)


def test_path_lengths_of_a_linear_generator_are_those_of_its_jacobian(rng):
    matrix = torch.randn(5, 3 * 4 * 4, generator=rng)
    ws = torch.randn(6, 1, 5, generator=rng).requires_grad_()
    images = (ws[:, 0] @ matrix).view(6, 3, 4, 4)
    y = torch.randn(6, 3, 4, 4, generator=rng)
    assert_close(path_lengths(images, ws, y), (y.flatten(1) / 4 @ matrix.T).norm(dim=1))


def test_path_length_differentiates_twice(rng):
    ws = torch.randn(2, 2, 3, generator=rng, dtype=torch.float64).requires_grad_()
    matrix = torch.randn(6, 4, generator=rng, dtype=torch.float64).requires_grad_()

    probe = torch.randn(2, 1, 2, 2, generator=rng, dtype=torch.float64)

    def lengths(ws, matrix):
        images = torch.tanh(ws.flatten(1) @ matrix).view(-1, 1, 2, 2)
        return path_lengths(images, ws, probe)

    assert gradcheck(lengths, (ws, matrix))
    assert gradgradcheck(lengths, (ws, matrix))


def test_path_length_mean_is_an_exponential_average():
    penalty = PathLengthPenalty(weight=2.0, decay=0.1)
    lengths = torch.tensor([1.0, 3.0])
    assert_close(penalty(lengths), 2 * lengths.square())
    penalty.update(2.0)
    assert_close(penalty(lengths), 2 * (lengths - 0.2).square())
    penalty.update(2.0)
    assert penalty.mean == pytest.approx(0.38)
