import math
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from inversion.adam import learning_rate_schedule
from inversion.config import ProjectionConfig
from inversion.losses import mean_squared_error, noise_autocorrelation, standardise_noise, wplus_spread
from inversion.project import project
from inversion.statistics import w_statistics
from stylegan_core.errors import ConfigError, LatentMismatchError
from stylegan_core.features.perceptual import load_perceptual
from stylegan_core.networks.configs import StyleGAN2Config
from stylegan_core.networks.stylegan2 import StyleGAN2Generator

PLAIN = ProjectionConfig(
    space="w+",
    lambda_percept=0,
    lambda_mse=1,
    lambda_wplus=0,
    jitter=0,
    steps=400,
    lr=0.2,
    patience=0,
    optimise_noise=False,
)


def tiny_generator(use_noise=True):
    torch.manual_seed(1)
    config = StyleGAN2Config(
        z_dim=16, w_dim=16, img_resolution=16, mapping_layers=2, channel_base=256, channel_max=16, use_noise=use_noise
    )
    return StyleGAN2Generator(config).eval().requires_grad_(False)


def least_squares_w(generator, targets):
    """The closed form of argmin ||w A - x||^2."""
    return torch.linalg.lstsq(generator.matrix.T, targets.flatten(1).T).solution.T


def test_projection_into_w_reaches_the_least_squares_answer(linear_generator):
    targets = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.3
    found = project(linear_generator, targets, None, replace(PLAIN, space="w"))
    expected = least_squares_w(linear_generator, targets)
    assert_close(found.ws[:, 0], expected, atol=0.02, rtol=0)
    assert (found.ws == found.ws[:, :1]).all()
    best = mean_squared_error(linear_generator.synthesis(expected[:, None]), targets)
    assert_close(found.loss, best, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("space", ["w", "w+", "z"])
def test_lbfgs_needs_fewer_steps_where_it_may_be_used(linear_generator, space):
    targets = linear_generator.synthesis(linear_generator.mapping(torch.randn(2, 12)))
    losses = [
        project(linear_generator, targets, None, replace(PLAIN, space=space, steps=20, optimizer=optimizer)).loss
        for optimizer in ("adam", "lbfgs")
    ]
    assert (losses[1] < 0.01 * losses[0]).all()


def test_lbfgs_is_refused_where_noise_is_optimised_and_a_wrong_name_always():
    noisy = tiny_generator()
    target = torch.zeros(1, 3, 16, 16)
    with pytest.raises(ConfigError, match="--no-optimise-noise"):
        project(noisy, target, None, replace(PLAIN, optimizer="lbfgs", optimise_noise=True, steps=1))
    project(noisy, target, None, replace(PLAIN, optimizer="lbfgs", steps=1))
    with pytest.raises(ConfigError, match="unknown"):
        project(noisy, target, None, replace(PLAIN, optimizer="newton"))


def test_the_objective_is_the_issue_s_formula():
    generator, perceptual = tiny_generator(use_noise=False), load_perceptual("squeeze-uncalibrated")
    target = torch.rand(1, 3, 16, 16) * 2 - 1
    config = replace(PLAIN, steps=1, lambda_percept=0.7, lambda_mse=3.0, lambda_wplus=0.0)
    # 16 px is too small for SqueezeNet's pools, so images are enlarged for both sides of the comparison alike.
    from torch.nn import functional as F

    class Enlarged:
        name, features, between = "enlarged", None, staticmethod(perceptual.between)

        def __init__(self):
            self.features = lambda x: perceptual.features(F.interpolate(x, scale_factor=4))

    found = project(generator, target, Enlarged(), config)
    image = generator.synthesis(generator.w_avg.expand(1, generator.num_ws, -1))
    big = F.interpolate(image, scale_factor=4), F.interpolate(target, scale_factor=4)
    expected = 0.7 * perceptual(*big) + 3.0 / target[0].numel() * (image - target).square().sum()
    assert_close(found.loss, expected, rtol=1e-4, atol=1e-6)


def test_a_target_s_result_does_not_depend_on_its_neighbours(linear_generator):
    targets = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(3)) * 0.3
    config = replace(PLAIN, steps=60, jitter=0.1, lambda_wplus=0.1, patience=10, settled=0.01)
    together = project(linear_generator, targets, None, config)
    alone = project(linear_generator, targets[:1], None, config)
    assert_close(together.ws[:1], alone.ws, atol=1e-5, rtol=1e-5)
    assert together.num_steps[0] == alone.num_steps[0]


def test_the_same_seed_gives_the_same_code_bit_for_bit_and_another_seed_does_not():
    generator, target = tiny_generator(), torch.rand(1, 3, 16, 16)
    config = ProjectionConfig(space="w+", steps=8, lambda_percept=0, jitter=0.3)
    one, again = project(generator, target, None, config), project(generator, target, None, config)
    assert torch.equal(one.ws, again.ws)
    assert not torch.equal(one.ws, project(generator, target, None, replace(config, seed=1)).ws)


def test_zero_steps_return_the_starting_code_and_noise(linear_generator):
    start = torch.randn(1, 4, 12)
    found = project(linear_generator, torch.zeros(1, 3, 16, 16), None, replace(PLAIN, steps=0), start)
    assert torch.equal(found.ws, start)
    assert found.num_steps == [0]


def test_the_best_code_is_kept_even_when_the_last_step_is_worse(linear_generator):
    target = linear_generator.synthesis(linear_generator.w_avg.expand(1, 4, -1)) + 0.01
    found = project(linear_generator, target, None, replace(PLAIN, steps=5, lr=5.0))
    assert found.best_step == [0]
    assert found.loss.item() == pytest.approx(1e-4, rel=0.01)
    assert found.history[0]["mse"][-1] > 0.1
    assert torch.equal(found.ws[0, 0], linear_generator.w_avg)


def test_it_stops_early_once_the_loss_has_settled(linear_generator):
    target = linear_generator.synthesis(linear_generator.w_avg.expand(1, 4, -1)) + 1
    found = project(linear_generator, target, None, replace(PLAIN, patience=15, settled=0.01, steps=1000))
    assert found.num_steps[0] < 900


def test_the_regulariser_keeps_wplus_near_w(linear_generator):
    generator = tiny_generator(use_noise=False)
    target = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(2)) * 2 - 1
    _, w_std = w_statistics(generator)
    spread = [
        wplus_spread(project(generator, target, None, replace(PLAIN, steps=40, lambda_wplus=weight)).ws, w_std).item()
        for weight in (0.0, 1.0)
    ]
    assert spread[1] < spread[0] / 2


def test_noise_inputs_are_optimised_and_kept_standardised():
    generator = tiny_generator()
    for name in generator.noise:
        dict(generator.synthesis.named_parameters())[f"{name}.noise_strength"].data.fill_(0.5)
    target = torch.rand(1, 3, 16, 16) * 2 - 1
    config = ProjectionConfig(space="w+", steps=12, lambda_percept=0, lambda_mse=10)
    found = project(generator, target, None, config)
    assert set(found.noise) == set(generator.noise)
    for name, level in found.noise.items():
        assert not torch.equal(level[0, 0], generator.noise[name])
        assert abs(level.mean().item()) < 0.1
        assert abs(level.std(correction=0).item() - 1) < 0.1
    image = generator.synthesis(found.ws, noise={name: level[0, 0] for name, level in found.noise.items()})
    mse = [history["mse"][step] for history, step in zip(found.history, found.best_step, strict=True)]
    assert_close(10 * mean_squared_error(image, target), torch.tensor(mse), rtol=1e-4, atol=1e-6)


def test_noise_autocorrelation_equals_a_naive_loop():
    level = torch.randn(1, 1, 16, 16, dtype=torch.float64)
    expected, current = 0.0, level[0, 0]
    while True:
        size = len(current)
        right = sum(current[y, x] * current[y, x - 1] for y in range(size) for x in range(size)) / size**2
        below = sum(current[y, x] * current[y - 1, x] for y in range(size) for x in range(size)) / size**2
        expected += right**2 + below**2
        if size <= 8:
            break
        current = torch.stack([
            torch.stack([current[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean() * 2 for x in range(size // 2)])
            for y in range(size // 2)
        ])  # fmt: skip
    assert_close(noise_autocorrelation([level]), torch.stack([expected]))


def test_standardise_noise_gives_mean_0_and_deviation_1():
    level = torch.randn(2, 1, 8, 8) * 3 + 5
    standardise_noise([level])
    assert_close(level.mean(dim=(1, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    assert_close(level.std(dim=(1, 2, 3), correction=0), torch.ones(2))


def test_the_learning_rate_rises_holds_and_falls_to_zero():
    values = [learning_rate_schedule(step, 100) for step in range(101)]
    assert values[0] < 0.3
    assert values[50] == 1
    assert values[100] == pytest.approx(0, abs=1e-9)
    assert values[75:] == sorted(values[75:], reverse=True)
    assert math.isclose(values[88], 0.5 - 0.5 * math.cos(0.48 * math.pi), rel_tol=1e-9)


def test_w_statistics_are_those_of_the_mapping(linear_generator):
    mean, deviation = w_statistics(linear_generator)
    assert_close(mean, linear_generator.w_avg, atol=0.06, rtol=0)
    assert_close(deviation, torch.ones(12), atol=0.05, rtol=0)


@pytest.mark.parametrize("wrong", [{"space": "x"}, {"steps": -2}, {"lr": 0.0}, {"lambda_mse": -1.0}])
def test_options_that_make_no_sense_are_refused(linear_generator, wrong):
    with pytest.raises(ConfigError):
        project(linear_generator, torch.zeros(1, 3, 16, 16), None, replace(PLAIN, **wrong))


def test_targets_and_codes_of_another_size_are_refused(linear_generator):
    with pytest.raises(LatentMismatchError, match="renders"):
        project(linear_generator, torch.zeros(1, 3, 32, 32), None, PLAIN)
    with pytest.raises(LatentMismatchError, match="starting codes"):
        project(linear_generator, torch.zeros(1, 3, 16, 16), None, PLAIN, torch.zeros(1, 5, 12))
