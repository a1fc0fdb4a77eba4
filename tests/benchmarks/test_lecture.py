import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from stylegan_core.training.dataset import ImageDataset
from stylegan_core.training.sample_data import write_sample_data

PATH = Path(__file__).parents[2] / "benchmarks" / "lecture.py"


@pytest.fixture(scope="module")
def lecture():
    before, known = list(sys.path), set(sys.modules)
    spec = importlib.util.spec_from_file_location("lecture", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["lecture"] = module
    spec.loader.exec_module(module)
    yield module
    sys.path[:] = before
    for name in {"lecture", "lecture_theory", "ring"} - known:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    path = tmp_path_factory.mktemp("ring") / "ring.zip"
    write_sample_data("ring", str(path), 16, 400)
    return path


def test_the_judge_of_the_ring_takes_the_data_for_good_and_other_images_for_bad(lecture, ring):
    judge = lecture.RingJudge(ring)
    fresh = ring.with_name("fresh.zip")
    write_sample_data("ring", str(fresh), 16, 300, seed=1)
    data = ImageDataset(fresh, labels=True)
    images, labels = data.batch(range(len(data)))
    errors, modes = judge.errors(images)
    assert float((errors <= judge.limit).float().mean()) > 0.95
    assert torch.equal(modes, labels.argmax(1))
    black, two = (
        torch.full_like(images[:1], -1.0),
        torch.maximum(images[labels[:, 0] > 0][:1], images[labels[:, 4] > 0][:1]),
    )
    dim = (images[:1] + 1) / 2 - 1
    assert bool((judge.errors(torch.cat([black, two, dim]))[0] > judge.limit).all())
    assert lecture.sharpness(images) == pytest.approx(judge.sharpness, rel=0.2)
    blurred = torch.nn.functional.avg_pool2d(images, 3, 1, 1)
    assert lecture.sharpness(blurred) < 0.5 * judge.sharpness


def test_options_that_are_given_replace_the_quick_rates(lecture):
    options = lecture.dcgan("--lr-d", "1e-5")
    assert options.count("--lr-d") == 1 and options[options.index("--lr-d") + 1] == "1e-5"
    assert options[options.index("--lr-g") + 1] == "1e-3"


def test_every_objective_and_kind_of_preset_is_in_the_lecture(lecture):
    from stylegan_core.networks.configs import PRESETS

    assert lecture.QUICK.keys() <= lecture.OBJECTIVES.keys()
    assert lecture.PRESETS.keys() <= PRESETS.keys()
    assert {"dcgan", "lapgan", "autoencoder", "vae", "micro-stylegan"} <= lecture.PRESETS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("part", ["presets", "balance"])
def test_a_part_trains_by_the_command_line_and_prints_its_table(lecture, part, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["lecture.py", "--out", str(tmp_path), "--part", part, "--kimg", "0.032"])
    lecture.run_parts()
    output = capsys.readouterr().out
    assert "invertigo train --data" in output and f"| {part} | modes |" in output
    assert (tmp_path / f"{part}.png").is_file()
    lecture.run_parts()
    assert "invertigo train" not in capsys.readouterr().out  # what is finished is not run again
