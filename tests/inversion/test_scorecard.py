import csv
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from scipy.ndimage import gaussian_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from small_generators import a_face, make_task, tiny
from torch.testing import assert_close

import cli
from editing.drag import Dragged
from editing.dragged_scores import drag_score
from inversion.edit_scores import (
    Outcome,
    attribute_distances,
    edit_consistency,
    edit_effect,
    pasted_effect,
)
from inversion.faces.judges import JUDGES, Judge
from inversion.scorecard import run_method, to_csv, to_markdown
from inversion.scorecard_methods import parse_methods
from inversion.scores import SCALE_WEIGHTS, ms_ssim, num_scales, psnr, ssim
from inversion.task import Projection
from stylegan_core.directions import Direction
from stylegan_core.errors import ConfigError
from stylegan_core.networks.protocol import Alignment


class Statistics:
    """What `collect` returns, of the images themselves."""

    def __init__(self, images):
        self.statistics = images


def a_direction(name, vector, attribute=""):
    return Direction(name, vector, "", "", report={"attribute": attribute})


def pair(side, num=2):
    stream = torch.Generator().manual_seed(0)
    one = torch.nn.functional.interpolate(torch.rand(num, 3, side // 4, side // 4, generator=stream) * 2 - 1, side)
    return one, (one + 0.3 * torch.randn(one.shape, generator=stream)).clamp(-1, 1)


def as_array(image):
    return image.permute(1, 2, 0).double().numpy()


def test_psnr_and_ssim_equal_scikit_image():
    one, other = pair(48)
    options = dict(data_range=2.0, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    for row in range(2):
        arrays = as_array(one[row]), as_array(other[row])
        assert psnr(one, other)[row].item() == pytest.approx(peak_signal_noise_ratio(*arrays, data_range=2.0), abs=1e-4)
        assert ssim(one, other)[row].item() == pytest.approx(structural_similarity(*arrays, **options), abs=1e-6)


def test_ms_ssim_equals_a_plain_computation_with_scipy():
    one, other = pair(192, num=1)
    x, y, expected = as_array(one[0]), as_array(other[0]), 1.0
    assert num_scales(192) == 5
    for scale in range(5):
        blur = lambda a: gaussian_filter(a, (1.5, 1.5, 0), truncate=3.5)[5:-5, 5:-5]  # noqa: E731
        mx, my = blur(x), blur(y)
        contrast = (2 * (blur(x * y) - mx * my) + 0.06**2) / (blur(x * x) - mx**2 + blur(y * y) - my**2 + 0.06**2)
        luminance = (2 * mx * my + 0.02**2) / (mx**2 + my**2 + 0.02**2)
        term = (contrast * luminance if scale == 4 else contrast).mean()
        expected *= max(term, 0) ** (SCALE_WEIGHTS[scale] / sum(SCALE_WEIGHTS))
        half = len(x) // 2
        x, y = (a.reshape(half, 2, half, 2, 3).mean(axis=(1, 3)) for a in (x, y))
    assert ms_ssim(one, other).item() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("side", "scales"), [(8, 1), (16, 1), (32, 2), (64, 3), (176, 5), (1024, 5)])
def test_small_images_have_fewer_scales_and_equal_images_score_1(side, scales):
    assert num_scales(side) == scales
    if side < 1024:
        image = pair(side)[0]
        assert_close(ms_ssim(image, image), torch.ones(2))
        assert_close(ssim(image, image), torch.ones(2))


def test_methods_are_read_with_the_steps_that_are_given():
    found = parse_methods("project, hybrid,reference:7,w_avg")
    assert [(name, steps) for _, name, _, steps in found] == [
        ("project", -1), ("hybrid", -1), ("reference", 7), ("w_avg", -1)
    ]  # fmt: skip
    assert [space for *_, space, _ in parse_methods("hybrid/f:9,project")] == ["f", "w+"]
    for wrong in ("nonsense", "project:x", "hybrid/q"):
        with pytest.raises(ConfigError):
            parse_methods(wrong)


def test_the_mean_face_s_row_takes_no_steps_and_an_encoder_must_exist():
    generator = tiny()
    task = make_task(generator, a_face(generator))
    outcome = run_method("w_avg", task)
    assert outcome.result.num_steps == [0]
    assert_close(outcome.image, generator.synthesis(generator.w_avg.expand(1, generator.num_ws, -1)))
    for name in ("hybrid", "encoder"):
        with pytest.raises(ConfigError, match="encoder train"):
            run_method(name, task)


def test_an_edit_s_background_is_the_change_of_the_rim(linear_generator):
    ws = linear_generator.mapping(torch.zeros(1, 12))
    render = lambda ws: linear_generator.synthesis(ws)  # noqa: E731
    task = make_task(linear_generator, render(ws))
    outcome = Outcome(render(ws), render, run_method("w_avg", task).result, 0.0, 0.0)
    step = torch.zeros(1, 1, 12)
    step[..., 0] = 0.1
    found = edit_effect(outcome, a_direction("one", step), 2.0, linear_generator)
    before, after = (render(w)[0].clamp(-1, 1).numpy() for w in (outcome.result.ws, outcome.result.ws + 2 * step))
    change = np.abs(after - before)
    inner = np.zeros((3, 16, 16), bool)
    inner[:, 1:-1, 1:-1] = True
    assert found["background"] == pytest.approx(change[~inner].mean(), rel=1e-4)
    nothing = edit_effect(outcome, a_direction("none", step, "happy"), 0.0, linear_generator)
    assert nothing == {"background": 0.0, "identity": 0.0, "change": 0.0}


def test_a_paste_that_moves_the_photo_is_seen_and_one_that_changes_nothing_leaves_every_pixel():
    photo = torch.nn.functional.interpolate(pair(64, num=1)[0], 64, mode="bicubic").clamp(-1, 1)
    smooth = torch.nn.functional.avg_pool2d(photo, 5, 1, 2)
    moved = smooth.roll((3, 4), dims=(2, 3))
    assert pasted_effect(smooth, smooth, moved)["shift"] == pytest.approx(5, abs=1.5)  # the mask's rim stays behind
    assert pasted_effect(smooth, smooth, moved)["untouched"] < 0.5
    half = smooth.clone()
    half[..., 32:] += 0.3
    assert 0.4 < pasted_effect(smooth, smooth, half.clamp(-1, 1))["untouched"] < 1
    assert pasted_effect(smooth, smooth, half.clamp(-1, 1))["shift"] < 0.5


def test_consistency_is_the_distance_that_is_left_when_the_edit_is_taken_back():
    ws, edit, std = torch.randn(1, 4, 12), torch.randn(1, 1, 12), torch.full([12], 2.0)
    assert edit_consistency(ws, ws + edit, edit, std) == pytest.approx(0, abs=1e-6)
    assert edit_consistency(ws, ws + edit + 3.0, edit, std) == pytest.approx(1.5)


def test_edited_faces_are_compared_with_real_ones_that_have_the_attribute(monkeypatch):
    class Mean:
        name, metric, width = "mean", "fd-mean", 3

        def __call__(self, images):
            return images.mean(dim=(2, 3))

    bright = Judge(lambda faces, alignment: faces.mean(dim=(1, 2, 3)) + 0.5, "probability", 0.05, 0.5)
    monkeypatch.setitem(JUDGES, "bright", bright)
    monkeypatch.setattr("inversion.edit_scores.collect", lambda parts, extractor: Statistics(torch.cat(list(parts))))
    monkeypatch.setattr(
        "inversion.edit_scores.frechet_distance", lambda made, real: (made.mean() - real.mean()).abs().item()
    )
    render = lambda ws: ws.mean(dim=(1, 2)).view(-1, 1, 1, 1).expand(-1, 3, 8, 8)  # noqa: E731

    def outcome(value):
        ws = torch.full([1, 2, 4], value)
        return Outcome(render(ws), render, Projection(ws, {}, torch.zeros(1), [0], [0]), 0.0, 0.0)

    real = torch.cat([torch.full([3, 3, 8, 8], 0.4), torch.full([3, 3, 8, 8], -0.4)])
    edit = a_direction("light", torch.full([1, 1, 4], 0.5), "bright")
    outcomes = [outcome(value) for value in (-0.2, -0.2, 0.3, 0.3)]
    found = attribute_distances(outcomes, real, edit, 1.0, Alignment(), Mean())
    assert found == {"added": pytest.approx(0.1), "removed": pytest.approx(0.2)}
    few = attribute_distances(outcomes[:3], real, edit, 1.0, Alignment(), Mean())
    assert set(few) == {"added"}


def test_the_drag_distance_is_what_is_left_of_the_way_in_pixels(monkeypatch):
    generator = tiny()
    ws = generator.mapping(torch.randn(1, 16))
    found = Projection(ws, {}, torch.zeros(1), [0], [0])
    asked = []

    def half_way(render, ws, starts, targets, free_area=None):
        asked.append((starts, targets, render(ws)))
        return Dragged(ws, (starts + targets) / 2)

    monkeypatch.setattr("editing.drag.drag", half_way)
    score = drag_score("0.25,0.5:0.75,0.5; 0.5,0.25:0.5,0.5")(generator, found)
    assert score["drag_distance"] == pytest.approx((0.25 + 0.125) / 2 * 16)
    assert score["drag_left"] == pytest.approx(0.5)
    assert asked[0][0].tolist() == [[0.25, 0.5], [0.5, 0.25]] and asked[0][1].tolist() == [[0.75, 0.5], [0.5, 0.5]]
    assert_close(asked[0][2], generator.synthesis(ws))
    monkeypatch.undo()
    whole = drag_score("0.25,0.5:0.75,0.5")(generator, found)
    assert whole["drag_left"] >= 0 and np.isfinite(whole["drag_distance"])


@pytest.mark.parametrize("text", ["", "310,402:318,380", "0.1,0.2", "0.1,0.2:0.3,nan"])
def test_points_of_a_scorecard_that_make_no_sense_are_refused(text):
    with pytest.raises(ConfigError, match="--drag"):
        drag_score(text)


def test_rows_become_csv_and_markdown_with_gaps_where_a_score_is_missing():
    rows = [{"method": "a", "psnr": 1.5}, {"method": "b", "psnr": 2.0, "extra": 3.0}]
    assert to_csv(rows).splitlines() == ["method,psnr,extra", "a,1.5,", "b,2.0,3.0"]
    assert to_markdown(rows, {"seed": 0}).splitlines()[-2:] == ["| a | 1.5 |  |", "| b | 2 | 3 |"]


def test_the_command_writes_a_table_whose_numbers_are_those_of_the_picture(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(3):
        Image.fromarray(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)).resize((64, 64)).save(folder / f"{index}.png")
    words = ["scorecard", "--data", str(folder), "--images", "2", "--methods", "encoder,hybrid:12,tune:2",
             "--tune-steps", "2", "--generator", "faces64", "--out", str(tmp_path / "o")]  # fmt: skip
    result = CliRunner().invoke(cli.main, words)
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "o" / "scorecard.json").read_text())
    rows = list(csv.DictReader((tmp_path / "o" / "scorecard.csv").read_text().splitlines()))
    assert [row["method"] for row in rows] == ["encoder", "hybrid:12", "tune:2"]
    assert [row["steps"] for row in found["rows"]] == [0.0, 12.0, 4.0]
    assert float(rows[1]["psnr"]) > float(rows[0]["psnr"])
    assert {
        "ssim",
        "ms_ssim",
        "identity_distance",
        "seconds",
        "peak_mb",
        "smile_change",
        "smile_shift",
        "smile_untouched",
    } <= set(rows[0])
    assert float(rows[1]["fd-squeezenet"]) < float(rows[0]["fd-squeezenet"])
    assert "box filter" in (tmp_path / "o" / "scorecard.md").read_text()
    assert (tmp_path / "o" / "scorecard.png").stat().st_size > 1000
