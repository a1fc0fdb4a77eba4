"""Directions of what is measured of a face, and of what a data set's words say of its photos."""

import io
import zipfile

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch.testing import assert_close

from cli import main
from editing.discover.named import fitted_judge, named_faces
from editing.judging import effect, find_judge
from inversion.faces.attributes import SCALES, UNITS
from inversion.faces.judges import JUDGES
from inversion.faces.measures import MEASURES
from inversion.faces.scales import light_from_left, scale_all
from stylegan_core.directions import load_direction
from stylegan_core.errors import ConfigError, DatasetError
from stylegan_core.generate import generate_ws
from stylegan_core.networks.protocol import Alignment


def run(*words, code=0):
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == code, done.output
    return done


@pytest.fixture(scope="module")
def photos(tmp_path_factory, faces64):
    """80 renders as an aligned set; the `condition` of every second says "dark picture", and it is darker."""
    path = tmp_path_factory.mktemp("named") / "faces.zip"
    images = faces64.synthesis(generate_ws(faces64, range(80)), noise_mode="const").clamp(-1, 1).detach()
    table = ["file,person,condition"]
    with zipfile.ZipFile(path, "w") as archive:
        for index, image in enumerate(images):
            pixels = ((image + 1) * 127.5).permute(1, 2, 0).numpy()
            pixels = pixels * 0.4 if index % 2 else pixels
            file = io.BytesIO()
            Image.fromarray(pixels.round().astype(np.uint8)).save(file, "png")
            archive.writestr(f"{index:03}.png", file.getvalue())
            table.append(f"{index:03}.png,,{'light: Dark picture' if index % 2 else ''}")
        archive.writestr("attributes.csv", "\n".join(table))
    return path


def test_names_and_units_of_the_scales_are_those_of_the_measures(faces64):
    assert list(SCALES)[:-1] == list(MEASURES)
    assert list(UNITS) == [*JUDGES, *SCALES]
    assert [JUDGES[name].unit for name in JUDGES] == [UNITS[name] for name in JUDGES]
    faces = faces64.synthesis(generate_ws(faces64, [1, 2])).clamp(-1, 1).detach()
    together = scale_all(faces, faces64.meta.alignment)
    for column, name in enumerate(SCALES):
        assert_close(find_judge(name).score(faces, faces64.meta.alignment), together[:, column], atol=2e-3, rtol=1e-3)


def test_light_from_the_left_is_positive_and_changes_sign_with_the_mirror():
    ramp = torch.linspace(1, -1, 64).expand(1, 3, 64, 64)
    alignment = Alignment()
    assert float(light_from_left(ramp, alignment)) > 0.2
    assert_close(light_from_left(ramp.flip(3), alignment), -light_from_left(ramp, alignment))
    assert float(light_from_left(torch.full_like(ramp, 0.3), alignment)) == pytest.approx(0, abs=1e-6)


def test_a_direction_of_a_landmark_measure_moves_it_on_other_faces(tmp_path, faces64):
    words = ["directions", "fit", "--generator", "faces64", "--samples", 150, "--name", "open", "--out"]
    run(*words, tmp_path / "open.npz", "--attribute", "mouth-open", "--scores", tmp_path / "s.npz")
    direction = load_direction(tmp_path / "open.npz")
    assert direction.attribute == "mouth-open"
    assert "eye distances" in direction.unit
    ws = generate_ws(faces64, range(300, 316))
    own, _ = effect(faces64, ws, direction.vector, 1.0, judge=find_judge("mouth-open"))
    assert float((own > 0).float().mean()) >= 0.75
    assert np.load(tmp_path / "s.npz")["scores"].shape == (150, len(UNITS))


def test_a_condition_becomes_a_direction_and_a_judge_tells_it(tmp_path, faces64, photos):
    words = ["directions", "fit", "--generator", "faces64", "--data", photos, "--name", "dark", "--out"]
    run(*words, tmp_path / "dark.npz", "--condition", "dark picture", "--leave-every", 10)
    direction = load_direction(tmp_path / "dark.npz")
    assert (direction.report["condition"], direction.report["named"]) == ("dark picture", 32)
    ws = generate_ws(faces64, range(300, 308))
    darker = faces64.synthesis(ws + direction.vector).clamp(-1, 1).mean() - faces64.synthesis(ws).clamp(-1, 1).mean()
    assert float(darker) < 0
    judge, area = fitted_judge(named_faces(faces64, str(photos), "DARK"), torch.device("cpu"))
    assert area > 0.9
    faces = faces64.synthesis(ws).clamp(-1, 1).detach()
    dark = (faces + 1) * 0.4 - 1
    assert float((judge.score(dark, Alignment()) > judge.score(faces, Alignment())).float().mean()) >= 0.75


def test_what_names_nothing_is_refused(tmp_path, faces64, photos):
    with pytest.raises(DatasetError, match="10 with and without are needed"):
        named_faces(faces64, str(photos), "unicorn")
    out = ["--name", "x", "--out", tmp_path / "x.npz", "--generator", "faces64"]
    assert "--condition needs --data" in run("directions", "fit", *out, "--condition", "hat", code=2).stderr
    with pytest.raises(ConfigError, match=r"no judge is called 'mouth-opn'.*mouth-open"):
        find_judge("mouth-opn")
