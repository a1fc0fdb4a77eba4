"""What a training curve shows: how D's outputs are distributed on real and on generated images."""

import numpy as np
import pytest
import torch

from stylegan_core.training.report import draw_curve
from stylegan_core.training.verdicts import Verdicts

NAMES = ("real_05", "real_50", "real_95", "fake_05", "fake_50", "fake_95")


def test_verdicts_are_means_and_quantiles_over_all_parts_of_a_batch():
    rng = torch.Generator().manual_seed(0)
    real, fake = torch.randn(40, generator=rng) + 1, 2 * torch.randn(40, generator=rng)
    verdicts = Verdicts()
    verdicts.begin()
    for part in range(2):
        verdicts.add(real[part::2], fake[part::2].view(4, 5))  # outputs of any shape
    found = dict(zip(verdicts.names, verdicts.values(), strict=True))
    for kind, values in (("real", real.numpy()), ("fake", fake.numpy())):
        assert found[f"{kind}_logits"] == pytest.approx(values.mean(), abs=1e-5)
        for q in (5, 25, 50, 75, 95):
            assert found[f"{kind}_{q:02d}"] == pytest.approx(np.quantile(values, q / 100), abs=1e-5)


def test_the_curve_has_a_panel_of_the_quantiles_whose_lines_follow_them():
    lines = [{"kimg": k, "g": 1.0, "d": 1.0, **{n: 3.0 * (n == "real_95") for n in NAMES}} for k in range(1, 40)]
    plain = draw_curve([{"kimg": line["kimg"], "g": 1.0, "d": 1.0} for line in lines])
    both = draw_curve(lines)
    assert both.shape[0] == 2 * plain.shape[0]
    green = (both[plain.shape[0] :] == (0x2C, 0xA0, 0x2C)).all(-1)  # the colour of real_95, the highest
    rows = np.flatnonzero(green[:, 300:600].any(axis=1))
    assert rows.max() < plain.shape[0] / 3  # near the panel's top
