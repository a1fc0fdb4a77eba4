"""Fitting through the command line, with few codes and short calibrations."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch.testing import assert_close

import cli
from editing.discover import finish
from editing.discover.refine import refine
from editing.judging import effect, score_codes
from inversion.faces.attributes import UNITS
from inversion.faces.judges import JUDGES, judge_all
from stylegan_core.checkpoints.load import load_generator
from stylegan_core.directions import find_direction, load_direction, shipped_directions
from stylegan_core.generate import generate_ws


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(finish, "CALIBRATION_CODES", 4)
    monkeypatch.setattr(finish, "BISECTIONS", 3)


def run(*words, code=0):
    result = CliRunner().invoke(cli.main, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


def test_an_attribute_is_fitted_to_samples_and_its_scores_are_kept(faces64, tmp_path):
    words = ["directions", "fit", "--samples", 80, "--scores", tmp_path / "s.npz"]
    run(*words, "--name", "older", "--attribute", "age", "--out", tmp_path / "age.npz")
    direction = load_direction(tmp_path / "age.npz")
    assert direction.attribute == "age"
    assert direction.report["fit"] == "regression"
    assert direction.report["held_out"] == 20
    kept = np.load(tmp_path / "s.npz")
    assert kept["scores"].shape == (80, len(UNITS))
    ws = generate_ws(faces64, range(100, 110))
    changes, _ = effect(faces64, ws, direction.vector, 1.0)
    assert float((changes[:, list(JUDGES).index("age")] > 0).float().mean()) >= 0.8
    run(*words, "--name", "happy", "--attribute", "happy", "--keep", tmp_path / "age.npz", "--out", tmp_path / "h.npz")
    happy = load_direction(tmp_path / "h.npz")
    cosine = torch.nn.functional.cosine_similarity(happy.vector.flatten(), direction.vector.flatten(), dim=0)
    assert (abs(float(cosine)) < 1e-4, happy.report["keeps"]) == (True, ["older"])
    assert "held_out_correlation" in run("directions", "show", tmp_path / "h.npz").output
    words[3] = 81
    assert "other options" in run(*words, "--name", "x", "--attribute", "age", "--out", tmp_path / "x", code=2).stderr


def test_labels_of_seeds_latents_and_photos_are_fitted(tmp_path, faces64):
    run("generate", "--seeds", "0-31", "--out", tmp_path)
    ws = generate_ws(faces64, range(32))
    scores = score_codes(faces64, ws, JUDGES["gender"])
    with Image.open(tmp_path / "seed0000.png") as image:
        image.save(tmp_path / "photo.png")
    names = ["photo.png", *(f"seed{seed:04d}.npz" if seed % 2 else str(seed) for seed in range(1, 32))]
    rows = [f"{name},{int(score > scores.median())}" for name, score in zip(names, scores, strict=True)]
    (tmp_path / "labels.csv").write_text("file,label\n" + "\n".join(rows) + "\n")
    words = ["directions", "fit", "--name", "g", "--no-align", "--out", tmp_path / "g.npz"]
    run(*words, "--labels", tmp_path / "labels.csv", "--classifier", "svm", "--layers", "2-5", "--judge", "gender")
    direction = load_direction(tmp_path / "g.npz")
    assert (direction.layers, direction.report["fit"], direction.attribute) == ((2, 3, 4, 5), "labels", "gender")
    assert 0 <= direction.report["held_out_accuracy"] <= 1
    (tmp_path / "bad.csv").write_text("file,label\n1,yes\n2,0\n")
    assert "line 2" in run(*words, "--labels", tmp_path / "bad.csv", code=1).stderr
    for source in ([], ["--labels", "a.csv", "--attribute", "age"]):
        assert "exactly one" in run(*words, *source, code=2).stderr
    assert "no judge is called 'joy'" in run(*words, "--attribute", "joy", code=2).stderr


def test_factors_come_from_the_command_line(tmp_path, faces64):
    words = ["--name", "c", "--component", 1, "--scale", 3, "--samples", 500]
    for method in ("sefa", "ganspace"):
        out = tmp_path / f"{method}.npz"
        run("directions", "factor", method, *words, "--layers", "0-3", "--out", out, "--generator", "faces64")
        direction = find_direction(str(out), faces64)
        assert (direction.layers, direction.report["method"]) == ((0, 1, 2, 3), method)
        assert float(direction.vector.norm()) == pytest.approx(3 * direction.report["w_deviation"], rel=1e-4)
    assert (
        "there are 0 to 255"
        in run(
            "directions", "factor", "sefa", "--name", "x", "--component", 256, "--out", tmp_path / "x.npz", code=2
        ).stderr
    )


@pytest.mark.slow
def test_refining_raises_the_judge_on_other_faces(faces64):
    start = torch.randn(1, 1, 256, generator=torch.Generator().manual_seed(0)) * 0.05
    w = generate_ws(faces64, range(6))[:, 0]
    found = refine(faces64, start, "happy", w, 6)
    assert found.last_loss < found.first_loss
    before, after = (effect(faces64, generate_ws(faces64, [20, 21, 22]), v, 1.0)[0] for v in (start, found.step))
    column = list(JUDGES).index("happy")
    assert float(after[:, column].mean()) > float(before[:, column].mean())


def test_every_judge_by_name_is_the_column_of_judging_all(faces64):
    faces = faces64.synthesis(generate_ws(faces64, [1, 2])).clamp(-1, 1).detach()
    together = judge_all(faces, faces64.meta.alignment)
    for column, judge in enumerate(JUDGES.values()):
        assert_close(judge.score(faces, faces64.meta.alignment), together[:, column])


@pytest.mark.parametrize("name", ["faces64", "faces256"])
def test_what_ships_is_whole_and_says_how_it_was_made(name):
    generator = load_generator(name)
    shipped = shipped_directions(generator.meta.fingerprint)
    assert {"smile", "age", "gender", "happy", "sefa-0", "ganspace-0"} <= set(shipped)
    for name, direction in shipped.items():
        assert direction.unit, name
        assert direction.report["method"], name
        assert direction.attribute in {*UNITS, ""}, name
        assert json.dumps(direction.report)
        assert find_direction(name, generator).vector.isfinite().all()
