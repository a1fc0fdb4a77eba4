import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from inversion.config import RestorerConfig
from inversion.faces.blend import fill_smoothly, set_in
from inversion.faces.restore import load_restorer
from inversion.train_restorer import train_restorer
from stylegan_core.checkpoints.native import read_safetensors
from stylegan_core.console import Console
from stylegan_core.errors import ConfigError


@pytest.fixture(scope="module")
def faces(tmp_path_factory, astronaut):
    folder = tmp_path_factory.mktemp("faces")
    face = Image.fromarray(astronaut[20:200, 140:320]).resize((64, 64))
    for number in range(4):
        face.rotate(3 * number).save(folder / f"{number}.png")
    return RestorerConfig(data=str(folder), steps=3, batch=2, crop=32, holdout=1, adversarial_from=1)


def test_a_piece_takes_on_the_light_of_where_it_is_set_in():
    x = torch.linspace(-0.5, 0.5, 64).expand(1, 3, 64, 64)
    mask = torch.zeros(1, 1, 64, 64)
    mask[:, :, 20:44, 20:44] = 1
    assert_close(set_in(x, x + 0.3, mask), x, atol=0.03, rtol=0)
    assert_close(fill_smoothly(x * 0 + 0.7, 1 - mask), x * 0 + 0.7)


def test_training_goes_on_where_it_was_interrupted(faces, tmp_path):
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    train_restorer(str(whole), "faces64", faces, Console(quiet=True))

    class Stop(Console):
        def progress(self, label, total):
            from contextlib import contextmanager

            @contextmanager
            def stopping():
                def update(step, loss):
                    if step == 2:
                        raise KeyboardInterrupt

                yield update

            return stopping()

    with pytest.raises(KeyboardInterrupt):
        train_restorer(str(parts), "faces64", faces, Stop(quiet=True))
    assert not parts.exists()
    train_restorer(str(parts), "faces64", faces, Console(quiet=True))
    one, other = (read_safetensors(path)[0] for path in (whole, parts))
    for name in one:
        assert_close(one[name], other[name], atol=2e-3, rtol=0)
    assert any(tensor.abs().sum() > 0 for name, tensor in one.items() if name.startswith("residual"))
    assert load_restorer(parts).widths == load_restorer(whole).widths
    scores = json.loads(read_safetensors(whole)[1]["about"])["report"]["scores"]
    assert set(scores) == {"given", "restored"}
    assert np.asarray(Image.open(f"{whole}.png")).std() > 10
    assert list(tmp_path.glob(".*")) == []


def test_options_that_do_not_fit_the_data_are_refused(faces, tmp_path):
    for wrong in (replace(faces, data=""), replace(faces, holdout=4), replace(faces, crop=30)):
        with pytest.raises(ConfigError):
            train_restorer(str(tmp_path / "x.safetensors"), "faces64", wrong, Console(quiet=True))
