import math

import pytest
import torch
from torch.testing import assert_close

from stylegan_core.errors import ConfigError
from stylegan_core.objectives import (
    OBJECTIVES,
    AdaptiveSchedule,
    BeganBalance,
    HistoryBuffer,
    energy_based,
    get_objective,
    great_circle,
    sample_sphere,
)


def densities():
    rng = torch.Generator().manual_seed(0)
    p, q = torch.rand(2, 50, generator=rng, dtype=torch.float64)
    return p / p.sum(), q / q.sum()


def test_optimal_discriminator_gives_twice_jensen_shannon_minus_log_four():
    p, q = densities()
    logit = (p / q).log()  # Goodfellow et al. 2014, proposition 1: D* = p / (p + q)
    d = OBJECTIVES["minimax"].d
    zero = torch.full_like(logit, -1e9)
    value = -((p * d(logit, zero)).sum() + (q * d(-zero, logit)).sum())
    m = (p + q) / 2
    jsd = ((p * (p / m).log()).sum() + (q * (q / m).log()).sum()) / 2
    assert_close(value, 2 * jsd - math.log(4))


def test_minimax_generator_plays_the_same_game_with_the_other_sign():
    fake = torch.linspace(-5, 5, 11)
    assert_close(OBJECTIVES["minimax"].g(fake), torch.log1p(-fake.sigmoid()))
    assert_close(OBJECTIVES["non-saturating"].g(fake), -fake.sigmoid().log())


@pytest.mark.parametrize("label", [1.0, 0.9])
def test_logistic_losses_equal_cross_entropy_with_the_smoothed_target(label):
    real, fake = torch.randn(2, 20, generator=torch.Generator().manual_seed(1))
    p, q = real.sigmoid(), fake.sigmoid()
    expected = -(label * p.log() + (1 - label) * (1 - p).log()) - (1 - q).log()
    assert_close(get_objective("non-saturating", real_label=label).d(real, fake), expected)


def test_smoothing_moves_the_optimum_of_real_logits_to_the_label():
    real = torch.zeros((), requires_grad=True)
    loss = get_objective("dragan", real_label=0.9).d(real, torch.zeros(()))
    (gradient,) = torch.autograd.grad(loss, real)
    assert_close(gradient, torch.tensor(0.5 - 0.9))
    least = get_objective("least-squares", real_label=0.9).d(torch.tensor(0.9), torch.tensor(0.0))
    assert_close(least, torch.tensor(0.0))


def test_smoothing_is_refused_where_there_is_no_target():
    with pytest.raises(ConfigError, match="no target"):
        get_objective("hinge", real_label=0.9)
    with pytest.raises(ConfigError, match="makes no sense"):
        get_objective("minimax", real_label=0.3)
    with pytest.raises(ConfigError, match="non-saturating"):
        get_objective("nosuch")


@pytest.mark.parametrize(
    ("name", "real", "fake", "d", "g"),
    [
        ("least-squares", 0.5, 0.25, 0.25 + 0.0625, 0.5625),
        ("hinge", 0.5, 0.25, 0.5 + 1.25, -0.25),
        ("hinge", 2.0, -3.0, 0.0, 3.0),
        ("wgan", 2.0, -3.0, -5.0, 3.0),
        ("wgan-gp", 2.0, -3.0, -5.0, 3.0),
        ("ebgan", 1.0, 4.0, 7.0, 4.0),
        ("ebgan", 1.0, 12.0, 1.0, 12.0),
        ("began", 1.0, 4.0, 1.0, 4.0),
    ],
)
def test_losses_by_hand(name, real, fake, d, g):
    objective = OBJECTIVES[name]
    assert objective.d(torch.tensor([real]), torch.tensor([fake])).item() == pytest.approx(d)
    assert objective.g(torch.tensor([fake])).item() == pytest.approx(g)


def test_margin_is_where_fakes_stop_mattering():
    fake = torch.tensor([1.9, 2.1], requires_grad=True)
    energy_based(margin=2.0).d(torch.zeros(2), fake).sum().backward()
    assert_close(fake.grad, torch.tensor([-1.0, 0.0]))


def test_wgan_settings_is_the_papers():
    settings = OBJECTIVES["wgan"].settings
    assert (settings.optimizer, settings.lr, settings.clips, settings.num_critic) == ("rmsprop", 5e-5, True, 5)


def test_began_balance_follows_the_update_rule_and_stays_in_range():
    balance = BeganBalance(gamma=0.5, rate=0.1)
    measure = balance.update(torch.tensor([2.0]), torch.tensor([0.4]))
    assert balance.k == pytest.approx(0.1 * (1.0 - 0.4))
    assert measure == pytest.approx(2.0 + 0.6)
    assert balance.objective().d(torch.tensor(1.0), torch.tensor(1.0)).item() == pytest.approx(1 - 0.06)
    for _ in range(50):
        balance.update(torch.tensor([2.0]), torch.tensor([0.0]))
    assert balance.k == 1.0
    for _ in range(50):
        balance.update(torch.tensor([0.0]), torch.tensor([2.0]))
    assert balance.k == 0.0


def test_adaptive_schedule_rests_the_winner_and_never_both():
    schedule = AdaptiveSchedule(t_d=0.5, t_g=1.0)
    assert schedule.decide(0.6, 0.9) == (True, False)
    assert schedule.decide(0.4, 2.0) == (False, True)
    assert schedule.decide(0.6, 2.0) == (True, True)
    assert schedule.decide(0.1, 0.1) == (True, True)


def test_history_exchanges_half_the_batch_with_its_labels_and_loses_no_image():
    rng = torch.Generator().manual_seed(0)
    history = HistoryBuffer(capacity=6)
    first, second, third = (torch.arange(start, start + 4.0)[:, None] for start in (0.0, 4.0, 10.0))
    for batch in (first, second):  # a label says which image it belongs to
        shown, labels = history.exchange(batch, batch + 0.5, rng)
        assert_close(shown, batch)
        assert_close(labels, batch + 0.5)
    assert len(history.images) == 6
    before = set(history.images.flatten().tolist())
    mixed, labels = history.exchange(third, third + 0.5, rng)
    assert ((mixed >= 10).flatten()).tolist() == [True, True, False, False] and history.num_old == 2
    assert_close(labels, mixed + 0.5)
    assert_close(history.labels, history.images + 0.5)
    after = set(history.images.flatten().tolist()) | set(mixed.flatten().tolist())
    assert after == before | {10.0, 11.0, 12.0, 13.0}
    with pytest.raises(ConfigError, match="holds nothing"):
        HistoryBuffer(0)


def test_sphere_samples_have_one_length_and_no_preferred_direction():
    z = sample_sphere(20000, 8, torch.Generator().manual_seed(0))
    assert_close(z.norm(dim=1), torch.full((20000,), 8**0.5))
    assert z.mean(0).abs().max() < 0.04  # four standard errors
    assert_close(z.T @ z / 20000, torch.eye(8), atol=0.06, rtol=0)


def test_great_circle_divides_the_angle_and_interpolates_the_length():
    a, b = torch.tensor([2.0, 0.0, 0.0]), torch.tensor([0.0, 4.0, 0.0])
    third = great_circle(a, b, 1 / 3)
    expected = torch.tensor([math.cos(math.pi / 6), math.sin(math.pi / 6), 0.0]) * (2 + 2 / 3)
    assert_close(third, expected)
    assert_close(great_circle(a, b, 0.0), a)
    assert_close(great_circle(a, b, 1.0), b)


def test_great_circle_between_parallel_and_opposite_vectors_stays_finite():
    a = torch.tensor([1.0, 1.0, 0.0])
    assert_close(great_circle(a, 3 * a, 0.5), 2 * a)
    half = great_circle(a, -a, 0.5)
    assert_close(half.norm(), a.norm())
    assert_close((half * a).sum(), torch.tensor(0.0), atol=1e-6, rtol=0)
    assert_close(great_circle(a, -a, 1.0), -a)


REAL, FAKE = torch.tensor([1.5, -0.3, 4.0]), torch.tensor([-2.0, 0.7, 0.1])


def plain_table(x, g):
    """The losses of Lucic et al. 2018, table 1, by numpy: D's and G's for outputs x on real and g on generated."""
    import numpy as np

    x, g = x.double().numpy(), g.double().numpy()
    p, q = 1 / (1 + np.exp(-x)), 1 / (1 + np.exp(-g))
    cross_entropy = -np.log(p).mean() - np.log(1 - q).mean()
    return {
        "minimax": (cross_entropy, np.log(1 - q).mean()),
        "non-saturating": (cross_entropy, -np.log(q).mean()),
        "wgan": (-x.mean() + g.mean(), -g.mean()),
        "wgan-gp": (-x.mean() + g.mean(), -g.mean()),
        "least-squares": (((x - 1) ** 2).mean() + (g**2).mean(), ((g - 1) ** 2).mean()),
        "dragan": (cross_entropy, np.log(1 - q).mean()),
        "hinge": (np.maximum(0, 1 - x).mean() + np.maximum(0, 1 + g).mean(), -g.mean()),
        "began": (x.mean() - 0.3 * g.mean(), g.mean()),
        "ebgan": (x.mean() + np.maximum(0, 10 - g).mean(), g.mean()),
        "relativistic": (np.log(1 + np.exp(-(x - g))).mean(), np.log(1 + np.exp(-(g - x))).mean()),
    }


@pytest.mark.parametrize("name", list(OBJECTIVES))
def test_each_row_of_the_loss_table(name):
    objective = BeganBalance(k=0.3).objective() if name == "began" else OBJECTIVES[name]
    d, g = plain_table(REAL, FAKE)[name]
    assert objective.d(REAL, FAKE).mean().item() == pytest.approx(d, rel=1e-5)
    judged = FAKE - REAL if objective.pairs else FAKE
    assert objective.g(judged).mean().item() == pytest.approx(g, rel=1e-5)


def test_another_objectives_generator_loss_is_an_option():
    chosen = get_objective("dragan", g_objective="non-saturating")
    assert_close(chosen.g(FAKE), OBJECTIVES["non-saturating"].g(FAKE))
    assert_close(chosen.d(REAL, FAKE), OBJECTIVES["dragan"].d(REAL, FAKE))
    with pytest.raises(ConfigError, match="does not go with"):
        get_objective("dragan", g_objective="began")
    with pytest.raises(ConfigError, match="its own alone"):
        get_objective("relativistic", g_objective="hinge")
