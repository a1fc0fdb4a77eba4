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
    for name in {"lecture", "lecture_judges", "lecture_theory", "ring"} - known:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def ring(tmp_path_factory):
    path = tmp_path_factory.mktemp("ring") / "ring.zip"
    write_sample_data("ring", str(path), 16, 400)
    return path


def test_the_judge_of_the_ring_takes_the_data_for_good_and_other_images_for_bad(lecture, ring):
    sharpness = sys.modules["lecture_judges"].sharpness
    judge = lecture.RingJudge(ring)
    fresh = ring.with_name("fresh.zip")
    write_sample_data("ring", str(fresh), 16, 300, seed=1)
    data = ImageDataset(fresh, labels=True)
    images, labels = data.batch(range(len(data)))
    good, modes = judge.verdict(images)
    assert float(good.float().mean()) > 0.95
    assert torch.equal(modes, labels.argmax(1))
    black, two = (
        torch.full_like(images[:1], -1.0),
        torch.maximum(images[labels[:, 0] > 0][:1], images[labels[:, 4] > 0][:1]),
    )
    dim = (images[:1] + 1) / 2 - 1
    assert not bool(judge.verdict(torch.cat([black, two, dim]))[0].any())
    assert sharpness(images) == pytest.approx(judge.sharpness, rel=0.2)
    blurred = torch.nn.functional.avg_pool2d(images, 3, 1, 1)
    assert sharpness(blurred) < 0.5 * judge.sharpness


def test_the_judge_of_digits_takes_them_for_good_and_mixtures_noise_blurs_and_faint_ones_for_bad(lecture, tmp_path):
    path = tmp_path / "digits.zip"
    write_sample_data("digits", str(path), 16)
    data = ImageDataset(path, labels=True)
    images, labels = data.batch(range(len(data)))
    judge = lecture.DigitsJudge(path)
    assert judge.accuracy > 0.95 and judge.num_modes == 10

    def share(pictures):
        return float(judge.verdict(pictures)[0].float().mean())

    unseen = images[len(images) * 4 // 5 :]
    assert share(unseen) > 0.85 and torch.equal(judge.verdict(images[:1000])[1], labels[:1000].argmax(1))
    noise = torch.randn(unseen.shape, generator=torch.Generator().manual_seed(0))
    bad = {
        "mixed": (unseen[:-1] + unseen[1:]) / 2,
        "noisy": (unseen + 0.8 * noise).clamp(-1, 1),
        "blurred": torch.nn.functional.avg_pool2d(unseen, 5, 1, 2),
        "faint": (unseen + 1) * 0.3 - 1,
    }
    assert {name: share(pictures) for name, pictures in bad.items() if share(pictures) > 0.3} == {}


def test_options_that_are_given_replace_the_quick_rates(lecture):
    options = lecture.dcgan("--lr-d", "1e-5")
    assert options.count("--lr-d") == 1 and options[options.index("--lr-d") + 1] == "1e-5"
    assert options[options.index("--lr-g") + 1] == "1e-3"


def test_every_objective_and_preset_is_in_the_lecture(lecture):
    from stylegan_core.networks.configs import PRESETS

    assert lecture.QUICK.keys() <= lecture.OBJECTIVES.keys()
    on_digits = {options[options.index("--preset") + 1] for options, _ in lecture.PRESETS.values()}
    assert on_digits | {f"stylegan1-{config}" for config in "abcdef"} == PRESETS.keys()


@pytest.mark.slow
@pytest.mark.parametrize(("part", "kind"), [("presets", "digits"), ("balance", "ring")])
def test_a_part_trains_by_the_command_line_and_prints_its_table(lecture, part, kind, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["lecture.py", "--out", str(tmp_path), "--part", part, "--kimg", "0.032"])
    lecture.run_parts()
    output = capsys.readouterr().out
    assert "invertigo train --data" in output and f"| {part}, {kind} | kimg | modes |" in output
    assert (tmp_path / f"{part}.png").is_file()
    lecture.run_parts()
    assert "invertigo train" not in capsys.readouterr().out  # what is finished is not run again
