"""L-BFGS finds minima that are known, each row by itself, and copes with steps that are too long."""

import numpy as np
import pytest
import scipy.optimize
import torch
from torch.testing import assert_close

from inversion.quasi_newton import QuasiNewton


def minimise(loss_of, start, num_steps):
    """Return the rows' best points and losses, and the losses seen at accepted points."""
    newton, index = QuasiNewton(len(start), start.shape[1], start), torch.arange(len(start))
    tried, accepted = start, []
    for step in range(num_steps):
        tried = tried.clone().requires_grad_(True)
        loss = loss_of(tried)
        (gradient,) = torch.autograd.grad(loss.sum(), tried)
        tried = newton.advance(index, step, tried.detach(), loss.detach(), gradient)
        accepted.append(newton.loss.clone())
    return newton.point, newton.loss, torch.stack(accepted)


def rosenbrock(x):
    return (100 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1 - x[:, :-1]) ** 2).sum(dim=1)


def test_it_finds_the_minimum_of_quadratics():
    rng = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(3, 20, 20, generator=rng, dtype=torch.float64))[0]
    matrix = basis @ torch.diag_embed(torch.logspace(0, 1.5, 20, dtype=torch.float64).expand(3, -1)) @ basis.mT
    optimum = torch.randn(3, 20, generator=rng, dtype=torch.float64)

    def loss_of(x):
        return 0.5 * ((x - optimum)[:, None] @ matrix @ (x - optimum)[:, :, None])[:, 0, 0]

    point, _, _ = minimise(loss_of, torch.zeros(3, 20, dtype=torch.float64), 60)
    assert_close(point, optimum, atol=1e-5, rtol=1e-5)


def test_it_takes_about_as_many_evaluations_as_scipys():
    start = torch.tensor([[-1.2, 1.0], [2.0, -1.0], [0.0, 3.0]], dtype=torch.float64)
    for row in start:
        found = scipy.optimize.minimize(
            lambda x: float(rosenbrock(torch.from_numpy(x)[None])), row.numpy(), method="L-BFGS-B",
            jac=lambda x: scipy.optimize.rosen_der(x), options={"ftol": 1e-12},
        )  # fmt: skip
        _, loss, _ = minimise(rosenbrock, row[None], round(1.5 * found.nfev) + 10)
        assert loss < 1e-4


def test_a_row_does_not_depend_on_its_neighbours_and_no_accepted_step_goes_up():
    start = torch.from_numpy(np.random.default_rng(1).normal(size=(4, 6)))
    together, _, history = minimise(rosenbrock, start, 40)
    assert (history.diff(dim=0) <= 0).all()
    for row in range(4):
        alone, _, _ = minimise(rosenbrock, start[row : row + 1], 40)
        assert_close(alone[0], together[row], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("beyond", [float("inf"), float("nan")])
def test_a_step_into_nowhere_is_shortened(beyond):
    def loss_of(x):
        inside = (x.abs() < 1.5).all(dim=1)
        return torch.where(
            inside, 50 * (x - 1).square().sum(dim=1) - 8 * (1.5 - x).clamp_min(1e-9).log().sum(1), beyond
        )

    start = torch.full((1, 3), -1.4, dtype=torch.float64)
    point, loss, _ = minimise(loss_of, start, 40)
    assert torch.isfinite(loss).all()
    slope = 100 * (point - 1) + 8 / (1.5 - point)
    assert slope.abs().max() < 1e-3
